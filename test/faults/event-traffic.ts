/**
 * Numbered events through a Broker: producers that send until they are told 202, each its own key in order.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** Where events are sent to. */
export type EventTrafficOptions = {
  /** The Broker's address. */
  readonly brokerUrl: string;
  readonly producers: number;
  /** Of each. */
  readonly events: number;
  /** Between two of a producer; none when not said. */
  readonly everyMs?: number;
};

const answerMs = 20_000;

/** Traffic of one run. */
export class EventTraffic {
  readonly #options: EventTrafficOptions;
  #isStopped = false;
  #producing: Promise<unknown> = Promise.resolve();
  sent = 0;
  /** Tries that were not answered with 202. */
  failures = 0;

  constructor(options: EventTrafficOptions) {
    this.#options = options;
  }

  start(): void {
    const all = Array.from({ length: this.#options.producers }, (_, producer) => this.#produce(`key-${producer}`));
    this.#producing = Promise.all(all);
  }

  /** Resolves when all was sent. */
  async allSent(): Promise<void> {
    await this.#producing;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#producing.catch(() => {}); // told to whoever waited for it
  }

  async #produce(key: string): Promise<void> {
    const { events, everyMs = 0 } = this.#options;
    for (let number = 0; number < events && !this.#isStopped; number++) {
      while (!(await this.#send(key, number))) {
        if (this.#isStopped) return;
        this.failures++;
        await sleep(50);
      }
      this.sent++;
      if (everyMs > 0) await sleep(everyMs);
    }
  }

  async #send(key: string, number: number): Promise<boolean> {
    const headers = {
      "ce-specversion": "1.0",
      "ce-id": String(number),
      "ce-source": "/faults",
      "ce-type": "numbered",
      "ce-subject": key,
    };
    try {
      const signal = AbortSignal.timeout(answerMs);
      const response = await fetch(this.#options.brokerUrl, { method: "POST", headers, signal });
      await response.arrayBuffer();
      return response.status === 202;
    } catch {
      return false;
    }
  }
}

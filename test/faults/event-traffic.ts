/**
 * Numbered events through a Broker: producers that send until they are told 202, each its own key in order, and a subscriber on this machine that can be taken away.
 */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** Where events are sent to and taken. */
export type EventTrafficOptions = {
  /** The Broker's address. */
  readonly brokerUrl: string;
  readonly host: string;
  readonly producers: number;
  /** Of each. */
  readonly events: number;
};

const answerMs = 20_000;

/** Traffic of one run. */
export class EventTraffic {
  readonly #options: EventTrafficOptions;
  /** Numbers of each key in the order in which they came, repeats included. */
  readonly #got = new Map<string, number[]>();
  #server: Server | undefined;
  #port = 0;
  #isStopped = false;
  #producing: Promise<unknown> = Promise.resolve();
  sent = 0;
  /** Tries that were not answered with 202. */
  failures = 0;

  constructor(options: EventTrafficOptions) {
    this.#options = options;
  }

  get subscriberUrl(): string {
    return `http://${this.#options.host}:${this.#port}/`;
  }

  get received(): number {
    return [...this.#got.values()].reduce((sum, numbers) => sum + new Set(numbers).size, 0);
  }

  get duplicates(): number {
    return [...this.#got.values()].reduce((sum, numbers) => sum + numbers.length - new Set(numbers).size, 0);
  }

  /** The subscriber listens; after {@link leave} at the same port again. */
  async come(): Promise<void> {
    const server = createServer((request, response) => {
      const key = String(request.headers["ce-subject"]);
      const known = this.#got.get(key) ?? [];
      this.#got.set(key, known);
      known.push(Number(request.headers["ce-id"]));
      request.resume();
      request.on("end", () => response.writeHead(200).end());
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, this.#options.host, resolve);
    });
    this.#server = server;
    this.#port = (server.address() as { readonly port: number }).port;
  }

  async leave(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  start(): void {
    const all = Array.from({ length: this.#options.producers }, (_, producer) => this.#produce(`key-${producer}`));
    this.#producing = Promise.all(all);
  }

  /** Resolves when all was sent. */
  async allSent(): Promise<void> {
    await this.#producing;
  }

  /** Waits until each event has come, and checks that those of a key came in order: none for the first time before an earlier one. */
  async check(withinMs: number): Promise<void> {
    const endMs = performance.now() + withinMs;
    while (this.received < this.sent && performance.now() < endMs) await sleep(50);
    for (const [key, numbers] of this.#got) {
      let newest = -1;
      for (const number of numbers) {
        assert.ok(number <= newest + 1, `${key}: ${number} came after ${newest}: the ones between are late or lost`);
        newest = Math.max(newest, number);
      }
    }
    assert.equal(this.received, this.sent, "each event arrived");
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#producing.catch(() => {}); // told to whoever waited for it
    await this.leave();
  }

  async #produce(key: string): Promise<void> {
    for (let number = 0; number < this.#options.events && !this.#isStopped; number++) {
      while (!(await this.#send(key, number))) {
        if (this.#isStopped) return;
        this.failures++;
        await sleep(50);
      }
      this.sent++;
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

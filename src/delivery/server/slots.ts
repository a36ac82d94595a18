/**
 * A few at once; the others wait in the order of their coming, and when too many wait, further ones are refused.
 */
import { HttpFault } from "./http-fault.ts";

export class Slots {
  readonly #most: number;
  readonly #mostWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #active = 0;

  constructor(most: number, mostWaiting: number) {
    this.#most = most;
    this.#mostWaiting = mostWaiting;
  }

  /** Does the work when it is its turn. Throws {@link HttpFault} when too many wait, or `signal` has aborted by then. */
  async run(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    if (this.#active >= this.#most) {
      if (this.#waiting.length >= this.#mostWaiting)
        throw new HttpFault(503, "too many are at it: try again later", { "retry-after": "10" });
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
    this.#active++;
    try {
      if (signal.aborted) throw new HttpFault(503, "the server stops");
      await work();
    } finally {
      this.#active--;
      this.#waiting.shift()?.();
    }
  }
}

/**
 * One watch on the API in memory: events wait in it until they are read.
 */
import type { WatchEvent } from "#client/transport.ts";

export class FakeWatch implements AsyncIterable<WatchEvent> {
  readonly #onEnd: () => void;
  readonly #visible: (change: unknown) => WatchEvent | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #events: WatchEvent[] = [];
  #wake: () => void = () => {};
  #isEnded = false;
  #error: Error | undefined;

  constructor(
    signal: AbortSignal | undefined,
    onEnd: () => void,
    visible: (change: unknown) => WatchEvent | undefined,
  ) {
    this.#onEnd = onEnd;
    this.#visible = visible;
    this.#signal = signal;
  }

  push(event: WatchEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  /** Takes the change in if this watch sees it. */
  offer(change: unknown): void {
    const event = this.#visible(change);
    if (event !== undefined) this.push(event);
  }

  end(error?: Error): void {
    this.#isEnded = true;
    this.#error = error;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchEvent, void, void> {
    const onAbort = () => this.end();
    this.#signal?.addEventListener("abort", onAbort, { once: true });
    if (this.#signal?.aborted) this.end();
    try {
      for (;;) {
        const event = this.#events.shift();
        if (event !== undefined && !this.#signal?.aborted) yield event;
        else if (this.#isEnded) break;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      if (this.#error !== undefined) throw this.#error;
    } finally {
      this.#signal?.removeEventListener("abort", onAbort);
      this.#onEnd();
    }
  }
}

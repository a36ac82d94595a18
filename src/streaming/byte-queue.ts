/**
 * Chunks from whoever has them to whoever iterates, with a bound that lets the giver wait.
 */

/** A queue of chunks that one reader iterates over. */
export class ByteQueue<T = Uint8Array> implements AsyncIterable<T> {
  readonly #waiting: T[] = [];
  readonly #limit: number;
  #isEnded = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  /** `limit` chunks may wait before {@link push} makes the giver wait. */
  constructor(limit = 64) {
    this.#limit = limit;
  }

  /** Adds a chunk. Resolves when there is room for more. */
  async push(chunk: T): Promise<void> {
    if (this.#isEnded) return;
    this.#waiting.push(chunk);
    this.#wakeReader?.();
    while (this.#waiting.length >= this.#limit && !this.#isEnded) {
      await new Promise<void>((resolve) => {
        this.#wakeWriter = resolve;
      });
    }
  }

  /** No more chunks come. May be called twice. */
  end(): void {
    this.#isEnded = true;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        this.#wakeWriter?.();
        yield next;
      } else if (this.#isEnded) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
  }
}

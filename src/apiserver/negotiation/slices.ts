/**
 * Cuts long work into slices, so that no request waits long for the event loop.
 */

const SLICE_MS = 4;
/** Asking for the time is not free either. */
const STEPS_BETWEEN_LOOKS = 8;

/** Tells when to make room for others. */
export class Slices {
  readonly #sliceMs: number;
  #startedMs = performance.now();
  #steps = 0;

  constructor(sliceMs: number = SLICE_MS) {
    this.#sliceMs = sliceMs;
  }

  /** True when the slice is used up: await {@link next}. */
  isOver(): boolean {
    if (++this.#steps % STEPS_BETWEEN_LOOKS !== 0) return false;
    return performance.now() - this.#startedMs > this.#sliceMs;
  }

  /** Lets everything that waits have its turn. */
  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#startedMs = performance.now();
  }
}

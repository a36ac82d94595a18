/**
 * Memory for pieces of answers, used again and again: fresh memory of this size comes from the kernel page by page, and its collection holds up everybody.
 */

/** Most pieces that are kept for later. */
const MAX_KEPT = 16;
/** Larger ones are rare and not kept. */
const MAX_KEPT_BYTES = 256 * 1024;

/** Pieces of memory that are free. */
export class Chunks {
  readonly #free: Buffer[] = [];

  /** A piece of at least this size, with whatever stood in it before. */
  take(bytes: number): Buffer {
    const kept = this.#free.pop();
    if (kept !== undefined && kept.length >= bytes) return kept;
    if (kept !== undefined) this.#free.push(kept);
    return Buffer.allocUnsafeSlow(bytes);
  }

  /** Gives a piece back; the caller looks at it no more. */
  give(chunk: Buffer): void {
    if (this.#free.length < MAX_KEPT && chunk.length <= MAX_KEPT_BYTES) this.#free.push(chunk);
  }
}

/**
 * The last changes of all resources together, by size: what histories, queues of watches and kept snapshots may hold on to. One window for all of them bounds what they cost in
 * total, however many resources, watches and slow clients there are: a state that was overwritten is held by many, but only once in memory.
 */

/** What may be behind: bytes of changed objects. What begins further back is read from the store's log. */
const WINDOW_BYTES = 16 << 20;
/** How far it moves at a time. */
const STEP_BYTES = 1 << 20;
/** What a change costs beside the object's bytes. */
const CHANGE_BYTES = 512;

/** Follows how much has changed. */
export class ChangeWindow {
  /** Where each of the last steps ended. */
  readonly #steps: number[] = [];
  #bytes = 0;
  #totalBytes = 0;
  #start = 0;

  /** Changes up to this revision have fallen out. */
  get start(): number {
    return this.#start;
  }

  /** How much has changed since the beginning, in bytes of objects. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Counts a change; true when others have fallen out for it. */
  add(revision: number, objectBytes: number): boolean {
    this.#bytes += objectBytes + CHANGE_BYTES;
    this.#totalBytes += objectBytes + CHANGE_BYTES;
    if (this.#bytes < STEP_BYTES) return false;
    const before = this.#start;
    // A large object is as many steps as it has room for.
    for (; this.#bytes >= STEP_BYTES; this.#bytes -= STEP_BYTES) {
      this.#steps.push(revision);
      if (this.#steps.length > WINDOW_BYTES / STEP_BYTES) this.#start = this.#steps.shift() as number;
    }
    return this.#start > before;
  }
}

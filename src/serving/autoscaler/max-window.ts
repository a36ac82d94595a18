/**
 * The largest value of the last while: what holds back scaling down for `scale-down-delay`.
 */

type Entry = { readonly slot: number; readonly value: number };

/** Values of time slots; of two in one slot the larger counts. */
export class MaxWindow {
  readonly #slots: number;
  readonly #slotMs: number;
  /** Falling values of rising slots: the first is the answer. */
  #entries: readonly Entry[] = [];

  constructor(windowMs: number, slotMs: number) {
    this.#slots = Math.ceil(windowMs / slotMs);
    this.#slotMs = slotMs;
  }

  /** Takes a value and gives the largest of the window. */
  record(nowMs: number, value: number): number {
    const slot = Math.floor(nowMs / this.#slotMs);
    // What is not larger than a later value can never be the answer any more.
    const kept = this.#entries.filter((entry) => slot - entry.slot < this.#slots && entry.value > value);
    this.#entries = kept.at(-1)?.slot === slot ? kept : [...kept, { slot, value }];
    return this.#entries[0]?.value ?? value;
  }
}

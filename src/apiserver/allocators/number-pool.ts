/**
 * Gives out numbers of a range, each to one owner at a time: offsets of addresses, node ports. The lower part of the range is left to those who ask for a certain number, as long as
 * there are others (KEP-3070, KEP-3668).
 */

/** A range of numbers of which some are taken. */
export class NumberPool {
  readonly first: number;
  readonly last: number;
  readonly #firstDynamic: number;
  readonly #taken = new Set<number>();
  readonly #random: () => number;

  /** `staticBand` is how many numbers at the beginning are given out last. */
  constructor(range: {
    readonly first: number;
    readonly last: number;
    readonly staticBand: number;
    readonly random?: () => number;
  }) {
    this.first = range.first;
    this.last = range.last;
    this.#firstDynamic = Math.min(range.last, range.first + range.staticBand);
    this.#random = range.random ?? Math.random;
  }

  has(number: number): boolean {
    return this.#taken.has(number);
  }

  isInRange(number: number): boolean {
    return Number.isInteger(number) && number >= this.first && number <= this.last;
  }

  /** Takes a certain number. False when somebody has it. */
  take(number: number): boolean {
    if (this.#taken.has(number)) return false;
    this.#taken.add(number);
    return true;
  }

  /** Takes any free number; undefined when none is left. `isFree` may rule out more. */
  takeAny(isFree: (number: number) => boolean = () => true): number | undefined {
    const found =
      this.#findFree(this.#firstDynamic, this.last, isFree) ??
      this.#findFree(this.first, this.#firstDynamic - 1, isFree);
    if (found !== undefined) this.#taken.add(found);
    return found;
  }

  release(number: number): void {
    this.#taken.delete(number);
  }

  // From a random place on, once around.
  #findFree(low: number, high: number, isFree: (number: number) => boolean): number | undefined {
    const size = high - low + 1;
    if (size <= 0) return undefined;
    const start = Math.floor(this.#random() * size);
    for (let i = 0; i < size; i++) {
      const number = low + ((start + i) % size);
      if (!this.#taken.has(number) && isFree(number)) return number;
    }
    return undefined;
  }
}

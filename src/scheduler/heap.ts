/**
 * A binary heap from which any element can be taken: what a queue with priorities is made of.
 */

export class Heap<T> {
  readonly #isBefore: (a: T, b: T) => boolean;
  readonly #items: T[] = [];
  readonly #indexOf = new Map<T, number>();

  /** `isBefore(a, b)`: a comes out first. */
  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The first element, left in place. */
  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    if (this.#indexOf.has(item)) return;
    this.#items.push(item);
    this.#indexOf.set(item, this.#items.length - 1);
    this.#up(this.#items.length - 1);
  }

  /** Takes the first element out. */
  pop(): T | undefined {
    const [first] = this.#items;
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Takes an element out, wherever it stands. Unknown is success. */
  remove(item: T): void {
    const index = this.#indexOf.get(item);
    if (index === undefined) return;
    this.#indexOf.delete(item);
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#put(index, last);
    this.#up(index);
    this.#down(this.#indexOf.get(last)!);
  }

  #up(start: number): void {
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#isBefore(this.#items[index]!, this.#items[parent]!)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #down(start: number): void {
    let index = start;
    for (;;) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      let first = index;
      if (left < this.size && this.#isBefore(this.#items[left]!, this.#items[first]!)) first = left;
      if (right < this.size && this.#isBefore(this.#items[right]!, this.#items[first]!)) first = right;
      if (first === index) return;
      this.#swap(index, first);
      index = first;
    }
  }

  #swap(a: number, b: number): void {
    const [itemA, itemB] = [this.#items[a]!, this.#items[b]!];
    this.#put(a, itemB);
    this.#put(b, itemA);
  }

  #put(index: number, item: T): void {
    this.#items[index] = item;
    this.#indexOf.set(item, index);
  }
}

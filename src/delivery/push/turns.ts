/**
 * One at a time for each repository, in the order of their coming.
 */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  isTaken(key: string): boolean {
    return this.#last.has(key);
  }

  /** Resolves when it is one's turn; gives what ends it. Ending it twice is harmless. */
  async take(key: string): Promise<() => void> {
    const before = this.#last.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    const mine = (before ?? Promise.resolve()).then(() => promise);
    this.#last.set(key, mine);
    await before;
    return () => {
      if (this.#last.get(key) === mine) this.#last.delete(key);
      resolve();
    };
  }
}

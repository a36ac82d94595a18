/**
 * How much of one thing may go on at a time: deliveries of one subscription, bytes of all of them.
 */
export class Slots {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #used = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get used(): number {
    return this.#used;
  }

  get isFull(): boolean {
    return this.#used >= this.#most;
  }

  /** Takes one, as soon as there is one. Resolves with nothing; whoever gives up meanwhile still has to {@link release} it. */
  async take(): Promise<void> {
    if (!this.isFull) {
      this.#used++;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve)); // it is handed over
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#used--;
  }
}

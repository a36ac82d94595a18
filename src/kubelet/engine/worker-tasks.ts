/**
 * The steps of a pod's worker that are under way, beside each other.
 */

export type WorkerTasksOptions = {
  /** After each step, however it ended. */
  readonly onEnd: () => void;
  readonly onFailure: (error: unknown) => void;
};

export class WorkerTasks {
  readonly #options: WorkerTasksOptions;
  readonly #tasks = new Set<Promise<void>>();
  readonly #untilEnded = new Set<Promise<void>>();

  constructor(options: WorkerTasksOptions) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return this.#tasks.size === 0;
  }

  /** Runs a step. Never rejects. */
  run(step: () => Promise<void>): Promise<void> {
    const { onEnd, onFailure } = this.#options;
    const task = step()
      .catch(onFailure)
      .finally(() => {
        this.#tasks.delete(task);
        onEnd();
      });
    this.#tasks.add(task);
    return task;
  }

  /** A step that waits for containers to end, as long as their grace: {@link settledButEnds} does not wait for it. */
  runUntilEnded(step: () => Promise<void>): Promise<void> {
    const task = this.run(step);
    this.#untilEnded.add(task);
    return task.finally(() => this.#untilEnded.delete(task));
  }

  /** Resolves when those that are under way now have ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#tasks);
  }

  async settledButEnds(): Promise<void> {
    await Promise.allSettled([...this.#tasks].filter((task) => !this.#untilEnded.has(task)));
  }
}

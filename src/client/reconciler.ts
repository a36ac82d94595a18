/**
 * The loop of a controller: takes keys from its queue, a few at a time, and reconciles each until it goes well.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { WorkQueue } from "./work-queue.ts";

/** What to do with keys. */
export type ReconcilerOptions = {
  /** The controller's name, for logs: "replicaset". */
  readonly name: string;
  /**
   * Brings the object under `key` to what it should be. Called again later when it throws, with growing waits; gives a number of milliseconds to be called again
   * after that time though it went well.
   */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<number | void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Keys worked on at the same time. Default 5. */
  readonly workers?: number;
  /** Keys that fail this often are dropped until they are added again. Default: never. */
  readonly maxFailures?: number;
};

/** A queue and the loop that empties it. Keys may be added before the start. */
export class Reconciler implements Service {
  readonly queue: WorkQueue;
  readonly #options: ReconcilerOptions;
  readonly #abort = new AbortController();
  #active = 0;
  #isStarted = false;
  #isPumping = false;
  #waitingForIdle: (() => void)[] = [];

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.queue = new WorkQueue({ clock: options.clock });
    this.queue.onAvailable(() => this.#schedule());
  }

  /** Queues a key. */
  enqueue(key: string): void {
    this.queue.add(key);
  }

  async start(_signal: AbortSignal): Promise<void> {
    this.#isStarted = true;
    this.#pump();
  }

  /** Aborts the work under way and waits for it to end. */
  async stop(): Promise<void> {
    this.queue.shutDown();
    this.#abort.abort(new Error(`the ${this.#options.name} controller was stopped`));
    while (this.#active > 0) await new Promise<void>((resolve) => this.#waitingForIdle.push(resolve));
  }

  /** True when no key waits or is worked on. */
  get isIdle(): boolean {
    return this.queue.isIdle && this.#active === 0;
  }

  /** Keys are taken in a microtask, so that a burst of events for one object is one reconcile. */
  #schedule(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    queueMicrotask(() => {
      this.#isPumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#isStarted && this.#active < (this.#options.workers ?? 5)) {
      const key = this.queue.take();
      if (key === undefined) return;
      this.#active++;
      // Never rejects: #work catches all.
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    try {
      const againAfterMs = await this.#options.reconcile(key, this.#abort.signal);
      this.queue.forget(key);
      if (typeof againAfterMs === "number") this.queue.addAfter(key, againAfterMs);
    } catch (error) {
      this.#onFailure(key, error);
    } finally {
      this.queue.done(key);
      this.#active--;
      this.#pump();
      if (this.#active === 0) for (const resolve of this.#waitingForIdle.splice(0)) resolve();
    }
  }

  #onFailure(key: string, error: unknown): void {
    if (this.#abort.signal.aborted) return;
    const { name, logger, maxFailures = Number.POSITIVE_INFINITY } = this.#options;
    // A refusal of the API server says all there is; of anything else the stack is wanted.
    const shown = error instanceof StatusError ? error.message : error;
    const fields = { controller: name, key, failures: this.queue.failuresOf(key) + 1, error: shown };
    if (this.queue.failuresOf(key) >= maxFailures) {
      logger.warn("Gave up on object", fields);
      this.queue.forget(key);
      return;
    }
    // Conflicts and objects that are gone are the local copy lagging behind: the next try settles them.
    const isOrdinary = error instanceof StatusError && [404, 409, 503].includes(error.code);
    if (isOrdinary) logger.debug("Reconcile will be tried again", fields);
    else logger.warn("Reconcile failed", fields);
    this.queue.addRateLimited(key);
  }
}

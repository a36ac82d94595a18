/**
 * Builds that are under way: a few at a time, one for each function, the newest inputs only.
 */
import type { BuildOutcome } from "#functions/build/job.ts";

/** Runs one build. Rejects only when it is aborted. */
export type RunBuild = (signal: AbortSignal) => Promise<BuildOutcome>;

/** A build that was asked for. */
type Build = { readonly inputHash: string; readonly abort: AbortController };

/** What became of a build. */
export type EndedBuild = { readonly inputHash: string; readonly outcome: BuildOutcome };

const mostAtOnce = 2;

/** Keys are "namespace/name". */
export class Builds {
  readonly #running = new Map<string, Build>();
  readonly #ended = new Map<string, EndedBuild>();
  readonly #waiting: (() => void)[] = [];
  readonly #ends = new Set<Promise<void>>();
  readonly #onEnd: (key: string) => void;
  #active = 0;

  /** `onEnd` is called when a build has ended by itself; its outcome is there then. */
  constructor(onEnd: (key: string) => void) {
    this.#onEnd = onEnd;
  }

  /** Begins a build, unless the same is under way; one of other inputs is ended. */
  ensure(key: string, inputHash: string, run: RunBuild): void {
    const running = this.#running.get(key);
    if (running?.inputHash === inputHash) return;
    running?.abort.abort(new Error("newer inputs are built"));
    const build = { inputHash, abort: new AbortController() };
    this.#running.set(key, build);
    this.#ended.delete(key);
    const end = this.#run(key, build, run).finally(() => this.#ends.delete(end));
    this.#ends.add(end);
  }

  isRunning(key: string, inputHash: string): boolean {
    return this.#running.get(key)?.inputHash === inputHash;
  }

  /** What the newest build of these inputs came to, as long as nobody has forgotten it. */
  outcome(key: string, inputHash: string): BuildOutcome | undefined {
    const ended = this.#ended.get(key);
    return ended?.inputHash === inputHash ? ended.outcome : undefined;
  }

  /** Ends what is under way for a function that is gone, and forgets it. */
  forget(key: string): void {
    this.#running.get(key)?.abort.abort(new Error("the function was deleted"));
    this.#running.delete(key);
    this.#ended.delete(key);
  }

  /** Ends all, and waits for their ends. */
  async stop(): Promise<void> {
    for (const key of this.#running.keys()) this.forget(key);
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.all(this.#ends);
  }

  async #run(key: string, build: Build, run: RunBuild): Promise<void> {
    const { signal } = build.abort;
    while (this.#active >= mostAtOnce && !signal.aborted) await new Promise<void>((wake) => this.#waiting.push(wake));
    this.#active++;
    try {
      signal.throwIfAborted();
      const outcome = await run(signal);
      if (this.#running.get(key) !== build) return;
      this.#running.delete(key);
      this.#ended.set(key, { inputHash: build.inputHash, outcome });
      this.#onEnd(key);
    } catch (error) {
      // Aborted: somebody else has taken its place, or nobody wants it.
      if (!signal.aborted) throw error;
    } finally {
      this.#active--;
      this.#waiting.shift()?.();
    }
  }
}

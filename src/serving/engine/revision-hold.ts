/**
 * Holds requests for revisions that have no pod, and says at once that somebody waits. Any number of requests for one revision is one cold start.
 */
import type { HeldRequest, Hold, HoldVerdict } from "#proxy/config/hold.ts";

/** What the hold asks and tells, by clusters' names. */
export type RevisionHoldOptions = {
  /** Whether requests have somewhere to go. */
  readonly isServed: (cluster: string) => boolean;
  /** Called when the first request for a revision begins to wait. */
  readonly onFirst: (cluster: string) => void;
  /** Called when a request met nobody at an endpoint, before it is asked whether there are others. */
  readonly onUnreachable: (cluster: string, endpoint: string) => void;
  /** What requests are told instead of waiting, where waiting is of no use. */
  readonly refusalFor: (cluster: string) => HoldVerdict | undefined;
  /** Called when a request that waited gets its answer. */
  readonly onAnswer: (cluster: string) => void;
};

/** The hold of all revisions, by their clusters' names. */
export class RevisionHold implements Hold {
  readonly #waiting = new Map<string, Set<(verdict: HoldVerdict) => void>>();
  readonly #options: RevisionHoldOptions;

  constructor(options: RevisionHoldOptions) {
    this.#options = options;
  }

  admit({ cluster, unreachable }: HeldRequest, signal: AbortSignal): Promise<HoldVerdict> {
    const { isServed, onFirst, onUnreachable, refusalFor } = this.#options;
    if (unreachable !== undefined) onUnreachable(cluster, unreachable);
    if (isServed(cluster)) return Promise.resolve({ kind: "go" });
    const refusal = refusalFor(cluster);
    if (refusal !== undefined) return Promise.resolve(refusal);
    const waiting = this.#waiting.get(cluster) ?? new Set();
    const isFirst = waiting.size === 0;
    this.#waiting.set(cluster, waiting);
    const verdict = new Promise<HoldVerdict>((resolve) => {
      const end = (is: HoldVerdict) => {
        signal.removeEventListener("abort", leave);
        resolve(is);
      };
      const leave = () => {
        waiting.delete(end);
        if (waiting.size === 0) this.#waiting.delete(cluster);
        resolve({ kind: "refuse", status: 503, message: "the client has gone" });
      };
      waiting.add(end);
      signal.addEventListener("abort", leave, { once: true });
    });
    if (isFirst) onFirst(cluster);
    return verdict;
  }

  onAnswer({ cluster }: HeldRequest): void {
    this.#options.onAnswer(cluster);
  }

  /** Requests that wait for a revision now. */
  heldFor(cluster: string): number {
    return this.#waiting.get(cluster)?.size ?? 0;
  }

  /** Clusters for which requests wait. */
  get clusters(): readonly string[] {
    return [...this.#waiting.keys()];
  }

  /** The revision has an endpoint, and the engine knows it: all that wait may go; or they are to hear something else. */
  release(cluster: string, verdict: HoldVerdict = { kind: "go" }): void {
    const waiting = this.#waiting.get(cluster) ?? [];
    this.#waiting.delete(cluster);
    for (const end of waiting) end(verdict);
  }
}

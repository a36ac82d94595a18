/**
 * Things that are followed one by one, as long as somebody wants them: Secrets, of which a node may read only those that routes name, and names that lead out of the cluster.
 */

/** Those that are wanted, by key. */
export interface Followed<T> {
  /** From now on these and no others. */
  want(keys: ReadonlySet<string>): void;
  /** What is known under the key; undefined also while nothing is known yet. */
  find(key: string): T | undefined;
  /** Resolves when something is known of all that are wanted now, or when it has taken too long. Rejects when the signal aborts. */
  settled(signal: AbortSignal): Promise<void>;
  /** Calls back with the key of what has changed; gives what ends that. */
  onChange(listener: (key: string) => void): () => void;
}

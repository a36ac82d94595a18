/**
 * What a controller did and has not seen yet: pods that it created or deleted and that the informer will report. Until then its picture is old, and acting on it would
 * create or delete too many. As kube-controller-manager's expectations.
 */
import type { Clock } from "#component-base/clock.ts";

/** After this long what was expected is given up: the event was lost, or the write never happened. */
const timeoutMs = 5 * 60_000;

type Expected = { creations: number; readonly deletions: Set<string>; readonly sinceMs: number };

export class Expectations {
  readonly #clock: Clock;
  readonly #byKey = new Map<string, Expected>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True when everything expected of `key` was seen, or waiting longer makes no sense. */
  isSatisfied(key: string): boolean {
    const expected = this.#byKey.get(key);
    if (expected === undefined) return true;
    if (expected.creations <= 0 && expected.deletions.size === 0) return true;
    return this.#clock.now() - expected.sinceMs > timeoutMs;
  }

  expectCreations(key: string, count: number): void {
    this.#byKey.set(key, { creations: count, deletions: new Set(), sinceMs: this.#clock.now() });
  }

  /** `uids` of the objects that are about to be deleted. */
  expectDeletions(key: string, uids: Iterable<string>): void {
    this.#byKey.set(key, { creations: 0, deletions: new Set(uids), sinceMs: this.#clock.now() });
  }

  /** Adds to what is expected instead of replacing it. */
  raise(key: string, change: { readonly creations?: number; readonly deletions?: Iterable<string> }): void {
    const expected = this.#byKey.get(key) ?? { creations: 0, deletions: new Set<string>(), sinceMs: this.#clock.now() };
    expected.creations += change.creations ?? 0;
    for (const uid of change.deletions ?? []) expected.deletions.add(uid);
    this.#byKey.set(key, expected);
  }

  /** A creation was seen, or will never be. */
  creationObserved(key: string): void {
    const expected = this.#byKey.get(key);
    if (expected !== undefined) expected.creations--;
  }

  /** A deletion was seen, or will never be. Seeing one twice is harmless. */
  deletionObserved(key: string, uid: string): void {
    this.#byKey.get(key)?.deletions.delete(uid);
  }

  /** Forgets the key: its object is gone. */
  delete(key: string): void {
    this.#byKey.delete(key);
  }
}

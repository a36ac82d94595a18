/**
 * Containers that must wait before they are started (again), with the reason that users read meanwhile.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Waiting } from "./pod-view.ts";

/** What may end a wait early: configuration that became whole; a crash has to wait in any case. */
export type HoldKind = "config" | "crash";

type Hold = { readonly kind: HoldKind; readonly timer: Timer | undefined };

/** Waits by container name. The reason stays to be read until the container runs. */
export class HeldContainers {
  readonly #clock: Clock;
  readonly #onOver: () => void;
  readonly #holds = new Map<string, Hold>();
  readonly #waiting = new Map<string, Waiting>();

  constructor(clock: Clock, onOver: () => void) {
    this.#clock = clock;
    this.#onOver = onOver;
  }

  /** Waits for `retryMs`; undefined only sets the reason and leaves the rest to the crash backoff. */
  hold(name: string, waiting: Waiting, retryMs: number | undefined, kind: HoldKind = "config"): void {
    this.#waiting.set(name, waiting);
    this.#holds.get(name)?.timer?.clear();
    if (retryMs === undefined) {
      this.#holds.delete(name);
      return;
    }
    const timer = this.#clock.setTimer(retryMs, () => {
      this.#holds.delete(name);
      this.#onOver();
    });
    this.#holds.set(name, { kind, timer });
  }

  isHeld(name: string): boolean {
    return this.#holds.has(name);
  }

  waiting(name: string): Waiting | undefined {
    return this.#waiting.get(name);
  }

  /** The container runs: nothing to say any more. */
  forget(name: string): void {
    this.#holds.get(name)?.timer?.clear();
    this.#holds.delete(name);
    this.#waiting.delete(name);
  }

  /** Ends the waits of this kind. */
  release(kind: HoldKind): void {
    for (const [name, hold] of this.#holds) {
      if (hold.kind !== kind) continue;
      hold.timer?.clear();
      this.#holds.delete(name);
    }
  }

  /** Ends all waits without waking anybody; reasons stay. */
  clear(): void {
    for (const hold of this.#holds.values()) hold.timer?.clear();
    this.#holds.clear();
  }
}

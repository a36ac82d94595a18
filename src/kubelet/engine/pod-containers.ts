/**
 * The containers of one pod as the runtime last told of them, by name: the newest and the one before it.
 */
import type { ContainerState } from "#kubelet/container-runtime.ts";

/** Remembers container states; late news about an ended container does not bring it back. */
export class PodContainers {
  readonly #byName = new Map<string, ContainerState[]>();

  /** Takes a state. True when it is news. */
  set(state: ContainerState): boolean {
    const known = this.#byName.get(state.name) ?? [];
    const index = known.findIndex((it) => it.id === state.id);
    const before = known[index];
    if (before?.phase === "exited" || (before?.phase === state.phase && before.phase !== "created")) return false;
    if (index >= 0) known[index] = state;
    else known.push(state);
    known.sort((a, b) => a.attempt - b.attempt || a.createdMs - b.createdMs);
    this.#byName.set(state.name, known);
    return true;
  }

  latest(name: string): ContainerState | undefined {
    return this.#byName.get(name)?.at(-1);
  }

  previous(name: string): ContainerState | undefined {
    return this.#byName.get(name)?.at(-2);
  }

  find(id: string): ContainerState | undefined {
    return this.all().find((state) => state.id === id);
  }

  all(): readonly ContainerState[] {
    return [...this.#byName.values()].flat();
  }

  running(): readonly ContainerState[] {
    return this.all().filter((state) => state.phase === "running");
  }

  /** Forgets all but the newest two of each name; gives those that were forgotten. */
  prune(): readonly ContainerState[] {
    return [...this.#byName.values()].flatMap((states) => states.splice(0, Math.max(0, states.length - 2)));
  }

  /** Containers that the runtime does not know any more cannot be running. */
  markGone(isGone: (state: ContainerState) => boolean, nowMs: number): void {
    for (const state of this.running().filter(isGone)) {
      this.set({ ...state, phase: "exited", exitCode: 137, finishedMs: nowMs, message: "The container was removed" });
    }
  }
}

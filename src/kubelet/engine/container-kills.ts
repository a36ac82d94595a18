/**
 * Killing: single containers that are to be started again or left stopped, and all of a pod's at its end.
 */
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { StopDeadline, graceFor, stopAll, stopContainer } from "./container-stop.ts";
import type { StopContext } from "./container-stop.ts";
import type { Kill } from "./pod-actions.ts";
import { findContainer } from "./pod-view.ts";
import type { RestartHolds } from "./restart-holds.ts";
import type { WorkerCore } from "./worker-core.ts";

export type ContainerKillsOptions = {
  readonly core: WorkerCore;
  readonly holds: RestartHolds;
  readonly stopContext: () => StopContext;
  /** The runtime says how a container is. */
  readonly onContainer: (state: ContainerState) => void;
};

/** Stops containers. */
export class ContainerKills {
  readonly #options: ContainerKillsOptions;
  readonly #stopping = new Set<string>();

  constructor(options: ContainerKillsOptions) {
    this.#options = options;
  }

  isStopping(id: string): boolean {
    return this.#stopping.has(id);
  }

  /** Stops one container, unless that is under way. */
  kill({ id, container, message, reason }: Kill): void {
    const { core, holds, stopContext } = this.#options;
    const state = core.containers.find(id);
    if (!state || this.#stopping.has(id)) return;
    this.#stopping.add(id);
    if (reason !== "other") holds.killedByProbe(id);
    void core.runUntilEnded(async () => {
      const deadline = new StopDeadline(core.parts.clock.now(), graceFor(core.pod(), container, reason));
      await stopContainer(state, container, { message, deadline }, stopContext()).finally(() =>
        this.#stopping.delete(id),
      );
    });
  }

  /** Stops all at once, so that none of them is taken for one that failed. */
  async killAll(): Promise<void> {
    const { core } = this.#options;
    for (const { id } of core.containers.running()) this.#stopping.add(id);
    await this.stopAll(new StopDeadline(core.parts.clock.now(), 0));
  }

  /** Stops all within the deadline, in their order; then nothing runs, or the runtime says otherwise. */
  async stopAll(deadline: StopDeadline): Promise<void> {
    const { core, stopContext } = this.#options;
    const running = core.containers.running().map((state) => {
      return { state, container: findContainer(core.pod(), state.name) ?? { name: state.name } };
    });
    if (running.length > 0) await stopAll(running, deadline, stopContext());
    if (core.containers.running().length > 0) await this.#askRuntime();
  }

  /** The word about an end may come after the stop has resolved; what the runtime does not know has ended all the same. */
  async #askRuntime(): Promise<void> {
    const { core, onContainer } = this.#options;
    const states = await core.parts.runtime.listContainers();
    const own = states.filter((state) => state.pod.uid === core.ref.uid);
    for (const state of own) onContainer(state);
    const ids = new Set(own.map((state) => state.id));
    core.containers.markGone((state) => !ids.has(state.id), core.parts.clock.now());
  }
}

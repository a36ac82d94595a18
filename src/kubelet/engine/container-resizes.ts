/**
 * Resizing: containers that run get the bounds of the pod's spec, where they are or by another start.
 */
import type { Container, ResourceRequirements } from "#api/generated/types/core-v1.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { resizeMessage } from "#kubelet/resize-events.ts";
import type { ContainerKills } from "./container-kills.ts";
import type { ContainerStarts } from "./container-starts.ts";
import { PodResizer, type Resize } from "./pod-resize.ts";
import { findContainer } from "./pod-view.ts";
import type { RestartHolds } from "./restart-holds.ts";
import type { WorkerCore } from "./worker-core.ts";

export type ContainerResizesOptions = {
  readonly core: WorkerCore;
  readonly holds: RestartHolds;
  readonly starts: ContainerStarts;
  readonly kills: ContainerKills;
};

export class ContainerResizes {
  readonly #options: ContainerResizesOptions;
  readonly #resizer: PodResizer;

  constructor(options: ContainerResizesOptions) {
    this.#options = options;
    this.#resizer = new PodResizer(options.core.parts);
  }

  /** Begins what is to be done, for containers that nothing else is done with. */
  resize(): void {
    const { core, starts, kills } = this.#options;
    const running = core.containers.running().flatMap((state) => {
      const container = findContainer(core.pod(), state.name);
      const isBusy = kills.isStopping(state.id) || starts.isStarting(state.name);
      return container && !isBusy ? [{ state, container }] : [];
    });
    const resizes = this.#resizer.plan(core.pod(), running);
    for (const one of resizes.filter((it) => it.needsRestart)) this.#restart(one);
    const inPlace = resizes.filter((it) => !it.needsRestart);
    if (inPlace.length > 0) void core.run(() => this.#apply(inPlace)); // never rejects
  }

  /** What a running container has, as its status tells it. */
  resources(state: ContainerState, container: Container): ResourceRequirements {
    return this.#resizer.resources(state, container);
  }

  /** True while a container of the pod is being given other bounds. */
  get isBusy(): boolean {
    return this.#resizer.isBusy;
  }

  /** The container is gone. */
  forget(id: string): void {
    this.#resizer.forget(id);
  }

  #restart({ state, container }: Resize): void {
    const { holds, kills } = this.#options;
    holds.forgive(state.name);
    const message = `Container ${container.name} resize requires restart`;
    kills.kill({ id: state.id, container, message, reason: "other" });
  }

  async #apply(resizes: readonly Resize[]): Promise<void> {
    const { core } = this.#options;
    const { events } = core.parts;
    try {
      await this.#resizer.apply(core.pod(), resizes);
      events.pod(core.pod(), "Normal", "ResizeCompleted", resizeMessage(core.pod(), "completed"));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      events.pod(core.pod(), "Warning", "ResizeError", resizeMessage(core.pod(), "error", why));
      throw error;
    }
  }
}

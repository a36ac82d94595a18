/**
 * Beginning anew: a container's end may say that the whole pod is to be started again (restart policy rules, KEP-5532).
 */
import type { ContainerState } from "#kubelet/container-runtime.ts";
import type { ContainerKills } from "./container-kills.ts";
import { allContainers, findContainer } from "./pod-view.ts";
import type { RestartHolds } from "./restart-holds.ts";
import { couldRestartAll, restartsAll } from "./restart-policy.ts";
import type { WorkerCore } from "./worker-core.ts";

export type PodRestartOptions = {
  readonly core: WorkerCore;
  readonly holds: RestartHolds;
  readonly kills: ContainerKills;
};

export class PodRestart {
  readonly #options: PodRestartOptions;
  #isUnderWay = false;
  #epochMs = 0;

  constructor(options: PodRestartOptions) {
    this.#options = options;
  }

  /** What was made before does not count any more. */
  get epochMs(): number {
    return this.#epochMs;
  }

  /** True while everything is stopped to begin anew, which a container's end begins. */
  begin(): boolean {
    const { core } = this.#options;
    if (!couldRestartAll(core.pod())) return false;
    if (this.#isUnderWay) return true;
    const latest = allContainers(core.pod()).flatMap(({ name }) => core.containers.latest(name) ?? []);
    if (!latest.some((state) => this.#isCause(state))) return false;
    this.#isUnderWay = true;
    void core.run(() => this.#stopAll()).finally(() => (this.#isUnderWay = false)); // never rejects
    return true;
  }

  #isCause(state: ContainerState): boolean {
    const container = findContainer(this.#options.core.pod(), state.name);
    if (!container || state.phase !== "exited" || state.createdMs < this.#epochMs) return false;
    return restartsAll(container, state.exitCode ?? 137);
  }

  async #stopAll(): Promise<void> {
    const { core, holds, kills } = this.#options;
    await kills.killAll();
    // Everything was made before now, even in this very millisecond.
    this.#epochMs = Math.max(...core.containers.all().map((state) => state.createdMs)) + 1;
    for (const { name } of allContainers(core.pod())) holds.forgive(name);
  }
}

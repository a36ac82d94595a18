/**
 * New requests and limits for a running pod (KEP-1287): bounds of its cgroups are changed where they are, or a container is restarted where its resizePolicy wants that.
 */
import type { Container, Pod, ResourceRequirements } from "#api/generated/types/core-v1.ts";
import type { ContainerState, LinuxResources } from "#kubelet/container-runtime.ts";
import { sameJson } from "#kubelet/pod-object.ts";
import { containerResources, podCgroupResources } from "#kubelet/resources/linux-resources.ts";
import type { EngineParts } from "./engine-parts.ts";

/** A running container whose bounds are not those of its spec. */
export type Resize = { readonly state: ContainerState; readonly container: Container; readonly needsRestart: boolean };

/** Remembers which bounds the pod's containers have. */
export class PodResizer {
  readonly #parts: EngineParts;
  readonly #bounds = new Map<string, LinuxResources>();
  readonly #resources = new Map<string, ResourceRequirements>();
  readonly #under = new Set<string>();

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /** What a running container has, as its status tells it. */
  resources(state: ContainerState, container: Container): ResourceRequirements {
    return this.#resources.get(state.id) ?? container.resources ?? {};
  }

  /** True while a container of the pod is being given other bounds. */
  get isBusy(): boolean {
    return this.#under.size > 0;
  }

  /** What has to be done, for containers that are not being resized already. */
  plan(
    pod: Pod,
    running: readonly { readonly state: ContainerState; readonly container: Container }[],
  ): readonly Resize[] {
    return running.flatMap(({ state, container }) => {
      const wanted = containerResources(pod, container);
      const has = this.#bounds.get(state.id) ?? state.spec.resources;
      if (this.#under.has(state.id)) return [];
      if (sameJson(has, wanted)) {
        this.#resources.set(state.id, container.resources ?? {});
        return [];
      }
      return [{ state, container, needsRestart: needsRestart(container, has, wanted) }];
    });
  }

  /** Changes the bounds of containers that may keep running, the pod's own around them. */
  async apply(pod: Pod, resizes: readonly Resize[]): Promise<void> {
    const { runtime, node } = this.#parts;
    for (const { state } of resizes) this.#under.add(state.id);
    try {
      const own = podCgroupResources(pod, node.pidsLimit);
      const before = resizes.map(({ state }) => this.#bounds.get(state.id) ?? state.spec.resources);
      // A container may not have more than its pod: what grows, grows from above, what shrinks, from below.
      await runtime.updateSandboxResources(resizes[0]?.state.pod ?? podRefOf(pod), withRoomFor(own, before));
      for (const { state, container } of resizes) await this.#update(pod, state, container);
      await runtime.updateSandboxResources(resizes[0]?.state.pod ?? podRefOf(pod), own);
    } finally {
      for (const { state } of resizes) this.#under.delete(state.id);
    }
  }

  /** The container is gone. */
  forget(id: string): void {
    this.#bounds.delete(id);
    this.#resources.delete(id);
  }

  async #update(pod: Pod, state: ContainerState, container: Container): Promise<void> {
    const wanted = containerResources(pod, container);
    await this.#parts.runtime.updateResources(state.id, wanted);
    this.#bounds.set(state.id, wanted);
    this.#resources.set(state.id, container.resources ?? {});
  }
}

function needsRestart(container: Container, has: LinuxResources, wanted: LinuxResources): boolean {
  const policy = (name: string) => container.resizePolicy?.find((it) => it.resourceName === name)?.restartPolicy;
  const cpuDiffers = has.cpuShares !== wanted.cpuShares || has.cpuQuotaMicroseconds !== wanted.cpuQuotaMicroseconds;
  const memoryDiffers =
    has.memoryLimitBytes !== wanted.memoryLimitBytes || has.memoryRequestBytes !== wanted.memoryRequestBytes;
  return (
    (cpuDiffers && policy("cpu") === "RestartContainer") || (memoryDiffers && policy("memory") === "RestartContainer")
  );
}

function withRoomFor(own: LinuxResources, containers: readonly LinuxResources[]): LinuxResources {
  const most = (value: (it: LinuxResources) => number | undefined) => {
    const sum = containers.reduce((total, it) => total + (value(it) ?? 0), 0);
    const now = value(own);
    return now === undefined ? undefined : Math.max(now, sum);
  };
  const cpuQuotaMicroseconds = most((it) => it.cpuQuotaMicroseconds);
  const memoryLimitBytes = most((it) => it.memoryLimitBytes);
  return {
    ...own,
    ...(cpuQuotaMicroseconds === undefined ? {} : { cpuQuotaMicroseconds }),
    ...(memoryLimitBytes === undefined ? {} : { memoryLimitBytes }),
  };
}

function podRefOf(pod: Pod): ContainerState["pod"] {
  const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
  return { namespace, name, uid };
}

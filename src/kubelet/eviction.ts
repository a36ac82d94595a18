/**
 * When memory runs out, the node ends the pod that takes most beyond what it asked for, before the kernel ends something at random. One pod at a time, then it looks
 * again. Order and words as pkg/kubelet/eviction (memory.available), v1.36.
 */
import type { Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KubeletEvents } from "./events.ts";
import { podKey, refOf } from "./pod-object.ts";
import type { ContainerUsage, PodRef } from "./provider.ts";
import { amountsOf, podRequests } from "#kubelet/resources/pod-resources.ts";

/** From this priority on pods belong to the system and are left alone. */
const systemCriticalPriority = 2_000_000_000;
/** Room for the memory of the last one to come back before the next one goes. */
const pauseMs = 30_000;
const graceSeconds = 1;

export type EvictionOptions = {
  /** Pods that run here. */
  readonly pods: () => readonly Pod[];
  readonly usage: () => Promise<readonly { readonly ref: PodRef; readonly containers: readonly ContainerUsage[] }[]>;
  readonly evict: (ref: PodRef, status: EvictedStatus, gracePeriodSeconds: number) => Promise<void>;
  readonly events: KubeletEvents;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** What an evicted pod's status says. */
export type EvictedStatus = Required<Pick<PodStatus, "reason" | "message">>;

type Candidate = {
  readonly pod: Pod;
  readonly used: number;
  readonly requested: number;
  readonly containers: readonly ContainerUsage[];
};

/** Ends pods under memory pressure. */
export class Eviction {
  readonly #options: EvictionOptions;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** Called while the node is under memory pressure. Ends at most one pod. */
  async relieve(): Promise<void> {
    const { clock, events, logger, evict } = this.#options;
    if (clock.now() - this.#lastMs < pauseMs) return;
    const [victim] = (await this.#candidates()).sort(worstFirst);
    if (!victim) return;
    this.#lastMs = clock.now();
    const ref = refOf(victim.pod);
    const message = messageFor(victim);
    logger.warn("Evicting pod to free memory", { pod: podKey(ref), bytes: victim.used });
    events.pod(victim.pod, "Warning", "Evicted", message);
    await evict(ref, { reason: "Evicted", message }, graceSeconds);
  }

  async #candidates(): Promise<Candidate[]> {
    const usage = new Map((await this.#options.usage()).map((it) => [it.ref.uid, it.containers]));
    return this.#options.pods().flatMap((pod) => {
      const containers = usage.get(refOf(pod).uid) ?? [];
      const used = containers.reduce((total, it) => total + it.memoryWorkingSetBytes, 0);
      if (used === 0 || (pod.spec?.priority ?? 0) >= systemCriticalPriority) return [];
      return [{ pod, used, requested: podRequests(pod)["memory"] ?? 0, containers }];
    });
  }
}

/** Who takes more than he asked for goes first, then lower priority, then who takes most beyond it. */
function worstFirst(a: Candidate, b: Candidate): number {
  const exceeds = (it: Candidate) => Number(it.used > it.requested);
  return (
    exceeds(b) - exceeds(a) ||
    (a.pod.spec?.priority ?? 0) - (b.pod.spec?.priority ?? 0) ||
    b.used - b.requested - (a.used - a.requested)
  );
}

function messageFor({ pod, containers }: Candidate): string {
  const details = containers.flatMap(({ name, memoryWorkingSetBytes }) => {
    const container = pod.spec?.containers.find((it) => it.name === name);
    const requested = amountsOf(container?.resources?.requests)["memory"] ?? 0;
    if (memoryWorkingSetBytes <= requested) return [];
    const used = `${Math.floor(memoryWorkingSetBytes / 1024)}Ki`;
    const asked = container?.resources?.requests?.["memory"] ?? "0";
    return [`Container ${name} was using ${used}, request is ${asked}, has larger consumption of memory. `];
  });
  return `The node was low on resource: memory. ${details.join("")}`;
}

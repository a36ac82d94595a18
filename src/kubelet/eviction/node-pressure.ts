/**
 * When memory or disk runs out, the node ends the pod that takes most beyond what it asked for, before the kernel ends something at random or nobody can write. One pod at a
 * time, then it looks again. Order and words as pkg/kubelet/eviction, v1.36.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { formatQuantity, quantityOf } from "#apimachinery/quantity.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import type { Shortage } from "#kubelet/node/node-object.ts";
import { podKey, refOf } from "#kubelet/pod-object.ts";
import type { PodRef } from "#kubelet/provider.ts";
import { amountsOf, podRequests } from "#kubelet/resources/pod-resources.ts";
import { type EvictedStatus, immediateGraceSeconds, isCritical } from "./evicted-status.ts";

/** Room for what the last one had to come back before the next one goes. */
const pauseMs = 30_000;

/** What the containers of a pod use of what is short, in bytes. `sharedBytes` are nobody's alone: volumes. */
export type ResourceUse = {
  readonly ref: PodRef;
  readonly containers: readonly { readonly name: string; readonly bytes: number }[];
  readonly sharedBytes: number;
};

export type NodePressureOptions = {
  /** Pods that run here. */
  readonly pods: () => readonly Pod[];
  readonly usage: (resource: Shortage["resource"]) => Promise<readonly ResourceUse[]>;
  readonly evict: (ref: PodRef, status: EvictedStatus, gracePeriodSeconds: number) => Promise<void>;
  readonly events: KubeletEvents;
  readonly clock: Clock;
  readonly logger: Logger;
};

type Candidate = {
  readonly pod: Pod;
  readonly used: number;
  readonly requested: number;
  readonly containers: ResourceUse["containers"];
};

/** Ends pods under pressure. */
export class NodePressureEviction {
  readonly #options: NodePressureOptions;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(options: NodePressureOptions) {
    this.#options = options;
  }

  /** Called while there is too little of something. Ends at most one pod. */
  async relieve(shortage: Shortage): Promise<void> {
    const { clock, events, logger, evict } = this.#options;
    const { resource } = shortage;
    if (clock.now() - this.#lastMs < pauseMs) return;
    const [victim] = (await this.#candidates(resource)).sort(worstFirst);
    if (!victim) return;
    this.#lastMs = clock.now();
    const ref = refOf(victim.pod);
    const message = messageFor(victim, shortage);
    logger.warn("Evicting pod under pressure", { pod: podKey(ref), resource, bytes: victim.used });
    events.pod(victim.pod, "Warning", "Evicted", message);
    await evict(ref, { reason: "Evicted", message, isDisruption: true }, immediateGraceSeconds);
  }

  async #candidates(resource: Shortage["resource"]): Promise<Candidate[]> {
    const usage = new Map((await this.#options.usage(resource)).map((it) => [it.ref.uid, it]));
    return this.#options.pods().flatMap((pod) => {
      const { containers = [], sharedBytes = 0 } = usage.get(refOf(pod).uid) ?? {};
      const used = containers.reduce((total, it) => total + it.bytes, sharedBytes);
      if (used === 0 || isCritical(pod)) return [];
      return [{ pod, used, requested: podRequests(pod)[resource] ?? 0, containers }];
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

function messageFor({ pod, containers }: Candidate, { resource, signal, threshold, available }: Shortage): string {
  const details = containers.flatMap(({ name, bytes }) => {
    const container = pod.spec?.containers.find((it) => it.name === name);
    const requested = amountsOf(container?.resources?.requests)[resource] ?? 0;
    if (bytes <= requested) return [];
    const asked = container?.resources?.requests?.[resource] ?? "0";
    return [
      `Container ${name} was using ${bytesText(bytes)}, request is ${asked}, has larger consumption of ${resource}. `,
    ];
  });
  const isCount = signal === "nodefs.inodesFree";
  const [least, left] = [threshold, available].map((value) => (isCount ? String(value) : bytesText(value)));
  const what = isCount ? "inodes" : resource;
  return `The node was low on resource: ${what}. Threshold quantity: ${least}, available: ${left}. ${details.join("")}`;
}

function bytesText(bytes: number): string {
  return formatQuantity(quantityOf(bytes, "BinarySI"));
}

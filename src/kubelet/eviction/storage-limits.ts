/**
 * Ends pods that write more to the node's disk than they may: more into an emptyDir than its sizeLimit, or more in all than their limits of ephemeral-storage. Order and words
 * as localStorageEviction of pkg/kubelet/eviction, v1.36. Nothing is looked at of pods without such limits.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { canonicalQuantity, formatQuantity, quantityOf, quantityValue } from "#apimachinery/quantity.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import { podKey, refOf } from "#kubelet/pod-object.ts";
import type { PodDisk, PodDiskUsage, PodRef } from "#kubelet/provider.ts";
import { amountsOf, podLimits } from "#kubelet/resources/pod-resources.ts";
import { type EvictedStatus, immediateGraceSeconds, isCritical } from "./evicted-status.ts";

const resource = "ephemeral-storage";
/** Walking many files takes long: it may have a twentieth of the time at most. */
const restFactor = 20;

export type StorageLimitsOptions = {
  /** Pods that run here. */
  readonly pods: () => readonly Pod[];
  readonly disk: PodDisk["podDisk"];
  readonly evict: (ref: PodRef, status: EvictedStatus, gracePeriodSeconds: number) => Promise<void>;
  readonly events: KubeletEvents;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Watches over what pods write. */
export class StorageLimits {
  readonly #options: StorageLimitsOptions;
  #nextMs = 0;

  constructor(options: StorageLimitsOptions) {
    this.#options = options;
  }

  /** One look; called every few seconds. */
  async check(): Promise<void> {
    const { pods, disk, clock } = this.#options;
    const startedMs = clock.now();
    if (startedMs < this.#nextMs) return;
    const bounded = pods().filter((pod) => isBounded(pod) && !isCritical(pod));
    if (bounded.length === 0) return;
    const usage = new Map((await disk(bounded.map(refOf))).map((it) => [it.ref.uid, it]));
    this.#nextMs = clock.now() + (clock.now() - startedMs) * restFactor;
    for (const pod of bounded) {
      const used = usage.get(refOf(pod).uid);
      const message = used && violation(pod, used);
      if (message !== undefined) await this.#evict(pod, message);
    }
  }

  async #evict(pod: Pod, message: string): Promise<void> {
    const { evict, events, logger } = this.#options;
    const ref = refOf(pod);
    logger.warn("Evicting pod beyond its storage limits", { pod: podKey(ref), why: message });
    events.pod(pod, "Warning", "Evicted", message);
    await evict(ref, { reason: "Evicted", message, isDisruption: false }, immediateGraceSeconds);
  }
}

function isBounded(pod: Pod): boolean {
  return (
    (pod.spec?.volumes ?? []).some(({ emptyDir }) => sizeLimitOf(emptyDir) > 0) || (podLimits(pod)[resource] ?? 0) > 0
  );
}

function sizeLimitOf(emptyDir: { readonly sizeLimit?: string; readonly medium?: string } | undefined): number {
  // What lies in memory cannot grow beyond its limit.
  if (emptyDir?.sizeLimit === undefined || emptyDir.medium === "Memory") return 0;
  return quantityValue(emptyDir.sizeLimit);
}

/** What the pod does that it may not, in upstream's words. */
function violation(pod: Pod, usage: PodDiskUsage): string | undefined {
  return volumeViolation(pod, usage) ?? podViolation(pod, usage) ?? containerViolation(pod, usage);
}

function volumeViolation(pod: Pod, { volumes }: PodDiskUsage): string | undefined {
  for (const { name, emptyDir } of pod.spec?.volumes ?? []) {
    const limit = sizeLimitOf(emptyDir);
    if (limit <= 0 || (volumes.get(name) ?? 0) <= limit) continue;
    const text = canonicalQuantity(emptyDir?.sizeLimit ?? "0");
    return `Usage of EmptyDir volume ${JSON.stringify(name)} exceeds the limit ${JSON.stringify(text)}. `;
  }
  return undefined;
}

function podViolation(pod: Pod, { volumes, containers }: PodDiskUsage): string | undefined {
  const limit = podLimits(pod)[resource] ?? 0;
  const inVolumes = [...volumes.values()].reduce((total, bytes) => total + bytes, 0);
  const used = containers.reduce((total, it) => total + it.logBytes + it.rootBytes, inVolumes);
  if (limit <= 0 || used <= limit) return undefined;
  const text = formatQuantity(quantityOf(limit, "BinarySI"));
  return `Pod ephemeral local storage usage exceeds the total limit of containers ${text}. `;
}

function containerViolation(pod: Pod, usage: PodDiskUsage): string | undefined {
  for (const { name, resources } of pod.spec?.containers ?? []) {
    const limit = amountsOf(resources?.limits)[resource] ?? 0;
    const used = usage.containers.find((it) => it.name === name);
    if (limit <= 0 || !used || used.logBytes + used.rootBytes <= limit) continue;
    const text = canonicalQuantity(resources?.limits?.[resource] ?? "0");
    return `Container ${name} exceeded its local ephemeral storage limit ${JSON.stringify(text)}. `;
  }
  return undefined;
}

/**
 * What controllers ask of pods, and how they make and delete them.
 */
import type { Pod, PodCondition, PodTemplateSpec } from "#api/generated/types/core-v1.ts";
import type { KubeObject, OwnerReference } from "#apimachinery/meta.ts";
import { StatusError, hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import { controllerReference } from "#apimachinery/owner-references.ts";
import { pods } from "./resources.ts";

/** The pod's condition of this type, or undefined. */
export function podCondition(pod: Pod, type: string): PodCondition | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === type);
}

/** True when the condition Ready is True. */
export function isPodReady(pod: Pod): boolean {
  return podCondition(pod, "Ready")?.status === "True";
}

/** True for phases Succeeded and Failed: the pod's containers will not run again. */
export function isPodFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** True when deletion has begun. */
export function isPodTerminating(pod: Pod): boolean {
  return pod.metadata?.deletionTimestamp !== undefined;
}

/** Neither finished nor being deleted. */
export function isPodActive(pod: Pod): boolean {
  return !isPodFinished(pod) && !isPodTerminating(pod);
}

/** Ms since 1970 when the pod became ready; undefined when it is not. */
export function readySinceMs(pod: Pod): number | undefined {
  const ready = podCondition(pod, "Ready");
  if (ready?.status !== "True") return undefined;
  return ready.lastTransitionTime ? Date.parse(ready.lastTransitionTime) : 0;
}

/** True when the pod has been ready for `minReadySeconds`. */
export function isPodAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  const sinceMs = readySinceMs(pod);
  if (sinceMs === undefined) return false;
  return minReadySeconds === 0 || (sinceMs > 0 && sinceMs + minReadySeconds * 1000 <= nowMs);
}

/** Ms until the first of the ready pods becomes available; undefined when none will by waiting. */
export function nextAvailabilityMs(all: readonly Pod[], minReadySeconds: number, nowMs: number): number | undefined {
  let soonest: number | undefined;
  for (const pod of all) {
    const sinceMs = readySinceMs(pod);
    if (sinceMs === undefined || isPodAvailable(pod, minReadySeconds, nowMs)) continue;
    const waitMs = sinceMs + minReadySeconds * 1000 - nowMs;
    soonest = Math.min(soonest ?? waitMs, waitMs);
  }
  return soonest;
}

/** A pod as the template has it, owned by `owner`. Named by the server unless `name` is given. */
export function podFromTemplate(
  template: PodTemplateSpec | undefined,
  owner: KubeObject,
  options: { readonly name?: string; readonly generateName?: string; readonly reference?: OwnerReference } = {},
): Pod {
  const { labels, annotations, finalizers } = template?.metadata ?? {};
  const prefix = options.generateName ?? `${owner.metadata?.name}-`;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...(options.name === undefined ? { generateName: prefix } : { name: options.name }),
      namespace: owner.metadata?.namespace ?? "",
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [options.reference ?? controllerReference(owner)],
    },
    ...(template?.spec === undefined ? {} : { spec: template.spec }),
  };
}

/** Creates and deletes pods and says so in Events of their owner, in the words of kube-controller-manager. */
export class PodControl {
  readonly #client: Client;
  readonly #events: EventRecorder;

  constructor(client: Client, events: EventRecorder) {
    this.#client = client;
    this.#events = events;
  }

  async create(pod: Pod, owner: KubeObject, signal: AbortSignal): Promise<Pod> {
    try {
      const namespace = pod.metadata?.namespace ?? "";
      const created = await this.#client.create<Pod>({ resource: pods, namespace }, pod, { signal });
      const message = `Created pod: ${created.metadata?.name}`;
      this.#events.record(owner, { type: "Normal", reason: "SuccessfulCreate", message });
      return created;
    } catch (error) {
      if (!signal.aborted && !isNamespaceTerminating(error)) {
        const message = `Error creating: ${error instanceof Error ? error.message : String(error)}`;
        this.#events.record(owner, { type: "Warning", reason: "FailedCreate", message });
      }
      throw error;
    }
  }

  /** Throws NotFound when the pod is gone. */
  async delete(pod: Pod, owner: KubeObject, signal: AbortSignal): Promise<void> {
    const { name = "", namespace = "", uid = "" } = pod.metadata ?? {};
    try {
      await this.#client.delete({ resource: pods, namespace, name }, { preconditions: { uid }, signal });
      this.#events.record(owner, { type: "Normal", reason: "SuccessfulDelete", message: `Deleted pod: ${name}` });
    } catch (error) {
      if (hasReason(error, "NotFound") || signal.aborted) throw error;
      const message = `Error deleting: ${error instanceof Error ? error.message : String(error)}`;
      this.#events.record(owner, { type: "Warning", reason: "FailedDelete", message });
      throw error;
    }
  }
}

/** True when a create was refused because its namespace is on its way out: nothing is wrong then. */
export function isNamespaceTerminating(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  return error.details?.causes?.some((cause) => cause.reason === "NamespaceTerminating") ?? false;
}

/**
 * Calls `create` `count` times, in batches of 1, 2, 4, …, and stops after a batch in which one failed: what fails once will mostly fail always, and
 * a thousand refused requests help nobody. Gives the number of successes and the first error.
 */
export async function slowStart(
  count: number,
  create: (index: number) => Promise<unknown>,
): Promise<{ readonly successes: number; readonly error: unknown }> {
  let started = 0;
  for (let batch = 1; started < count; batch *= 2) {
    const size = Math.min(batch, count - started);
    const first = started;
    const results = await Promise.allSettled(Array.from({ length: size }, (_, offset) => create(first + offset)));
    const failures = results.filter((result) => result.status === "rejected");
    if (failures.length > 0) return { successes: started + size - failures.length, error: failures[0]!.reason };
    started += size;
  }
  return { successes: count, error: undefined };
}

/**
 * A revision that has served gets a fresh pod when the program of one keeps ending, instead of waiting for CrashLoopBackOff with requests that queue: one request that ate all memory
 * must not keep others waiting for minutes. The pod is deleted, as anybody may, and its ReplicaSet makes another at once. The waits between two of these grow, but stay below
 * what callers put up with. A revision that never was ready is left to the kubelet.
 */
import type { Container, ContainerStatus, Pod } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { EventInput } from "#client/event-recorder.ts";
import { keyOf } from "#client/object-store.ts";
import type { Clock } from "#component-base/clock.ts";
import { pods as podResource } from "#serving/common/context.ts";

const firstWaitMs = 1000;
const longestWaitMs = 15_000;
/** Without trouble for so long, it begins anew. */
const forgottenMs = 120_000;

type Replacement = { readonly count: number; readonly atMs: number };

/** Replaces pods, by their revision's key. */
export class FreshPods {
  readonly #replaced = new Map<string, Replacement>();
  readonly #client: Client;
  readonly #clock: Clock;

  constructor({ client, clock }: { readonly client: Client; readonly clock: Clock }) {
    this.#client = client;
    this.#clock = clock;
  }

  /** Replaces those that wait to be started anew, or gives the milliseconds until that is due. */
  async replace(key: string, pods: readonly Pod[], signal: AbortSignal): Promise<number | undefined> {
    const stuck = pods.filter(isBackingOff);
    if (stuck.length === 0) return undefined;
    const now = this.#clock.now();
    const before = this.#replaced.get(key);
    const known = before !== undefined && now - before.atMs < forgottenMs ? before : undefined;
    const count = known?.count ?? 0;
    const dueMs = known === undefined ? now : known.atMs + Math.min(firstWaitMs * 2 ** (count - 1), longestWaitMs);
    if (now < dueMs) return dueMs - now;
    this.#replaced.set(key, { count: count + 1, atMs: now });
    await Promise.all(stuck.map((pod) => this.#delete(pod, signal)));
    return undefined;
  }

  forget(key: string): void {
    this.#replaced.delete(key);
  }

  async #delete({ metadata }: Pod, signal: AbortSignal): Promise<void> {
    const { namespace = "", name = "", uid, resourceVersion } = metadata ?? {};
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    try {
      await this.#client.delete({ resource: podResource, namespace, name }, { preconditions, signal });
    } catch (error) {
      // It has changed, perhaps runs: the next look sees it.
      if (!hasReason(error, "Conflict") && !hasReason(error, "NotFound")) throw error;
    }
  }
}

/** True while a container that ended waits to be started anew. */
export function isBackingOff({ metadata, status }: Pod): boolean {
  if (metadata?.deletionTimestamp !== undefined) return false;
  return (status?.containerStatuses ?? []).some(({ state }) => state?.waiting?.reason === "CrashLoopBackOff");
}

/** What to tell of containers that have ended between two states of a pod: its own status goes with it. */
export function endsOf(before: Pod, pod: Pod): readonly EventInput[] {
  const known = new Map((before.status?.containerStatuses ?? []).map((status) => [status.name, endOf(status)]));
  return (pod.status?.containerStatuses ?? []).flatMap((status) => {
    const end = endOf(status);
    if (end === undefined || known.get(status.name)?.containerID === end.containerID) return [];
    const container = pod.spec?.containers?.find(({ name }) => name === status.name);
    const why = [causeOf(end.reason, container), end.message?.trim()].filter(
      (part) => part !== undefined && part !== "",
    );
    const message = `Container ${JSON.stringify(status.name)} of pod ${keyOf(pod)} ended with exit code ${end.exitCode}`;
    const text = why.length === 0 ? message : `${message}: ${why.join(": ")}`;
    return [{ type: "Warning", reason: end.reason === "OOMKilled" ? "OOMKilled" : "ContainerEnded", message: text }];
  });
}

function endOf({ lastState }: ContainerStatus): NonNullable<ContainerStatus["lastState"]>["terminated"] {
  return lastState?.terminated;
}

function causeOf(reason: string | undefined, container: Container | undefined): string | undefined {
  if (reason !== "OOMKilled") return undefined;
  const limit = container?.resources?.limits?.["memory"];
  return limit === undefined ? "it was out of memory" : `it took more than its ${limit} of memory`;
}

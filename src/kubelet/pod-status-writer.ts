/**
 * Carries pod statuses to the API server: one patch in flight per pod, the newest status wins, a terminal status is sent until it is there. And the last step of a
 * pod's life: the delete with grace 0 once its terminal status is known. As kubelet's status manager.
 */
import type { Pod, PodCondition, PodStatus } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { EvictedStatus } from "#kubelet/eviction/evicted-status.ts";
import { isTerminalPhase, podKey } from "./pod-object.ts";
import { goesBack, mergePodStatus, statusPatch } from "./pod-status-merge.ts";
import type { PodRef } from "./provider.ts";

const firstRetryMs = 200;
const longestRetryMs = 10_000;

/** What the writer works with. `findPod` gives the newest copy that the informer has, by uid. */
export type PodStatusWriterOptions = {
  readonly client: Client;
  readonly findPod: (ref: PodRef) => Pod | undefined;
  readonly hostIPs: readonly string[];
  /**
   * A status that says that the pod is still starting, runs and is not ready yet, or is about to end, waits this long for a better one: where pods start within milliseconds, the write of the first
   * would hold up the one that matters. Default 0, at once.
   */
  readonly settleMs?: number;
  /** Told of each status at once, before the API is. */
  readonly onStatus?: (pod: Pod) => void;
  readonly clock: Clock;
  readonly logger: Logger;
};

type Entry = {
  readonly ref: PodRef;
  status: PodStatus | undefined;
  /** The API's answer to our last patch; the informer may be behind it. */
  answered: Pod | undefined;
  /** A condition that the kubelet adds to what the provider says (a resize that has to wait). */
  extra: PodCondition | undefined;
  /** Why the node ended the pod: its terminal status is Failed for this reason, whatever the provider makes of it. */
  verdict: EvictedStatus | undefined;
  deleteWhenSent: boolean;
  busy: boolean;
  retryMs: number;
  timer: Timer | undefined;
  waiting: (() => void)[];
};

/** Sends statuses. `set` never blocks; `finish` and `flush` resolve when the API server has it. */
export class PodStatusWriter {
  readonly #options: PodStatusWriterOptions;
  readonly #entries = new Map<string, Entry>();
  #stopped = false;

  constructor(options: PodStatusWriterOptions) {
    this.#options = options;
  }

  /** The status last given to {@link set}, if the pod is known here. */
  find(uid: string): PodStatus | undefined {
    return this.#entries.get(uid)?.status;
  }

  /** A new status of the pod. An older one that has not gone out yet is dropped. */
  set(ref: PodRef, status: PodStatus): void {
    const entry = this.#entry(ref);
    const pod = this.#newest(entry);
    if (pod && goesBack(pod, entry.status ?? pod.status ?? {}, status)) return;
    if (isTerminalPhase(entry.status?.phase) && !isTerminalPhase(status.phase)) return;
    entry.status = status;
    const { settleMs = 0, onStatus, clock } = this.#options;
    if (onStatus !== undefined && pod !== undefined) onStatus({ ...pod, status });
    if (settleMs === 0 || !isPassing(status, pod)) this.#kick(entry);
    else if (!entry.busy) entry.timer ??= clock.setTimer(settleMs, () => this.#kick(entry));
  }

  /** Adds a condition to the pod's status, or takes it away again. */
  setExtra(ref: PodRef, extra: PodCondition | undefined): void {
    const entry = this.#entry(ref);
    if (entry.extra === extra) return;
    entry.extra = extra;
    entry.status = entry.status && { ...entry.status };
    this.#kick(entry);
  }

  /** The node ends the pod for this reason. Must be said before the provider is told to stop it. */
  setVerdict(ref: PodRef, verdict: EvictedStatus): void {
    this.#entry(ref).verdict = verdict;
  }

  /** All of the pod is gone from the node: sends its terminal status, then removes it from the API. Resolves when it is removed. */
  finish(ref: PodRef): Promise<void> {
    const entry = this.#entry(ref);
    entry.deleteWhenSent = true;
    return this.#whenIdle(entry);
  }

  /** The pod is gone from the API: nothing more to say about it. */
  forget(uid: string): void {
    const entry = this.#entries.get(uid);
    if (!entry) return;
    this.#entries.delete(uid);
    entry.timer?.clear();
    for (const done of entry.waiting.splice(0)) done();
  }

  /** The API's copy changed: sends the difference again if there is one (somebody overwrote it, or a condition of others counts). */
  reconcile(uid: string): void {
    const entry = this.#entries.get(uid);
    if (entry && !entry.busy && entry.timer === undefined) this.#kick(entry);
  }

  /** Resolves when nothing waits to be sent for this pod. */
  flush(uid: string): Promise<void> {
    const entry = this.#entries.get(uid);
    return entry ? this.#whenIdle(entry) : Promise.resolve();
  }

  /** Ends all retries. */
  stop(): void {
    this.#stopped = true;
    for (const entry of this.#entries.values()) {
      entry.timer?.clear();
      for (const done of entry.waiting.splice(0)) done();
    }
  }

  #whenIdle(entry: Entry): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      entry.waiting.push(resolve);
      this.#kick(entry);
    });
  }

  #entry(ref: PodRef): Entry {
    const existing = this.#entries.get(ref.uid);
    if (existing) return existing;
    const made: Entry = {
      ref,
      status: undefined,
      answered: undefined,
      extra: undefined,
      verdict: undefined,
      deleteWhenSent: false,
      busy: false,
      retryMs: firstRetryMs,
      timer: undefined,
      waiting: [],
    };
    this.#entries.set(ref.uid, made);
    return made;
  }

  #kick(entry: Entry): void {
    if (entry.busy || this.#stopped) return;
    entry.timer?.clear();
    entry.timer = undefined;
    entry.busy = true;
    void this.#work(entry); // #work never rejects
  }

  async #work(entry: Entry): Promise<void> {
    try {
      for (let sent: PodStatus | undefined; entry.status !== sent && !this.#stopped; ) {
        sent = entry.status;
        await this.#sendOnce(entry);
      }
      if (entry.deleteWhenSent && !this.#stopped && this.#entries.has(entry.ref.uid)) await this.#remove(entry);
      entry.retryMs = firstRetryMs;
      entry.busy = false;
      for (const done of entry.waiting.splice(0)) done();
    } catch (error) {
      entry.busy = false;
      this.#onFailure(entry, error);
    }
  }

  async #sendOnce(entry: Entry): Promise<void> {
    const pod = this.#newest(entry);
    if (!pod || !entry.status) return;
    const defaults = { hostIPs: this.#options.hostIPs, nowMs: this.#options.clock.now() };
    const merged = mergePodStatus(pod, atItsEnd(pod, withAdditions(entry.status, entry)), defaults);
    const patch = statusPatch(pod.status ?? {}, merged);
    if (!patch) return;
    const body = { metadata: { uid: entry.ref.uid }, status: patch };
    entry.answered = await this.#options.client.patch<Pod>(podRef(entry.ref, "status"), { type: "strategic", body });
  }

  async #remove(entry: Entry): Promise<void> {
    await this.#options.client.delete(podRef(entry.ref), {
      gracePeriodSeconds: 0,
      preconditions: { uid: entry.ref.uid },
    });
    this.#options.logger.info("Removed pod", { pod: podKey(entry.ref) });
    this.forget(entry.ref.uid);
  }

  #onFailure(entry: Entry, error: unknown): void {
    if (this.#stopped) return;
    // Another uid under this name, or none: our pod is gone.
    if (hasReason(error, "NotFound") || hasReason(error, "Conflict")) return this.forget(entry.ref.uid);
    if (hasReason(error, "Invalid")) {
      this.#options.logger.error("Dropped status that the API refuses", { pod: podKey(entry.ref), error });
      entry.status = undefined;
      return this.#kick(entry);
    }
    this.#options.logger.warn("Could not write status of pod", { pod: podKey(entry.ref), error });
    entry.timer = this.#options.clock.setTimer(entry.retryMs, () => this.#kick(entry));
    entry.retryMs = Math.min(entry.retryMs * 2, longestRetryMs);
  }

  #newest(entry: Entry): Pod | undefined {
    const informed = this.#options.findPod(entry.ref);
    const answered = entry.answered;
    if (!informed || !answered) return informed ?? answered;
    return versionOf(answered) >= versionOf(informed) ? answered : informed;
  }
}

/** True while a better status is on its way. `written` is what the API has. */
function isPassing(status: PodStatus, written: Pod | undefined): boolean {
  if (status.phase === "Pending") return true;
  // Its endpoints have heard of its end by the deletion.
  if (written?.metadata?.deletionTimestamp !== undefined) return !isTerminalPhase(status.phase);
  const hasBegun = status.phase === "Running" && (written?.status?.phase ?? "Pending") === "Pending";
  return hasBegun && status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "False") === true;
}

/** What has ended because it was deleted has seen the deletion: said with its end, and not in a write of its own. */
function atItsEnd({ metadata }: Pod, status: PodStatus): PodStatus {
  const { deletionTimestamp, generation } = metadata ?? {};
  if (deletionTimestamp === undefined || generation === undefined || !isTerminalPhase(status.phase)) return status;
  return { ...status, observedGeneration: generation };
}

/** The provider's status with what the kubelet itself has to say. */
function withAdditions(status: PodStatus, { extra, verdict }: Pick<Entry, "extra" | "verdict">): PodStatus {
  const conditions = [...(status.conditions ?? []), ...(extra ? [extra] : [])];
  if (!verdict || !isTerminalPhase(status.phase)) return { ...status, conditions };
  const { reason, message, isDisruption } = verdict;
  const target = { type: "DisruptionTarget", status: "True", reason: "TerminationByKubelet", message };
  const all = isDisruption ? [...conditions, target] : conditions;
  return { ...status, reason, message, phase: "Failed", conditions: all };
}

function podRef(ref: PodRef, subresource?: string): ResourceRef {
  const resource = { group: "", version: "v1", resource: "pods" };
  return { resource, namespace: ref.namespace, name: ref.name, ...(subresource === undefined ? {} : { subresource }) };
}

// Resource versions of one resource can be compared as numbers (KEP-5504).
function versionOf(pod: Pod): bigint {
  return BigInt(pod.metadata?.resourceVersion ?? "0");
}

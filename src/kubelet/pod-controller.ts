/**
 * The pods that the scheduler gave to this node, carried to the provider and back: admission, create, update, delete, statuses, and the removal of pods that nobody
 * wants any more. One line of work per pod; pods do not wait for each other. As virtual-kubelet's pod controller and kubelet's pod workers.
 */
import type { Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KubeletEvents } from "./events.ts";
import type { EvictedStatus } from "#kubelet/eviction/evicted-status.ts";
import type { PodAdmission } from "./pod-admission.ts";
import { gracePeriodOf, isTerminalPhase, kubeletConditionTypes, podKey, refOf, sameJson } from "./pod-object.ts";
import type { PodStatusWriter } from "./pod-status-writer.ts";
import { resizeMessage } from "./resize-events.ts";
import { pendingResize, resourcesDiffer, withResourcesOf } from "./pod-resize-admission.ts";
import { rejectedStatus, terminatedStatus } from "./pod-status-synthesis.ts";
import type { PodProvider, PodRef, ProviderPod } from "./provider.ts";

const firstRetryMs = 500;
const longestRetryMs = 60_000;

/** What the controller joins. `pods` is an informer on the pods of this node only. */
export type PodControllerOptions = {
  readonly client: Client;
  readonly pods: Informer<Pod>;
  readonly provider: PodProvider;
  readonly statuses: PodStatusWriter;
  readonly admission: PodAdmission;
  readonly events: KubeletEvents;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** What is known of one pod. `given` is what the provider was last told; `wanted` what the API says now. */
type Line = {
  readonly ref: PodRef;
  wanted: Pod;
  given: Pod | undefined;
  /** Admitted, refused by admission, or ended before we came. */
  verdict: "new" | "admitted" | "refused" | "over";
  busy: boolean;
  /** The pod as the provider has it: with the resources that it had before, while a resize has to wait. */
  allocated: Pod | undefined;
  resizeWaits: boolean;
  /** What was last said of a resize that was refused. */
  resizeRefusal: string | undefined;
  /** Grace of the delete under way, in seconds. */
  deletingWithin: number | undefined;
  gone: boolean;
};

/** Drives the provider. `start` resolves when the pods that were there at the start have been handed over. */
export class PodController implements Service {
  readonly #options: PodControllerOptions;
  readonly #lines = new Map<string, Line>();
  /** What the provider ran when we came: it has been admitted once, and is not turned away because a figure has changed since. */
  readonly #runsAlready = new Set<string>();
  readonly #stop = new AbortController();
  #removeHandler: (() => void) | undefined;

  constructor(options: PodControllerOptions) {
    this.#options = options;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { pods, provider, statuses } = this.#options;
    provider.onStatus((ref, status) => statuses.set(ref, status));
    await pods.waitForSync(signal);
    const before = await provider.listPods();
    for (const { ref } of before) this.#runsAlready.add(ref.uid);
    this.#removeHandler = pods.addHandler({
      onAdd: (pod) => this.#onPod(pod),
      onUpdate: (_, pod) => this.#onPod(pod),
      onDelete: (pod) => this.#onGone(pod),
    });
    for (const known of before) {
      // What happened while nobody listened.
      if (!this.#lines.has(known.ref.uid))
        void this.#removeIfDangling(known); // never rejects
      else if (known.status.phase !== undefined) statuses.set(known.ref, known.status);
    }
  }

  async stop(): Promise<void> {
    this.#removeHandler?.();
    this.#stop.abort(new Error("the kubelet stops"));
  }

  /** Pods that take up room on the node: admitted and not yet ended. */
  activePods(): readonly Pod[] {
    return [...this.#lines.values()]
      .filter((line) => line.verdict === "admitted" && !line.gone)
      .map((line) => line.allocated ?? line.wanted)
      .filter((pod) => !isTerminalPhase(this.#statusOf(pod)?.phase));
  }

  /** A pod of this node with the status that is newest here. */
  listPods(): readonly Pod[] {
    return [...this.#lines.values()].map(({ wanted }) => {
      const status = this.#statusOf(wanted);
      return status === undefined ? wanted : { ...wanted, status };
    });
  }

  /** Ends a pod from the node's side: its status becomes Failed for this reason, its containers are stopped. It stays in the API until somebody deletes it. */
  async evict(ref: PodRef, verdict: EvictedStatus, gracePeriodSeconds: number): Promise<void> {
    const line = this.#lines.get(ref.uid);
    if (!line || line.verdict !== "admitted") return;
    line.verdict = "over";
    this.#options.statuses.setVerdict(ref, verdict);
    await this.#options.provider.deletePod(ref, gracePeriodSeconds, this.#stop.signal);
    this.#options.statuses.set(ref, terminatedStatus(line.wanted, this.#statusOf(line.wanted)));
    this.#retryResizes();
  }

  #statusOf(pod: Pod): PodStatus | undefined {
    return this.#options.statuses.find(pod.metadata?.uid ?? "") ?? pod.status;
  }

  #onPod(pod: Pod): void {
    const ref = refOf(pod);
    let line = this.#lines.get(ref.uid);
    if (!line) {
      line = {
        ref,
        wanted: pod,
        given: undefined,
        verdict: "new",
        busy: false,
        allocated: undefined,
        resizeWaits: false,
        resizeRefusal: undefined,
        deletingWithin: undefined,
        gone: false,
      };
      this.#lines.set(ref.uid, line);
    }
    line.wanted = pod;
    this.#options.statuses.reconcile(ref.uid);
    this.#advance(line);
  }

  #onGone(pod: Pod): void {
    const line = this.#lines.get(pod.metadata?.uid ?? "");
    this.#options.statuses.forget(pod.metadata?.uid ?? "");
    if (!line) return;
    line.wanted = pod;
    line.gone = true;
    this.#advance(line);
  }

  #advance(line: Line): void {
    if (line.gone || line.wanted.metadata?.deletionTimestamp !== undefined) return this.#delete(line);
    if (line.busy) return;
    line.busy = true;
    void this.#handOver(line).finally(() => {
      line.busy = false;
    });
  }

  /** Until the provider has what the API wants; tries again, ever more slowly, while it fails. */
  async #handOver(line: Line): Promise<void> {
    for (let delayMs = firstRetryMs; !this.#stop.signal.aborted; delayMs = Math.min(delayMs * 2, longestRetryMs)) {
      try {
        while (this.#needsProvider(line)) await this.#tellProvider(line);
        return;
      } catch (error) {
        if (this.#stop.signal.aborted || line.deletingWithin !== undefined) return;
        this.#onRefusal(line, error);
        line.given = undefined;
        await this.#options.clock.sleep(delayMs, this.#stop.signal).catch(() => undefined);
      }
    }
  }

  /** As virtual-kubelet: the pod says what its provider said, so that nobody wonders why it stays Pending (azure-aci #42). */
  #onRefusal(line: Line, error: unknown): void {
    const { logger, events, statuses } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    logger.error("Provider refused pod", { pod: podKey(line.ref), error });
    const isNew = line.allocated === undefined || line.given === undefined;
    events.pod(line.wanted, "Warning", isNew ? "ProviderCreateFailed" : "ProviderUpdateFailed", message);
    const phase = this.#statusOf(line.wanted)?.phase;
    if (phase === undefined || phase === "Pending") {
      statuses.set(line.ref, { ...this.#statusOf(line.wanted), phase: "Pending", reason: "ProviderFailed", message });
    }
  }

  #needsProvider(line: Line): boolean {
    if (line.deletingWithin !== undefined || line.gone) return false;
    if (line.verdict === "new") this.#judge(line);
    return line.verdict === "admitted" && (line.given === undefined || differs(line.given, line.wanted));
  }

  async #tellProvider(line: Line): Promise<void> {
    const { provider } = this.#options;
    const pod = line.wanted;
    const isNew = line.given === undefined;
    const allowed = this.#withAllowedResources(line);
    line.given = pod;
    line.allocated = allowed;
    if (isNew) await provider.createPod(allowed, this.#stop.signal);
    else await provider.updatePod(allowed, this.#stop.signal);
  }

  /** The pod as wanted, or with the requests that it had as long as the node has no room for others. */
  #withAllowedResources(line: Line): Pod {
    const { admission, statuses, events } = this.#options;
    const { wanted, allocated } = line;
    if (!allocated || !resourcesDiffer(allocated, wanted)) {
      line.resizeWaits = false;
      line.resizeRefusal = undefined;
      statuses.setExtra(line.ref, undefined);
      return wanted;
    }
    const others = this.activePods().filter((pod) => pod.metadata?.uid !== line.ref.uid);
    const refusal = admission.judgeResize(wanted, others);
    line.resizeWaits = refusal?.reason === "Deferred";
    statuses.setExtra(line.ref, refusal && pendingResize(wanted, refusal));
    const told = line.resizeRefusal;
    line.resizeRefusal = refusal && `${refusal.reason} ${refusal.message} ${wanted.metadata?.generation}`;
    if (!refusal) {
      events.pod(wanted, "Normal", "ResizeStarted", resizeMessage(wanted, "started"));
      return wanted;
    }
    const step = refusal.reason === "Deferred" ? "Deferred" : "Infeasible";
    if (told !== line.resizeRefusal)
      events.pod(wanted, "Warning", `Resize${step}`, resizeMessage(wanted, step, refusal.message));
    return withResourcesOf(wanted, allocated);
  }

  /** Room has become free: resizes that had to wait are tried again. */
  #retryResizes(): void {
    for (const line of this.#lines.values()) {
      if (!line.resizeWaits) continue;
      line.given = undefined;
      this.#advance(line);
    }
  }

  #judge(line: Line): void {
    const pod = line.wanted;
    if (isTerminalPhase(this.#statusOf(pod)?.phase)) {
      line.verdict = "over";
      return;
    }
    const refusal = this.#runsAlready.has(line.ref.uid)
      ? undefined
      : this.#options.admission.judge(pod, this.activePods());
    line.verdict = refusal ? "refused" : "admitted";
    if (!refusal) return;
    this.#options.logger.warn("Refused pod", { pod: podKey(line.ref), reason: refusal.reason });
    this.#options.events.pod(pod, "Warning", refusal.reason, refusal.message);
    this.#options.statuses.set(line.ref, rejectedStatus(pod, refusal));
  }

  #delete(line: Line): void {
    const grace = Math.max(gracePeriodOf(line.wanted), 0);
    if (line.deletingWithin !== undefined && line.deletingWithin <= grace) return;
    const isFirst = line.deletingWithin === undefined;
    line.deletingWithin = grace;
    void this.#stopPod(line, grace, isFirst); // never rejects
  }

  async #stopPod(line: Line, grace: number, isFirst: boolean): Promise<void> {
    const { provider, statuses, clock, logger } = this.#options;
    for (let delayMs = firstRetryMs; !this.#stop.signal.aborted; delayMs = Math.min(delayMs * 2, longestRetryMs)) {
      try {
        await provider.deletePod(line.ref, grace, this.#stop.signal);
        break;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        logger.error("Could not stop pod", { pod: podKey(line.ref), error });
        await clock.sleep(delayMs, this.#stop.signal).catch(() => undefined);
      }
    }
    if (!isFirst || this.#stop.signal.aborted) return;
    if (!line.gone) {
      statuses.set(line.ref, terminatedStatus(line.wanted, this.#statusOf(line.wanted)));
      await statuses.finish(line.ref);
    }
    this.#lines.delete(line.ref.uid);
    this.#runsAlready.delete(line.ref.uid);
    statuses.forget(line.ref.uid);
    this.#retryResizes();
  }

  /** The informer may be late: only a pod that the API itself does not know is removed (kip #107). */
  async #removeIfDangling(known: ProviderPod): Promise<void> {
    const { client, pods, provider, logger } = this.#options;
    const { ref } = known;
    if (this.#lines.has(ref.uid) || pods.lister.find(ref.namespace, ref.name)?.metadata?.uid === ref.uid) return;
    for (let delayMs = firstRetryMs; !this.#stop.signal.aborted; delayMs = Math.min(delayMs * 2, longestRetryMs)) {
      try {
        if (await isInApi(client, ref)) return;
        logger.info("Removing dangling pod", { pod: podKey(ref), uid: ref.uid });
        return await provider.deletePod(ref, gracePeriodOf(known.pod), this.#stop.signal);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        logger.warn("Could not remove dangling pod", { pod: podKey(ref), error });
        await this.#options.clock.sleep(delayMs, this.#stop.signal).catch(() => undefined);
      }
    }
  }
}

async function isInApi(client: Client, ref: PodRef): Promise<boolean> {
  const resource = { group: "", version: "v1", resource: "pods" };
  try {
    const pod = await client.get<Pod>({ resource, namespace: ref.namespace, name: ref.name });
    return pod.metadata?.uid === ref.uid;
  } catch (error) {
    if (hasReason(error, "NotFound")) return false;
    throw error;
  }
}

/** True when something differs that a provider acts on: spec, labels, annotations, and conditions that others set (readiness gates). */
function differs(before: Pod, after: Pod): boolean {
  if (before === after) return false;
  const seen = (pod: Pod) => [
    pod.metadata?.labels,
    pod.metadata?.annotations,
    pod.spec,
    pod.status?.conditions?.filter((condition) => !kubeletConditionTypes.has(condition.type)),
    pod.metadata?.generation,
  ];
  return !sameJson(seen(before), seen(after));
}

/**
 * Runs Jobs: keeps as many pods going as parallelism and completions ask for, counts how they end, and ends the Job by its limits and policies. Same algorithm as
 * kube-controller-manager's, tracking by finalizers included.
 */
import type { Job, JobCondition } from "#api/generated/types/batch-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { compileLabelSelector, matchesLabelSelector } from "#apimachinery/label-selector.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { findCondition, withoutCondition } from "#controllers/common/conditions.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { Expectations } from "#controllers/common/expectations.ts";
import { controllerOf, isControlledBy } from "#apimachinery/owner-references.ts";
import { claimObjects } from "#controllers/common/owners.ts";
import {
  PodControl,
  isNamespaceTerminating,
  isPodReady,
  isPodTerminating,
  slowStart,
} from "#controllers/common/pods.ts";
import { byController, byOrphanNamespace, jobs, podInformer, pods } from "#controllers/common/resources.ts";
import { noFailures } from "./job-backoff.ts";
import type { FailureRecord } from "./job-backoff.ts";
import { conditionOf, deadlineLeftMs, isFinished, lookAt } from "./job-look.ts";
import type { Ending, JobLook } from "./job-look.ts";
import { hasTrackingFinalizer, replacesOnlyFailed, trackingFinalizer } from "./job-pods.ts";
import { planCreations, surplusPods, wantedActive } from "./job-plan.ts";
import { podOf } from "./job-template.ts";
import { removeFinalizer, writeJob } from "./job-writer.ts";

/** Pods created or deleted in one look, at most. */
const maxPodsPerLook = 500;
/** Pods that end within this time are counted together: each count is two writes. */
const batchMs = 50;
/** Keys of pods whose Job is gone, beside those of Jobs. */
const orphanPrefix = "orphan:";
const ownName = "kubernetes.io/job-controller";

/** The controller of Jobs. */
export function createJobController(context: ControllerContext): NamedController {
  return new JobController(context).controller;
}

/** What was done about the number of pods. */
type Managed = {
  readonly activeCount: number;
  readonly readyCount: number;
  readonly terminatingCount: number;
  readonly error: unknown;
  readonly againAfterMs: number | undefined;
};

class JobController {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #podControl: PodControl;
  readonly #expectations: Expectations;
  readonly #jobs: Informer<Job>;
  readonly #pods: Informer<Pod>;
  /** Uids of pods that lost their finalizer by us, until the informer shows it, by Job. */
  readonly #released = new Map<string, Set<string>>();
  readonly #records = new Map<string, FailureRecord>();
  /** Jobs that we ended, until the informer shows it. */
  readonly #ended = new Set<string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("job-controller");
    this.#podControl = new PodControl(context.client, this.#events);
    this.#expectations = new Expectations(context.clock);
    this.controller = new KeyedController(context, {
      name: "job-controller",
      reconcile: (key, signal) =>
        key.startsWith(orphanPrefix)
          ? this.#releaseOrphan(key.slice(orphanPrefix.length), signal)
          : this.#reconcile(key, signal),
    });
    this.#jobs = this.controller.watch(context.informers.informer<Job>({ resource: jobs }), {
      onAdd: (job) => this.controller.queue.add(keyOf(job)),
      onUpdate: (_before, job) => this.controller.queue.add(keyOf(job)),
      onDelete: (job) => this.#onJobDeleted(job),
    });
    this.#pods = this.controller.watch(podInformer(context), {
      onAdd: (pod) => this.#onPodAdded(pod),
      onUpdate: (before, pod) => this.#onPodUpdated(before, pod),
      onDelete: (pod) => this.#onPodDeleted(pod),
    });
  }

  #onJobDeleted(job: Job): void {
    const uid = job.metadata?.uid ?? "";
    this.#ended.delete(uid);
    this.controller.queue.add(keyOf(job));
    for (const pod of this.#pods.lister.byIndex(byController, uid)) this.#enqueueOrphan(pod);
  }

  #onPodAdded(pod: Pod): void {
    if (isPodTerminating(pod)) return this.#onPodUpdated(pod, pod);
    const job = this.#jobOf(pod);
    if (job === undefined) return this.#onStranger(pod);
    this.#expectations.creationObserved(keyOf(job));
    if (isFinished(job)) this.#enqueueOrphan(pod);
    this.controller.queue.add(keyOf(job));
  }

  #onPodUpdated(before: Pod, pod: Pod): void {
    const [oldJob, job] = [this.#jobOf(before), this.#jobOf(pod)];
    if (oldJob !== undefined && oldJob !== job) this.controller.queue.add(keyOf(oldJob));
    if (job === undefined) return this.#onStranger(pod);
    const key = keyOf(job);
    const uid = pod.metadata?.uid ?? "";
    if (isPodTerminating(pod)) this.#expectations.deletionObserved(key, uid);
    if (!hasTrackingFinalizer(pod)) this.#forgetReleased(key, uid);
    else if (isFinished(job)) this.#enqueueOrphan(pod);
    this.controller.queue.addAfter(key, batchMs);
  }

  #onPodDeleted(pod: Pod): void {
    const job = this.#jobOf(pod);
    if (job === undefined) return;
    const uid = pod.metadata?.uid ?? "";
    this.#expectations.deletionObserved(keyOf(job), uid);
    this.#forgetReleased(keyOf(job), uid);
    this.controller.queue.addAfter(keyOf(job), batchMs);
  }

  /** A pod of no Job that we know: one may adopt it, or it must be let go. */
  #onStranger(pod: Pod): void {
    if (controllerOf(pod) === undefined) {
      for (const job of this.#jobs.lister.list(pod.metadata?.namespace ?? "")) {
        if (matchesLabelSelector(job.spec?.selector, pod.metadata?.labels)) this.controller.queue.add(keyOf(job));
      }
    }
    if (hasTrackingFinalizer(pod)) this.#enqueueOrphan(pod);
  }

  #jobOf(pod: Pod): Job | undefined {
    const owner = controllerOf(pod);
    if (owner?.kind !== "Job") return undefined;
    const job = this.#jobs.lister.find(pod.metadata?.namespace ?? "", owner.name);
    return job?.metadata?.uid === owner.uid ? job : undefined;
  }

  #enqueueOrphan(pod: Pod): void {
    if (hasTrackingFinalizer(pod)) this.controller.queue.add(`${orphanPrefix}${keyOf(pod)}`);
  }

  #forgetReleased(key: string, uid: string): void {
    const released = this.#released.get(key);
    released?.delete(uid);
    if (released?.size === 0) this.#released.delete(key);
  }

  /** Nobody counts this pod any more: its finalizer must not keep it. */
  async #releaseOrphan(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const pod = this.#pods.lister.find(namespace, name);
    if (pod === undefined || !hasTrackingFinalizer(pod)) return;
    const owner = controllerOf(pod);
    if (owner !== undefined && owner.kind !== "Job") return;
    const job = this.#jobOf(pod);
    if (job !== undefined && (isManagedElsewhere(job) || !isFinished(job))) return;
    await removeFinalizer(this.#context.client, pod, signal);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const job = this.#jobs.lister.find(namespace, name);
    if (job === undefined || isFinished(job)) return this.#forget(key);
    if (isManagedElsewhere(job) || this.#ended.has(job.metadata?.uid ?? "")) return;
    const isSettled = this.#expectations.isSatisfied(key);
    const own = await this.#claim(job, signal);
    const nowMs = this.#context.clock.now();
    const started = withStartTime(job, nowMs);
    const released = this.#released.get(key) ?? new Set<string>();
    this.#released.set(key, released);
    const record = this.#records.get(key) ?? noFailures;
    const look = lookAt({ job: started, pods: own, released, record, nowMs });

    const managed = await this.#managePods(started, look, isSettled, signal);
    const { ending, conditions, startTime } = this.#decide(started, look, managed, isSettled);
    const next = {
      ...(startTime === undefined ? {} : { startTime }),
      active: managed.activeCount,
      ready: managed.readyCount,
      terminating: managed.terminatingCount,
      conditions,
    };
    const { client } = this.#context;
    const written = await writeJob({ client, job, pods: own, look, released, next, ending, nowMs, signal });
    this.#records.set(key, look.record);
    if (written.finished !== undefined) this.#onFinished(written.job, written.finished);
    if (managed.error !== undefined) throw managed.error;
    return soonest(managed.againAfterMs, deadlineLeftMs(started, nowMs));
  }

  #forget(key: string): void {
    this.#expectations.delete(key);
    this.#released.delete(key);
    this.#records.delete(key);
  }

  async #claim(job: Job, signal: AbortSignal): Promise<readonly Pod[]> {
    const { uid = "", namespace = "" } = job.metadata ?? {};
    const { lister } = this.#pods;
    const candidates = [...lister.byIndex(byController, uid), ...lister.byIndex(byOrphanNamespace, namespace)];
    const claimed = await claimObjects<Pod>({
      client: this.#context.client,
      resource: pods,
      owner: job,
      ownerResource: jobs,
      selector: compileLabelSelector(job.spec?.selector),
      candidates,
      finalizers: [trackingFinalizer],
      signal,
    });
    return claimed.map((pod) => (isControlledBy(pod, job) ? pod : withFinalizer(pod)));
  }

  /** Ends all pods of a Job that is over, else brings their number to what it should be. */
  async #managePods(job: Job, look: JobLook, isSettled: boolean, signal: AbortSignal): Promise<Managed> {
    const unchanged: Managed = {
      activeCount: look.active.length,
      readyCount: look.readyCount,
      terminatingCount: look.terminatingCount,
      error: undefined,
      againAfterMs: undefined,
    };
    if (look.ending !== undefined) return await this.#deletePods(job, look.active, unchanged, signal);
    if (!isSettled || job.metadata?.deletionTimestamp !== undefined) return unchanged;
    if (job.spec?.suspend) return await this.#deletePods(job, look.active, unchanged, signal, true);
    const wanted = wantedActive(job, look);
    const surplus = surplusPods(job, look, Math.max(0, look.active.length - wanted), this.#context.clock.now());
    if (surplus.length > 0)
      return await this.#deletePods(job, surplus.slice(0, maxPodsPerLook), unchanged, signal, true);
    const waitingFor = replacesOnlyFailed(job) ? look.terminatingCount : 0;
    const missing = Math.min(wanted - waitingFor - look.active.length, maxPodsPerLook);
    return missing > 0 ? await this.#createPods(job, look, missing, unchanged, signal) : unchanged;
  }

  async #createPods(job: Job, look: JobLook, missing: number, state: Managed, signal: AbortSignal): Promise<Managed> {
    const plan = planCreations(job, look, missing, this.#context.clock.now());
    if (plan.indexes.length === 0) return { ...state, againAfterMs: plan.waitMs };
    const key = keyOf(job);
    this.#expectations.expectCreations(key, plan.indexes.length);
    const { successes, error } = await slowStart(plan.indexes.length, async (nth) => {
      const index = plan.indexes[nth];
      try {
        const replaced = index === undefined ? undefined : look.delayedByIndex.get(index);
        await this.#podControl.create(podOf(job, index, replaced), job, signal);
      } catch (failure) {
        if (!isNamespaceTerminating(failure)) throw failure;
      }
    });
    for (let skipped = successes; skipped < plan.indexes.length; skipped++) this.#expectations.creationObserved(key);
    return { ...state, activeCount: state.activeCount + successes, error };
  }

  async #deletePods(
    job: Job,
    victims: readonly Pod[],
    state: Managed,
    signal: AbortSignal,
    expect = false,
  ): Promise<Managed> {
    const key = keyOf(job);
    if (expect && victims.length > 0)
      this.#expectations.expectDeletions(
        key,
        victims.map((pod) => pod.metadata?.uid ?? ""),
      );
    let [deleted, deletedReady] = [0, 0];
    let error: unknown;
    const remove = async (pod: Pod) => {
      try {
        await this.#podControl.delete(pod, job, signal);
      } catch (failure) {
        this.#expectations.deletionObserved(key, pod.metadata?.uid ?? "");
        if (!hasReason(failure, "NotFound")) {
          error ??= failure;
          return;
        }
      }
      deleted++;
      if (isPodReady(pod)) deletedReady++;
    };
    await Promise.all(victims.map(remove));
    return {
      ...state,
      activeCount: state.activeCount - deleted,
      readyCount: state.readyCount - deletedReady,
      terminatingCount: state.terminatingCount + deleted,
      error,
    };
  }

  /** Whether the Job may end now, and what its conditions are meanwhile. */
  #decide(job: Job, look: JobLook, managed: Managed, isSettled: boolean) {
    const conditions = job.status?.conditions ?? [];
    const startTime = job.status?.startTime;
    if (look.ending !== undefined) {
      // Pods that could not be deleted, or that we do not see yet, would go on after the end.
      const mayEnd = managed.activeCount === 0 && isSettled;
      return { ending: mayEnd ? look.ending : undefined, conditions, startTime };
    }
    const { completions } = job.spec ?? {};
    const hasEnough = completions === undefined ? look.succeededCount > 0 : look.succeededCount >= completions;
    if (hasEnough && managed.activeCount === 0) {
      const message = "Reached expected number of succeeded pods";
      const ending: Ending = { type: "SuccessCriteriaMet", reason: "CompletionsReached", message };
      return { ending, conditions, startTime };
    }
    return { ending: undefined, ...(isSettled ? this.#suspension(job) : { conditions, startTime }) };
  }

  #suspension(job: Job): { readonly conditions: readonly JobCondition[]; readonly startTime: string | undefined } {
    const conditions = job.status?.conditions ?? [];
    const current = findCondition(conditions, "Suspended");
    const nowMs = this.#context.clock.now();
    const others = withoutCondition(conditions, "Suspended");
    if (job.spec?.suspend && current?.status !== "True") {
      this.#events.record(job, { type: "Normal", reason: "Suspended", message: "Job suspended" });
      const next = conditionOf("Suspended", { reason: "JobSuspended", message: "Job suspended" }, nowMs);
      return { conditions: [...others, next], startTime: undefined };
    }
    if (!job.spec?.suspend && current?.status === "True") {
      this.#events.record(job, { type: "Normal", reason: "Resumed", message: "Job resumed" });
      const next = conditionOf("Suspended", { reason: "JobResumed", message: "Job resumed" }, nowMs);
      // The deadline counts from the last time that the Job began to be active.
      return { conditions: [...others, { ...next, status: "False" }], startTime: formatTime(nowMs) };
    }
    return { conditions, startTime: job.status?.startTime };
  }

  #onFinished(job: Job, finished: JobCondition): void {
    this.#ended.add(job.metadata?.uid ?? "");
    if (finished.type === "Failed") {
      const { reason = "", message = "" } = finished;
      return this.#events.record(job, { type: "Warning", reason, message });
    }
    const { completions } = job.spec ?? {};
    if (completions !== undefined && (job.status?.succeeded ?? 0) > completions) {
      const message = "Too many succeeded pods running after completion count reached";
      this.#events.record(job, { type: "Warning", reason: "TooManySucceededPods", message });
    }
    this.#events.record(job, { type: "Normal", reason: "Completed", message: "Job completed" });
  }
}

function withStartTime(job: Job, nowMs: number): Job {
  if (job.status?.startTime || job.spec?.suspend) return job;
  return { ...job, status: { ...job.status, startTime: formatTime(nowMs) } };
}

function isManagedElsewhere(job: Job): boolean {
  return job.spec?.managedBy !== undefined && job.spec.managedBy !== ownName;
}

function withFinalizer(pod: Pod): Pod {
  if (hasTrackingFinalizer(pod)) return pod;
  return {
    ...pod,
    metadata: { ...pod.metadata, finalizers: [...(pod.metadata?.finalizers ?? []), trackingFinalizer] },
  };
}

function soonest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

/**
 * Starts Jobs by the clock: one for each time of a CronJob's schedule, at most one for those that were missed, with regard to those that still run. As kube-controller-manager's.
 */
import type { CronJob, CronJobStatus, Job } from "#api/generated/types/batch-v1.ts";
import type { ObjectReference } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import { referenceTo } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { controllerOf, controllerReference } from "#apimachinery/owner-references.ts";
import { isNamespaceTerminating } from "#controllers/common/pods.ts";
import { byController, cronJobs, jobs, ownedInformer } from "#controllers/common/resources.ts";
import { parseSchedule } from "./schedule.ts";
import type { Schedule } from "./schedule.ts";

const scheduledAnnotation = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/** After this much past its time a Job is started for sure: timers may fire a little early. */
const slackMs = 100;
/** Beyond this many missed times something is wrong, and people are told. */
const maxMissed = 100;

/** The controller of CronJobs. */
export function createCronJobController(context: ControllerContext): NamedController {
  return new CronJobController(context).controller;
}

class CronJobController {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #cronJobs: Informer<CronJob>;
  readonly #jobs: Informer<Job>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("cronjob-controller");
    this.controller = new KeyedController(context, {
      name: "cronjob-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    this.#cronJobs = this.controller.watch(context.informers.informer<CronJob>({ resource: cronJobs }), {
      onAdd: (cronJob) => queue.add(keyOf(cronJob)),
      onUpdate: (_before, cronJob) => queue.add(keyOf(cronJob)),
    });
    this.#jobs = this.controller.watch(ownedInformer<Job>(context, jobs), {
      onAdd: (job) => this.#onJob(job),
      onUpdate: (_before, job) => this.#onJob(job),
      onDelete: (job) => this.#onJob(job),
    });
  }

  #onJob(job: Job): void {
    const owner = controllerOf(job);
    if (owner?.kind === "CronJob") this.controller.queue.add(`${job.metadata?.namespace}/${owner.name}`);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const cronJob = this.#cronJobs.lister.find(namespace, name);
    if (cronJob === undefined) return;
    const own = this.#jobs.lister.byIndex(byController, cronJob.metadata?.uid ?? "");
    const status = await this.#settleActive(cronJob, own, signal);
    await this.#cleanUp(cronJob, own, signal);
    const outcome = await this.#runDue(cronJob, status, signal);
    if (!semanticEqual(outcome.status, cronJob.status)) {
      const ref = { resource: cronJobs, namespace, name, subresource: "status" };
      await this.#context.client.update(ref, { ...cronJob, status: outcome.status }, { signal });
    }
    return outcome.againAfterMs;
  }

  /** Takes ended and vanished Jobs off the list of active ones. */
  async #settleActive(cronJob: CronJob, own: readonly Job[], signal: AbortSignal): Promise<CronJobStatus> {
    let { active = [], lastSuccessfulTime } = cronJob.status ?? {};
    const isListed = (job: Job) => active.some((reference) => reference.uid === job.metadata?.uid);
    for (const job of own) {
      const end = endOf(job);
      if (end === undefined && !isListed(job)) {
        // The list is written after the Job is made: it may be ours, only younger than our picture of the CronJob.
        active = [...active, jobReference(job)];
      }
      if (end === undefined) continue;
      if (isListed(job)) {
        active = active.filter((reference) => reference.uid !== job.metadata?.uid);
        const message = `Saw completed job: ${job.metadata?.name}, condition: ${end}`;
        this.#events.record(cronJob, { type: "Normal", reason: "SawCompletedJob", message });
      }
      const completedAt = job.status?.completionTime;
      if (end === "Complete" && completedAt && completedAt > (lastSuccessfulTime ?? ""))
        lastSuccessfulTime = completedAt;
    }
    const kept: ObjectReference[] = [];
    for (const reference of active) {
      const isSeen = own.some((job) => job.metadata?.uid === reference.uid);
      if (isSeen || (await this.#exists(reference, signal))) kept.push(reference);
      else {
        const message = `Active job went missing: ${reference.name}`;
        this.#events.record(cronJob, { type: "Normal", reason: "MissingJob", message });
      }
    }
    const { active: _active, lastSuccessfulTime: _last, ...rest } = cronJob.status ?? {};
    return {
      ...rest,
      ...(kept.length === 0 ? {} : { active: kept }),
      ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }),
    };
  }

  async #exists(reference: ObjectReference, signal: AbortSignal): Promise<boolean> {
    const ref = { resource: jobs, namespace: reference.namespace ?? "", name: reference.name ?? "" };
    try {
      const job = await this.#context.client.get<Job>(ref, { signal });
      return job.metadata?.uid === reference.uid;
    } catch (error) {
      if (hasReason(error, "NotFound")) return false;
      throw error;
    }
  }

  /** Deletes ended Jobs beyond the history limits, the oldest first. */
  async #cleanUp(cronJob: CronJob, own: readonly Job[], signal: AbortSignal): Promise<void> {
    const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = cronJob.spec ?? {};
    const limits = [
      { end: "Complete", limit: successfulJobsHistoryLimit },
      { end: "Failed", limit: failedJobsHistoryLimit },
    ] as const;
    for (const { end, limit } of limits) {
      const ended = own.filter((job) => endOf(job) === end && job.metadata?.deletionTimestamp === undefined);
      const started = (job: Job) => job.status?.startTime ?? "";
      const oldestFirst = ended.sort((a, b) => (started(a) < started(b) ? -1 : 1));
      for (const job of oldestFirst.slice(0, Math.max(0, ended.length - limit)))
        await this.#deleteJob(cronJob, job, signal);
    }
  }

  async #runDue(
    cronJob: CronJob,
    status: CronJobStatus,
    signal: AbortSignal,
  ): Promise<{ readonly status: CronJobStatus; readonly againAfterMs?: number }> {
    const { spec, metadata } = cronJob;
    if (metadata?.deletionTimestamp !== undefined || spec?.suspend) return { status };
    const schedule = await this.#scheduleOf(cronJob);
    if (schedule === undefined) return { status };
    const nowMs = this.#context.clock.now();
    const nextMs = schedule.nextMs(nowMs);
    const again = nextMs === undefined ? {} : { againAfterMs: nextMs - nowMs + slackMs };
    const dueMs = this.#dueTime(cronJob, schedule, nowMs);
    if (dueMs === undefined) return { status, ...again };
    const deadlineMs = spec?.startingDeadlineSeconds === undefined ? undefined : spec.startingDeadlineSeconds * 1000;
    if (deadlineMs !== undefined && dueMs + deadlineMs < nowMs) {
      const message = `Missed scheduled time to start a job: ${formatTime(dueMs)}`;
      this.#events.record(cronJob, { type: "Warning", reason: "MissSchedule", message });
      return { status, ...again };
    }
    const active = status.active ?? [];
    const name = `${metadata?.name}-${Math.floor(dueMs / 60_000)}`;
    if (active.some((reference) => reference.name === name)) return { status, ...again };
    if (spec?.concurrencyPolicy === "Forbid" && active.length > 0) {
      const message = "Not starting job because prior execution is running and concurrency policy is Forbid";
      this.#events.record(cronJob, { type: "Normal", reason: "JobAlreadyActive", message });
      return { status, ...again };
    }
    const kept = spec?.concurrencyPolicy === "Replace" ? await this.#replace(cronJob, active, signal) : active;
    const started = await this.#startJob(cronJob, { name, dueMs }, signal);
    const all = started === undefined ? kept : [...kept, started];
    const { active: _, ...rest } = status;
    const next = { ...rest, ...(all.length === 0 ? {} : { active: all }), lastScheduleTime: formatTime(dueMs) };
    return { status: next, ...again };
  }

  async #scheduleOf(cronJob: CronJob): Promise<Schedule | undefined> {
    const schedule = cronJob.spec?.schedule ?? "";
    const timeZone = cronJob.spec?.timeZone;
    if (timeZone !== undefined && !isTimeZone(timeZone)) {
      const message = `invalid timeZone: ${JSON.stringify(timeZone)}: unknown time zone ${timeZone}`;
      this.#events.record(cronJob, { type: "Warning", reason: "UnknownTimeZone", message });
      return undefined;
    }
    try {
      return await parseSchedule(schedule, timeZone);
    } catch (error) {
      const message = `unparseable schedule: ${JSON.stringify(schedule)} : ${error instanceof Error ? error.message : String(error)}`;
      this.#events.record(cronJob, { type: "Warning", reason: "UnparseableSchedule", message });
      return undefined;
    }
  }

  /** The newest time that has passed and was not started; of several missed ones only this. */
  #dueTime(cronJob: CronJob, schedule: Schedule, nowMs: number): number | undefined {
    const { spec, status, metadata } = cronJob;
    const createdMs = Date.parse(metadata?.creationTimestamp ?? "") || nowMs;
    let afterMs = status?.lastScheduleTime ? Date.parse(status.lastScheduleTime) : createdMs;
    if (spec?.startingDeadlineSeconds !== undefined)
      afterMs = Math.max(afterMs, nowMs - spec.startingDeadlineSeconds * 1000);
    const missed = schedule.lastMs(afterMs, nowMs, maxMissed + 1);
    if (missed.length > maxMissed) {
      const message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
      this.#events.record(cronJob, { type: "Warning", reason: "TooManyMissedTimes", message });
    }
    return missed[0];
  }

  async #replace(
    cronJob: CronJob,
    active: readonly ObjectReference[],
    signal: AbortSignal,
  ): Promise<readonly ObjectReference[]> {
    for (const reference of active) {
      const job = this.#jobs.lister.find(reference.namespace ?? "", reference.name ?? "");
      if (job !== undefined) await this.#deleteJob(cronJob, job, signal);
    }
    return [];
  }

  async #deleteJob(cronJob: CronJob, job: Job, signal: AbortSignal): Promise<void> {
    const { namespace = "", name = "", uid = "" } = job.metadata ?? {};
    try {
      const options = { propagationPolicy: "Background", preconditions: { uid }, signal } as const;
      await this.#context.client.delete({ resource: jobs, namespace, name }, options);
      this.#events.record(cronJob, { type: "Normal", reason: "SuccessfulDelete", message: `Deleted job ${name}` });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }

  /** The new Job, by reference; undefined when its namespace is on its way out. */
  async #startJob(
    cronJob: CronJob,
    run: { readonly name: string; readonly dueMs: number },
    signal: AbortSignal,
  ): Promise<ObjectReference | undefined> {
    const namespace = cronJob.metadata?.namespace ?? "";
    try {
      const job = await this.#context.client.create<Job>({ resource: jobs, namespace }, jobFor(cronJob, run), {
        signal,
      });
      this.#events.record(cronJob, { type: "Normal", reason: "SuccessfulCreate", message: `Created job ${run.name}` });
      return jobReference(job);
    } catch (error) {
      if (isNamespaceTerminating(error)) return undefined;
      // Made by an earlier look whose status was not written.
      if (hasReason(error, "AlreadyExists")) {
        const job = await this.#context.client.get<Job>({ resource: jobs, namespace, name: run.name }, { signal });
        if (controllerOf(job)?.uid === cronJob.metadata?.uid)
          return endOf(job) === undefined ? jobReference(job) : undefined;
      }
      const message = `Error creating job: ${error instanceof Error ? error.message : String(error)}`;
      this.#events.record(cronJob, { type: "Warning", reason: "FailedCreate", message });
      throw error;
    }
  }
}

function jobFor(cronJob: CronJob, run: { readonly name: string; readonly dueMs: number }): Job {
  const template = cronJob.spec?.jobTemplate;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: run.name,
      namespace: cronJob.metadata?.namespace ?? "",
      labels: template?.metadata?.labels ?? {},
      annotations: { ...template?.metadata?.annotations, [scheduledAnnotation]: formatTime(run.dueMs) },
      ownerReferences: [controllerReference(cronJob)],
    },
    ...(template?.spec === undefined ? {} : { spec: template.spec }),
  };
}

function jobReference(job: Job): ObjectReference {
  return { apiVersion: "batch/v1", kind: "Job", ...referenceTo(job) };
}

function endOf(job: Job): "Complete" | "Failed" | undefined {
  const end = job.status?.conditions?.find(
    ({ type, status }) => (type === "Complete" || type === "Failed") && status === "True",
  );
  return end?.type as "Complete" | "Failed" | undefined;
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return name !== "" && name.toLowerCase() !== "local";
  } catch {
    return false;
  }
}

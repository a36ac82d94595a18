import assert from "node:assert/strict";
import { test } from "node:test";
import type { CronJob, Job } from "#api/generated/types/batch-v1.ts";
import { formatTime } from "#apimachinery/time.ts";
import { cronJobs, jobs } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createCronJobController } from "./cronjob-controller.ts";

function cronJob(more: object = {}): CronJob {
  const template = { spec: { restartPolicy: "Never", containers: [{ name: "c" }] } };
  const spec = {
    schedule: "*/5 * * * *",
    jobTemplate: { metadata: { labels: { a: "b" } }, spec: { template } },
    ...more,
  };
  return { apiVersion: "batch/v1", kind: "CronJob", metadata: { name: "tick" }, spec } as CronJob;
}

async function setUp(more: object = {}): Promise<TestCluster> {
  const cluster = new TestCluster();
  await cluster.start(createCronJobController);
  await cluster.create(cronJobs, cronJob(more));
  await cluster.settle();
  return cluster;
}

async function pass(cluster: TestCluster, minutes: number): Promise<void> {
  for (let i = 0; i < minutes; i++) {
    await cluster.clock.advance(60_000);
    await cluster.settle();
  }
}

async function end(cluster: TestCluster, name: string, type: string): Promise<void> {
  const now = formatTime(cluster.clock.now());
  const conditions = [{ type, status: "True", lastTransitionTime: now }];
  await cluster.merge(jobs, name, { status: { conditions, startTime: now, completionTime: now } }, "status");
  await cluster.settle();
}

test("a job is started at each time of the schedule", async () => {
  const cluster = await setUp();
  await pass(cluster, 4);
  assert.equal((await cluster.list(jobs)).length, 0);

  await pass(cluster, 2);

  const [job] = await cluster.list<Job>(jobs);
  const minutes = Date.UTC(2026, 0, 1, 0, 5) / 60_000;
  assert.equal(job?.metadata?.name, `tick-${minutes}`);
  assert.equal(job?.metadata?.labels?.["a"], "b");
  assert.equal(job?.metadata?.annotations?.["batch.kubernetes.io/cronjob-scheduled-timestamp"], "2026-01-01T00:05:00Z");
  const { status } = await cluster.get<CronJob>(cronJobs, "tick");
  assert.equal(status?.lastScheduleTime, "2026-01-01T00:05:00Z");
  assert.equal(status?.active?.length, 1);
  await cluster.stop();
});

test("a job that ended is no longer active, and old ones are deleted", async () => {
  const cluster = await setUp({ schedule: "* * * * *", successfulJobsHistoryLimit: 1 });
  for (let i = 0; i < 3; i++) {
    await pass(cluster, 1);
    for (const job of await cluster.list<Job>(jobs)) {
      if (job.status?.conditions === undefined) await end(cluster, job.metadata!.name!, "Complete");
    }
  }

  assert.equal((await cluster.list(jobs)).length, 1);
  const { status } = await cluster.get<CronJob>(cronJobs, "tick");
  assert.equal(status?.active, undefined);
  assert.ok(status?.lastSuccessfulTime);
  assert.ok((await cluster.eventReasons()).includes("SawCompletedJob"));
  await cluster.stop();
});

test("with Forbid no second job is started while one runs, with Replace it takes its place", async () => {
  const forbid = await setUp({ schedule: "* * * * *", concurrencyPolicy: "Forbid" });
  await pass(forbid, 3);
  assert.equal((await forbid.list(jobs)).length, 1);
  assert.ok((await forbid.eventReasons()).includes("JobAlreadyActive"));
  await forbid.stop();

  const replace = await setUp({ schedule: "* * * * *", concurrencyPolicy: "Replace" });
  await pass(replace, 3);
  const [job, ...others] = await replace.list<Job>(jobs);
  assert.equal(others.length, 0);
  assert.match(job?.metadata?.annotations?.["batch.kubernetes.io/cronjob-scheduled-timestamp"] ?? "", /T00:03:00Z$/);
  await replace.stop();
});

test("a suspended cron job starts nothing", async () => {
  const cluster = await setUp({ schedule: "* * * * *", suspend: true });

  await pass(cluster, 3);

  assert.equal((await cluster.list(jobs)).length, 0);
  await cluster.stop();
});

test("of the times that were missed only the last is made up for, and only within the deadline", async () => {
  const cluster = new TestCluster();
  await cluster.create(cronJobs, cronJob({ schedule: "0 * * * *" }));
  await cluster.create(cronJobs, {
    ...cronJob({ schedule: "0 * * * *", startingDeadlineSeconds: 60 }),
    metadata: { name: "late" },
  });
  await cluster.clock.advance(3 * 3_600_000 + 600_000);

  await cluster.start(createCronJobController);

  const names = (await cluster.list<Job>(jobs)).map((job) => job.metadata?.name);
  assert.deepEqual(names, [`tick-${Date.UTC(2026, 0, 1, 3) / 60_000}`]);
  await cluster.stop();
});

test("schedules are read in their time zone", async () => {
  const cluster = await setUp({ schedule: "30 1 * * *", timeZone: "Europe/Berlin" });

  await pass(cluster, 31);

  const [job] = await cluster.list<Job>(jobs);
  assert.match(job?.metadata?.annotations?.["batch.kubernetes.io/cronjob-scheduled-timestamp"] ?? "", /T00:30:00Z$/);
  await cluster.stop();
});

test("a schedule that is none is named in an Event", async () => {
  const cluster = await setUp({ schedule: "sometimes" });

  assert.ok((await cluster.eventReasons()).includes("UnparseableSchedule"));
  await cluster.stop();
});

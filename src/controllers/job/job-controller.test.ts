import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job } from "#api/generated/types/batch-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { formatTime } from "#apimachinery/time.ts";
import { findCondition } from "#controllers/common/conditions.ts";
import { jobs, pods } from "#controllers/common/resources.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createTtlAfterFinishedController } from "#controllers/ttlafterfinished/ttl-after-finished.ts";
import { formatIndexes, parseIndexes } from "./completion-indexes.ts";
import { createJobController } from "./job-controller.ts";

function job(spec: object = {}): Job {
  const labels = { "batch.kubernetes.io/job-name": "work" };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "work" },
    spec: {
      completions: 1,
      parallelism: 1,
      backoffLimit: 6,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { restartPolicy: "Never", containers: [{ name: "c" }] } },
      ...spec,
    },
  } as Job;
}

async function setUp(spec: object = {}): Promise<TestCluster> {
  const cluster = new TestCluster();
  await cluster.start(createJobController, createTtlAfterFinishedController);
  await cluster.create(jobs, job(spec));
  await cluster.settle();
  return cluster;
}

async function current(cluster: TestCluster): Promise<Job> {
  return await cluster.get<Job>(jobs, "work");
}

async function running(cluster: TestCluster): Promise<readonly Pod[]> {
  const all = await cluster.list<Pod>(pods);
  return all.filter((pod) => pod.status?.phase === "Pending" && pod.metadata?.deletionTimestamp === undefined);
}

/** Ends pods, as kubelet would report it. */
async function end(
  cluster: TestCluster,
  all: readonly Pod[],
  exitCode: number,
  conditions: readonly object[] = [],
): Promise<void> {
  const terminated = { exitCode, finishedAt: formatTime(cluster.clock.now()) };
  for (const pod of all) {
    const containerStatuses = [{ name: "c", state: { terminated }, restartCount: 0 }];
    await cluster.setPodPhase(pod.metadata!.name!, exitCode === 0 ? "Succeeded" : "Failed", {
      containerStatuses,
      conditions,
    });
  }
  await cluster.settle();
}

function conditionTypes(object: Job): readonly string[] {
  return (object.status?.conditions ?? []).filter(({ status }) => status === "True").map(({ type }) => type);
}

test("a job runs its pod once and is complete", async () => {
  const cluster = await setUp();
  const [pod, ...others] = await running(cluster);
  assert.equal(others.length, 0);
  assert.deepEqual(pod?.metadata?.finalizers, ["batch.kubernetes.io/job-tracking"]);

  await end(cluster, [pod!], 0);

  const { status } = await current(cluster);
  assert.equal(status?.succeeded, 1);
  assert.equal(status?.active, 0);
  assert.ok(status?.startTime && status.completionTime);
  assert.deepEqual(conditionTypes(await current(cluster)), ["SuccessCriteriaMet", "Complete"]);
  assert.equal(findCondition(status.conditions, "Complete")?.reason, "CompletionsReached");
  const [ended] = await cluster.list<Pod>(pods);
  assert.equal(ended?.metadata?.finalizers?.length ?? 0, 0);
  assert.ok((await cluster.eventReasons()).includes("Completed"));
  await cluster.stop();
});

test("no more pods run at once than parallelism allows, and no more than are needed", async () => {
  const cluster = await setUp({ completions: 3, parallelism: 2 });
  assert.equal((await running(cluster)).length, 2);

  await end(cluster, await running(cluster), 0);
  assert.equal((await running(cluster)).length, 1);
  await end(cluster, await running(cluster), 0);

  assert.equal((await current(cluster)).status?.succeeded, 3);
  assert.ok(conditionTypes(await current(cluster)).includes("Complete"));
  await cluster.stop();
});

test("a failed pod is replaced after its back-off, until the limit is reached", async () => {
  const cluster = await setUp({ backoffLimit: 1 });
  await end(cluster, await running(cluster), 1);
  assert.equal((await running(cluster)).length, 0);

  await cluster.clock.advance(11_000);
  await cluster.settle();
  assert.equal((await running(cluster)).length, 1);
  await end(cluster, await running(cluster), 1);

  const failed = await current(cluster);
  assert.deepEqual(conditionTypes(failed), ["FailureTarget", "Failed"]);
  assert.equal(findCondition(failed.status?.conditions, "Failed")?.reason, "BackoffLimitExceeded");
  assert.equal(failed.status?.failed, 2);
  await cluster.stop();
});

test("a job that is active for too long fails and its pods are deleted", async () => {
  const cluster = await setUp({ activeDeadlineSeconds: 30 });

  await cluster.clock.advance(31_000);
  await cluster.settle();

  const failed = await current(cluster);
  assert.equal(findCondition(failed.status?.conditions, "Failed")?.reason, "DeadlineExceeded");
  assert.equal((await cluster.list(pods)).length, 0);
  await cluster.stop();
});

test("a suspended job has no pods until it is resumed", async () => {
  const cluster = await setUp({ suspend: true });
  assert.equal((await cluster.list(pods)).length, 0);
  assert.deepEqual(conditionTypes(await current(cluster)), ["Suspended"]);

  await cluster.merge(jobs, "work", { spec: { suspend: false } });
  await cluster.settle();
  assert.equal((await running(cluster)).length, 1);

  await cluster.merge(jobs, "work", { spec: { suspend: true } });
  await cluster.settle();
  assert.equal((await running(cluster)).length, 0);
  const reasons = await cluster.eventReasons();
  assert.ok(reasons.includes("Suspended") && reasons.includes("Resumed"));
  await cluster.stop();
});

test("an indexed job runs one pod per index and tells each its own", async () => {
  const cluster = await setUp({ completionMode: "Indexed", completions: 3, parallelism: 3 });
  const all = await running(cluster);
  const indexes = all.map((pod) => pod.metadata?.annotations?.["batch.kubernetes.io/job-completion-index"]);
  assert.deepEqual([...indexes].sort(), ["0", "1", "2"]);
  const second = all.find((pod) => pod.spec?.hostname === "work-1");
  assert.match(second?.metadata?.name ?? "", /^work-1-/);
  assert.equal(second?.spec?.containers[0]?.env?.[0]?.name, "JOB_COMPLETION_INDEX");

  await end(
    cluster,
    all.filter((pod) => pod !== second),
    0,
  );
  assert.equal((await current(cluster)).status?.completedIndexes, "0,2");
  await end(cluster, [second!], 0);

  assert.equal((await current(cluster)).status?.completedIndexes, "0-2");
  assert.ok(conditionTypes(await current(cluster)).includes("Complete"));
  await cluster.stop();
});

test("with a limit per index one index fails while the others go on", async () => {
  const cluster = await setUp({
    completionMode: "Indexed",
    completions: 2,
    parallelism: 2,
    backoffLimitPerIndex: 1,
    backoffLimit: 100,
  });
  const byIndex = async (index: string) =>
    (await running(cluster)).filter(
      (pod) => pod.metadata?.annotations?.["batch.kubernetes.io/job-completion-index"] === index,
    );

  await end(cluster, await byIndex("0"), 1);
  await cluster.clock.advance(11_000);
  await cluster.settle();
  const [second] = await byIndex("0");
  assert.equal(second?.metadata?.annotations?.["batch.kubernetes.io/job-index-failure-count"], "1");
  await end(cluster, [second!], 1);
  assert.equal((await current(cluster)).status?.failedIndexes, "0");
  await end(cluster, await byIndex("1"), 0);

  const failed = await current(cluster);
  assert.equal(findCondition(failed.status?.conditions, "Failed")?.reason, "FailedIndexes");
  assert.equal(failed.status?.completedIndexes, "1");
  await cluster.stop();
});

test("a pod failure policy can fail the job at once, and ignore disruptions", async () => {
  const rules = [
    { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
    { action: "FailJob", onExitCodes: { operator: "In", values: [42] } },
  ];
  const cluster = await setUp({ podFailurePolicy: { rules }, backoffLimit: 0 });

  await end(cluster, await running(cluster), 137, [{ type: "DisruptionTarget", status: "True" }]);
  await cluster.clock.advance(11_000);
  await cluster.settle();
  assert.equal((await current(cluster)).status?.failed ?? 0, 0);
  const [pod] = await running(cluster);
  await end(cluster, [pod!], 42);

  const failed = findCondition((await current(cluster)).status?.conditions, "Failed");
  assert.equal(failed?.reason, "PodFailurePolicy");
  assert.equal(
    failed?.message,
    `Container c for pod default/${pod?.metadata?.name} failed with exit code 42 matching FailJob rule at index 1`,
  );
  await cluster.stop();
});

test("a success policy ends the job before all indexes have succeeded", async () => {
  const cluster = await setUp({
    completionMode: "Indexed",
    completions: 3,
    parallelism: 3,
    successPolicy: { rules: [{ succeededIndexes: "0", succeededCount: 1 }] },
  });
  const all = await running(cluster);
  const first = all.filter((pod) => pod.spec?.hostname === "work-0");

  await end(cluster, first, 0);

  const complete = findCondition((await current(cluster)).status?.conditions, "Complete");
  assert.equal(complete?.reason, "SuccessPolicy");
  assert.equal((await running(cluster)).length, 0);
  await cluster.stop();
});

test("a pod that was deleted counts as failed and is replaced", async () => {
  const cluster = await setUp();
  const [pod] = await running(cluster);

  await cluster.client.delete({ resource: pods, namespace: "default", name: pod!.metadata!.name! });
  await cluster.settle();
  await cluster.clock.advance(11_000);
  await cluster.settle();

  assert.equal((await current(cluster)).status?.failed, 1);
  assert.equal((await running(cluster)).length, 1);
  await cluster.stop();
});

test("pods are let go when their job is deleted", async () => {
  const cluster = await setUp();
  const [pod] = await running(cluster);

  await cluster.client.delete({ resource: jobs, namespace: "default", name: "work" });
  await cluster.settle();

  const left = await cluster.get<Pod>(pods, pod!.metadata!.name!);
  assert.equal(left.metadata?.finalizers?.length ?? 0, 0);
  await cluster.stop();
});

test("a finished job is deleted after its time to live", async () => {
  const cluster = await setUp({ ttlSecondsAfterFinished: 100 });
  await end(cluster, await running(cluster), 0);
  assert.equal((await cluster.list(jobs)).length, 1);

  await cluster.clock.advance(101_000);
  await cluster.settle();

  assert.ok((await cluster.list(jobs)).every((one) => one.metadata?.deletionTimestamp !== undefined));
  await cluster.stop();
});

test("sets of indexes are written short and read back", () => {
  for (const text of ["", "0", "0,1", "0-2", "1,3-5,7,8"]) {
    assert.equal(formatIndexes(parseIndexes(text, 10)), text);
  }
  assert.equal(formatIndexes(parseIndexes("0-20,x,3-", 4)), "0-3");
});

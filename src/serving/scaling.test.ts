import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import { findCondition } from "#knative/conditions.ts";
import { deployments } from "./common/context.ts";
import { podAutoscalers, type PodAutoscaler, type Revision, revisions, type Service, services } from "./kinds.ts";
import { type TestNamespace, TestServing } from "./testing/test-serving.ts";

function serviceOf(annotations: Readonly<Record<string, string>> = {}): object {
  const all = Object.fromEntries(
    Object.entries(annotations).map(([key, value]) => [`autoscaling.knative.dev/${key}`, value]),
  );
  const template = { metadata: { annotations: all }, spec: { containers: [{ image: "registry.example/hello" }] } };
  return { apiVersion: "serving.knative.dev/v1", kind: "Service", metadata: { name: "hello" }, spec: { template } };
}

async function replicas(serving: TestNamespace): Promise<number | undefined> {
  return (await serving.get<Deployment>(deployments, "hello-00001-deployment")).spec?.replicas;
}

async function active(serving: TestNamespace): Promise<string> {
  const { status } = await serving.get<PodAutoscaler>(podAutoscalers, "hello-00001");
  const condition = findCondition(status?.conditions, "Active");
  return [condition?.status, condition?.reason].filter((part) => part !== undefined).join(" ");
}

describe("a revision's scale", () => {
  let running: TestServing;
  let serving: TestNamespace;
  let count = 0;
  const fresh = async (annotations?: Readonly<Record<string, string>>) => {
    serving = await running.namespace(`scale-${count++}`);
    await serving.create(services, serviceOf(annotations));
  };
  const idle = (seconds: number) => serving.pass(seconds, () => serving.report("hello-00001", 0));
  before(async () => {
    running = await TestServing.start();
  });
  after(() => running.stop());

  it("goes to zero after a stable window without requests, and the Service stays ready", async () => {
    await fresh();
    await idle(50);
    assert.deepEqual([await replicas(serving), await active(serving)], [1, "True"]);

    await idle(20);
    assert.deepEqual([await replicas(serving), await active(serving)], [0, "False NoTraffic"]);
    const revision = await serving.get<Revision>(revisions, "hello-00001");
    assert.equal(findCondition(revision.status?.conditions, "Active")?.reason, "NoTraffic");
    assert.deepEqual([revision.status?.actualReplicas, revision.status?.desiredReplicas], [0, 0]);
    const service = await serving.get<Service>(services, "hello");
    assert.equal(findCondition(service.status?.conditions, "Ready")?.status, "True");
  });

  it("leaves zero at once when a request is held", async () => {
    await fresh({ window: "6s" });
    await idle(15);
    assert.equal(await replicas(serving), 0);

    serving.report("hello-00001", 1);
    await running.settle();
    assert.equal(await replicas(serving), 1);
    await serving.pass(1);
    assert.equal(await active(serving), "True");
  });

  it("leaves zero for activation-scale pods", async () => {
    await fresh({ window: "6s", "activation-scale": "3" });
    await idle(15);
    assert.equal(await replicas(serving), 0);

    serving.report("hello-00001", 1);
    await running.settle();
    assert.equal(await replicas(serving), 3);
  });

  it("stays where it is while nobody reports: silence may be a data plane that is away", async () => {
    await fresh({ window: "6s" });
    await serving.pass(30);

    assert.equal(await replicas(serving), 1);
  });

  it("keeps min-scale pods, and max-scale at most", async () => {
    await fresh({ "min-scale": "2", "max-scale": "4", window: "6s" });
    assert.equal(await replicas(serving), 2);

    await serving.pass(4, () => serving.report("hello-00001", 5000));
    assert.equal(await replicas(serving), 4);
    await idle(20);
    assert.equal(await replicas(serving), 2);
  });

  it("begins with initial-scale pods and is ready only with all of them", async () => {
    await fresh({ "initial-scale": "3" });

    assert.equal(await replicas(serving), 3);
    const revision = await serving.get<Revision>(revisions, "hello-00001");
    assert.equal(revision.status?.actualReplicas, 3);
  });

  it("keeps the last pod for its retention period", async () => {
    await fresh({ window: "6s", "scale-to-zero-pod-retention-period": "30s" });
    await idle(25);
    assert.deepEqual([await replicas(serving), await active(serving)], [1, "False NoTraffic"]);

    await idle(20);
    assert.equal(await replicas(serving), 0);
  });

  it("follows requests per second when told so", async () => {
    await fresh({ metric: "rps", target: "10", "target-utilization-percentage": "100" });
    await serving.pass(4, () => serving.report("hello-00001", 0.5, 35));

    assert.equal(await replicas(serving), 4);
  });
});

describe("a revision that does not start", () => {
  it("is given up after its progress deadline, and scaled to zero", async () => {
    const running = await TestServing.start({ behaviourOf: () => "starting" });
    try {
      const serving = await running.namespace("slow");
      const template = {
        metadata: { annotations: { "serving.knative.dev/progress-deadline": "30s" } },
        spec: { containers: [{ image: "registry.example/slow" }] },
      };
      await serving.create(services, {
        apiVersion: "serving.knative.dev/v1",
        kind: "Service",
        metadata: { name: "hello" },
        spec: { template },
      });
      assert.equal(await active(serving), "Unknown Queued");

      await serving.pass(65);
      assert.equal(await replicas(serving), 0);
      const revision = await serving.get<Revision>(revisions, "hello-00001");
      const ready = findCondition(revision.status?.conditions, "Ready");
      assert.deepEqual([ready?.status, ready?.reason], ["False", "ProgressDeadlineExceeded"]);
    } finally {
      await running.stop();
    }
  });
});

describe("a route without a data plane", () => {
  it("says that it waits for one", async () => {
    const running = await TestServing.start({ dataPlane: [] });
    try {
      const serving = await running.namespace("nowhere");
      await serving.create(services, serviceOf());

      const service = await serving.get<Service>(services, "hello");
      const condition = findCondition(service.status?.conditions, "RoutesReady");
      assert.deepEqual(
        [condition?.status, condition?.reason, condition?.message],
        ["Unknown", "Uninitialized", "Waiting for load balancer to be ready"],
      );
    } finally {
      await running.stop();
    }
  });
});

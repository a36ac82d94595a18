import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findCondition } from "#knative/conditions.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { deployments, pods } from "#serving/common/context.ts";
import { type Revision, revisions, type Service, services } from "#serving/kinds.ts";
import { TestServing } from "#serving/testing/test-serving.ts";

const image = "registry.example/pizza";

/** Its limit is below its request: what the Deployment's API refuses, and nobody before it. */
function refusedService(name: string): object {
  const resources = { limits: { memory: "1Mi" }, requests: { memory: "1Gi" } };
  return {
    apiVersion: "serving.knative.dev/v1",
    kind: "Service",
    metadata: { name },
    spec: { template: { spec: { containers: [{ image, resources }] } } },
  };
}

describe("a Revision whose Deployment the API server refuses", () => {
  it("says so up to its Service, and is tried again less and less often, without asking the registry anew", async () => {
    let resolved = 0;
    const images = {
      async resolve() {
        resolved++;
        return `${image}@sha256:${"0".repeat(64)}`;
      },
    };
    const serving = await TestServing.start({ images });
    try {
      const namespace = await serving.namespace("refused");
      await namespace.create(services, refusedService("greedy"));
      await serving.pass(30);

      const revision = await namespace.get<Revision>(revisions, "greedy-00001");
      const { status, reason, message = "" } = findCondition(revision.status?.conditions, "ResourcesAvailable") ?? {};
      assert.deepEqual([status, reason], ["False", "FailedCreate"]);
      assert.match(message, /^Failed to create Deployment "greedy-00001-deployment": .*memory/);
      const service = await namespace.get<Service>(services, "greedy");
      const ready = findCondition(service.status?.conditions, "Ready");
      assert.deepEqual([ready?.status, ready?.reason], ["False", "RevisionFailed"]);
      assert.ok(ready?.message?.includes(message));
      assert.equal(resolved, 1);
      const told = serving.events.filter((event) => event.reason === "FailedCreate");
      // After 0, 1, 3, 7 and 15 seconds.
      assert.ok(told.length >= 3 && told.length <= 6, `told ${told.length} times`);
      assert.deepEqual(await namespace.list(deployments), []);
    } finally {
      await serving.stop();
    }
  });
});

describe("a Revision that waits", () => {
  const serviceOf = (name: string, annotations: object = {}) => ({
    apiVersion: "serving.knative.dev/v1",
    kind: "Service",
    metadata: { name },
    spec: { template: { metadata: { annotations }, spec: { containers: [{ image }] } } },
  });
  const conditionOf = (object: Revision | Service, type: string) => {
    const { status, reason, message } = findCondition(object.status?.conditions, type) ?? {};
    return { status, reason, message };
  };

  it("says up to its Service what its container waits for, and at its end what it waited for", async () => {
    const missing = { waiting: "CreateContainerConfigError", message: 'secret "nosuch" not found' };
    const serving = await TestServing.start({ behaviourOf: () => missing });
    try {
      const namespace = await serving.namespace("waiting");
      await namespace.create(services, serviceOf("keyless", { "serving.knative.dev/progress-deadline": "5s" }));

      const said = { status: "Unknown", reason: "CreateContainerConfigError", message: 'secret "nosuch" not found' };
      assert.deepEqual(conditionOf(await namespace.get(revisions, "keyless-00001"), "ContainerHealthy"), said);
      assert.deepEqual(conditionOf(await namespace.get(services, "keyless"), "Ready"), said);

      await serving.pass(45);
      const { status, message } = conditionOf(await namespace.get(revisions, "keyless-00001"), "Ready");
      assert.deepEqual(
        [status, message],
        ["False", 'Initial scale was never achieved: CreateContainerConfigError: secret "nosuch" not found'],
      );
      assert.deepEqual(await namespace.list(pods), []);
    } finally {
      await serving.stop();
    }
  });

  it("says what events tell of its pod where its status is silent", async () => {
    const serving = await TestServing.start({ behaviourOf: () => "starting" });
    try {
      const namespace = await serving.namespace("silent");
      await namespace.create(services, serviceOf("quiet"));
      assert.equal(conditionOf(await namespace.get(revisions, "quiet-00001"), "Ready").message, undefined);

      const [pod] = await namespace.list<KubeObject>(pods);
      const { name = "", uid = "" } = pod?.metadata ?? {};
      const message = "Failed to create pod sandbox: no room";
      await namespace.create(
        { group: "", version: "v1", resource: "events" },
        {
          apiVersion: "v1",
          kind: "Event",
          metadata: { name: `${name}.1`, namespace: "silent" },
          involvedObject: { kind: "Pod", name, namespace: "silent", uid },
          type: "Warning",
          reason: "FailedCreatePodSandBox",
          message,
        },
      );
      await serving.pass(3);

      const said = { status: "Unknown", reason: "FailedCreatePodSandBox", message };
      assert.deepEqual(conditionOf(await namespace.get(services, "quiet"), "Ready"), said);
    } finally {
      await serving.stop();
    }
  });

  it("is tried again when it was given up, and comes back when what was missing is there", async () => {
    const state = { isMissing: true };
    const missing = { waiting: "CreateContainerConfigError", message: 'secret "late" not found' };
    const serving = await TestServing.start({ behaviourOf: () => (state.isMissing ? missing : "ready") });
    try {
      const namespace = await serving.namespace("late");
      await namespace.create(services, serviceOf("late", { "serving.knative.dev/progress-deadline": "5s" }));
      await serving.pass(45);
      assert.equal(conditionOf(await namespace.get(services, "late"), "Ready").status, "False");
      const podCount = async () => (await namespace.list(pods)).length;
      const counts = [await podCount()];
      await serving.pass(60);
      counts.push(await podCount());
      await serving.pass(40);
      counts.push(await podCount());
      assert.deepEqual(counts, [0, 1, 0]);

      state.isMissing = false;
      await serving.pass(70);

      assert.equal(conditionOf(await namespace.get(services, "late"), "Ready").status, "True");
    } finally {
      await serving.stop();
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findCondition } from "#knative/conditions.ts";
import { deployments } from "#serving/common/context.ts";
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

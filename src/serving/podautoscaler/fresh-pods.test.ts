import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { pods } from "#serving/common/context.ts";
import { services } from "#serving/kinds.ts";
import { type TestNamespace, TestServing } from "#serving/testing/test-serving.ts";

const image = "registry.example/pizza";
const manifest = {
  apiVersion: "serving.knative.dev/v1",
  kind: "Service",
  metadata: { name: "eater" },
  spec: { template: { spec: { containers: [{ image, resources: { limits: { memory: "64Mi" } } }] } } },
};

describe("a revision whose program keeps ending", () => {
  const podsOf = async (namespace: TestNamespace) =>
    (await namespace.list<Pod>(pods)).filter(({ metadata }) => metadata?.deletionTimestamp === undefined);

  /** As a node agent says it once a container was killed for the second time. */
  async function crash(serving: TestServing, pod: Pod, containerID: string): Promise<void> {
    const { namespace = "", name = "" } = pod.metadata ?? {};
    const at = "2026-01-01T00:00:00Z";
    const terminated = { exitCode: 137, reason: "OOMKilled", containerID, startedAt: at, finishedAt: at };
    const [container] = pod.status?.containerStatuses ?? [];
    const status = {
      conditions: [{ type: "Ready", status: "False", lastTransitionTime: at }],
      containerStatuses: [
        {
          ...container,
          ready: false,
          restartCount: 2,
          state: { waiting: { reason: "CrashLoopBackOff" } },
          lastState: { terminated },
        },
      ],
    };
    const ref = { resource: pods, namespace, name, subresource: "status" };
    await serving.client.patch(ref, { type: "merge", body: { status } });
    await serving.settle();
  }

  it("gets a fresh pod at once, and the next ones after waits that grow; the ends are told in its events", async () => {
    const serving = await TestServing.start();
    try {
      const namespace = await serving.namespace("eater");
      await namespace.create(services, manifest);
      const [first] = await podsOf(namespace);
      assert.ok(first);
      namespace.report("eater-00001", 1);

      await crash(serving, first, "crun://1");
      const [second] = await podsOf(namespace);
      assert.ok(second);
      assert.notEqual(second.metadata?.uid, first.metadata?.uid);

      namespace.report("eater-00001", 1);
      await crash(serving, second, "crun://2");
      assert.equal((await podsOf(namespace))[0]?.metadata?.uid, second.metadata?.uid);
      await serving.pass(2, () => namespace.report("eater-00001", 1));
      assert.notEqual((await podsOf(namespace))[0]?.metadata?.uid, second.metadata?.uid);

      const told = serving.events.filter(({ reason }) => reason === "OOMKilled").map(({ message }) => message);
      assert.equal(told.length, 2);
      assert.match(
        told[0] ?? "",
        /^Container "user-container" of pod eater\/eater-00001-\S+ ended with exit code 137: it took more than its 64Mi of memory$/,
      );
    } finally {
      await serving.stop();
    }
  });

  it("is left to the kubelet as long as it never was ready", async () => {
    const serving = await TestServing.start({ behaviourOf: () => ({ exitCode: 1, message: "no database" }) });
    try {
      const namespace = await serving.namespace("never");
      await namespace.create(services, manifest);
      const before = await podsOf(namespace);
      await serving.pass(20, () => namespace.report("eater-00001", 1));

      assert.equal(before.length, 1);
      assert.deepEqual(
        (await podsOf(namespace)).map(({ metadata }) => metadata?.uid),
        before.map(({ metadata }) => metadata?.uid),
      );
    } finally {
      await serving.stop();
    }
  });
});

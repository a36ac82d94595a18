import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { settle } from "#client/testing/settle.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { PodStatusWriter } from "./pod-status-writer.ts";

const pods = { resource: { group: "", version: "v1", resource: "pods" }, namespace: "default" };
const ref = { namespace: "default", name: "web", uid: "u1" };

describe("the status writer", () => {
  it("lets a pod that is still starting wait for a better status, and writes only that", async () => {
    const { writer, clock, phases } = await setUp(30);

    writer.set(ref, { phase: "Pending" });
    await settle();
    writer.set(ref, { phase: "Running" });
    await settle();
    await clock.advance(100);

    assert.deepEqual(await phases(), ["Running"]);
    writer.stop();
  });

  it("lets a pod that runs wait until it is ready, but one that is not ready any more does not wait", async () => {
    const { writer, phases } = await setUp(30);
    const running = (ready: string): PodStatus => ({
      phase: "Running",
      conditions: [{ type: "Ready", status: ready, lastTransitionTime: "2026-01-01T00:00:00Z" }],
    });

    writer.set(ref, running("False"));
    await settle();
    assert.deepEqual(await phases(), []);
    writer.set(ref, running("True"));
    await settle();
    assert.deepEqual(await phases(), ["Running"]);
    writer.set(ref, running("False"));
    await settle();

    assert.deepEqual(await phases(), ["Running", "Running"]);
    writer.stop();
  });

  it("says that a pod is still starting when nothing better comes", async () => {
    const { writer, clock, phases } = await setUp(30);

    writer.set(ref, { phase: "Pending", reason: "One" });
    writer.set(ref, { phase: "Pending", reason: "Two" });
    await clock.advance(30);
    await settle();

    assert.deepEqual(await phases(), ["Pending"]);
    writer.stop();
  });

  it("lets a pod that is being deleted wait for its end, and tells that it has seen the deletion with that", async () => {
    const { writer, clock, written } = await setUp(30, { deletionTimestamp: "2026-01-01T00:00:00Z", generation: 2 });
    const conditions = [{ type: "Ready", status: "False", lastTransitionTime: "2026-01-01T00:00:00Z" }];

    writer.set(ref, { phase: "Running", conditions });
    await settle();
    writer.set(ref, { phase: "Succeeded", conditions });
    await settle();
    await clock.advance(100);

    assert.deepEqual(
      written.map(({ phase, observedGeneration }) => [phase, observedGeneration]),
      [["Succeeded", 2]],
    );
    writer.stop();
  });
});

async function setUp(
  settleMs: number,
  metadata: Partial<Pod["metadata"]> = {},
): Promise<{
  readonly writer: PodStatusWriter;
  readonly clock: FakeClock;
  readonly phases: () => Promise<readonly string[]>;
  readonly written: readonly PodStatus[];
}> {
  const clock = new FakeClock();
  const client = createClient(new FakeTransport({ clock }));
  const pod = await client.create<Pod>(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: ref.name, namespace: ref.namespace, uid: ref.uid },
    spec: { containers: [] },
  });
  const written: PodStatus[] = [];
  const counting = new Proxy(client, {
    get: (target, name) =>
      name === "patch"
        ? async (...args: Parameters<typeof client.patch>) => {
            const answer = await target.patch<Pod>(...args);
            written.push(answer.status ?? {});
            return answer;
          }
        : Reflect.get(target, name),
  });
  const findPod = () => ({ ...pod, metadata: { ...pod.metadata, ...metadata, uid: ref.uid } });
  const writer = new PodStatusWriter({ client: counting, findPod, hostIPs: [], settleMs, clock, logger: silentLogger });
  return { writer, clock, written, phases: async () => written.map(({ phase = "" }) => phase) };
}

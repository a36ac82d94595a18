import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { silentEvents } from "#kubelet/events.ts";
import type { Shortage } from "#kubelet/node/node-object.ts";
import { podOf } from "#kubelet/testing/engine-house.ts";
import { NodePressureEviction } from "./node-pressure.ts";

const mebibyte = 2 ** 20;

function house(uses: Readonly<Record<string, number>>, pods: readonly Pod[]) {
  const clock = new FakeClock();
  const gone: string[] = [];
  const messages: string[] = [];
  const eviction = new NodePressureEviction({
    pods: () => pods.filter((pod) => !gone.includes(pod.metadata?.name ?? "")),
    usage: async () =>
      Object.entries(uses).map(([name, bytes]) => ({
        ref: { namespace: "default", name, uid: `uid-${name}` },
        containers: [{ name: "main", bytes }],
        sharedBytes: 0,
      })),
    evict: async (ref, status) => {
      gone.push(ref.name);
      messages.push(status.message);
    },
    events: silentEvents,
    clock,
    logger: silentLogger,
  });
  return { eviction, clock, gone, messages };
}

const memory: Shortage = {
  resource: "memory",
  signal: "memory.available",
  threshold: 100 * mebibyte,
  available: 50 * mebibyte,
};
const asking = (memory: string) => [{ resources: { requests: { memory } } }];

describe("eviction under pressure", () => {
  it("ends who exceeds his request most, by priority first, one at a time", async () => {
    const pods = [
      podOf("modest", asking("100Mi")),
      podOf("greedy", [{}]),
      podOf("important", [{}], { priority: 1000 }),
      podOf("system", [{}], { priority: 2_000_001_000 }),
    ];
    const uses = { modest: 90 * mebibyte, greedy: 10 * mebibyte, important: 500 * mebibyte, system: 900 * mebibyte };
    const { eviction, clock, gone, messages } = house(uses, pods);

    await eviction.relieve(memory);
    await eviction.relieve(memory);
    assert.deepEqual(gone, ["greedy"]);
    for (let round = 0; round < 4; round += 1) {
      await clock.advance(30_000);
      await eviction.relieve(memory);
    }

    assert.deepEqual(gone, ["greedy", "important", "modest"]);
    assert.equal(
      messages[0],
      "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container main was using 10Mi, request is 0, has larger consumption of memory. ",
    );
  });

  it("says which disk space or inodes are short", async () => {
    const { eviction, messages } = house({ writer: 3 * mebibyte }, [podOf("writer", [{}])]);

    await eviction.relieve({ ...memory, resource: "ephemeral-storage", signal: "nodefs.inodesFree", available: 7 });

    assert.equal(
      messages[0],
      "The node was low on resource: inodes. Threshold quantity: 104857600, available: 7. Container main was using 3Mi, request is 0, has larger consumption of ephemeral-storage. ",
    );
  });
});

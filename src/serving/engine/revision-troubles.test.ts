import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { endpointOf } from "./pod-endpoints.ts";
import { RevisionTroubles } from "./revision-troubles.ts";

const key = "default/hello-00001";

function podThat(state: object, status: object = {}): Pod {
  return {
    metadata: { name: "p", uid: "p" },
    spec: { containers: [{ name: "c", ports: [{ name: "user-port", containerPort: 8080 }] }] },
    status: { podIP: "10.0.0.1", containerStatuses: [{ name: "c", state }], ...status },
  } as unknown as Pod;
}
const waiting = (reason: string) => podThat({ waiting: { reason } });
const running = podThat({ running: {} });

function openTroubles() {
  const clock = new FakeClock();
  const told: string[] = [];
  const troubles = new RevisionTroubles(clock, (_key, verdict) =>
    told.push(verdict.kind === "refuse" ? verdict.message : ""),
  );
  const look = (...pods: readonly Pod[]) =>
    troubles.look(
      key,
      pods,
      pods.flatMap((pod) => endpointOf(pod) ?? []),
    );
  return { clock, told, troubles, look };
}

describe("a revision that cannot run", () => {
  it("is known once what stops it has lasted; callers are told so, and when to come again", async () => {
    const { clock, told, troubles, look } = openTroubles();
    look(waiting("ImagePullBackOff"));
    await clock.advance(9_999);
    assert.deepEqual([told, troubles.refusalFor(key)], [[], undefined]);

    await clock.advance(1);
    const message = "revision hello-00001 cannot run: ImagePullBackOff";
    assert.deepEqual(told, [message]);
    assert.deepEqual(troubles.refusalFor(key), { kind: "refuse", status: 503, message, retryAfterSeconds: 10 });
  });

  it("may run while a pod of it is on its way, and is known at once when that one ends too", async () => {
    const { clock, told, troubles, look } = openTroubles();
    look(podThat({ terminated: { exitCode: 1 } }));
    await clock.advance(2_000);
    look(running);
    await clock.advance(30_000);
    assert.deepEqual([told, troubles.refusalFor(key)], [[], undefined]);

    look(waiting("CrashLoopBackOff"));
    assert.deepEqual(told, ["revision hello-00001 cannot run: CrashLoopBackOff"]);
    look(waiting("ContainerCreating"));
    assert.equal(troubles.refusalFor(key), undefined);
  });

  it("is forgotten when it serves or sleeps: the next trouble has its own time", async () => {
    const { clock, told, troubles, look } = openTroubles();
    look(waiting("ErrImagePull"));
    await clock.advance(9_000);
    troubles.forget(key);
    look(waiting("ErrImagePull"));
    await clock.advance(9_000);
    assert.deepEqual(told, []);

    troubles.stop();
    await clock.advance(60_000);
    assert.deepEqual(told, []);
  });

  it("is one whose pods find no node, but none that only begins", async () => {
    const { clock, told, look } = openTroubles();
    const conditions = [{ type: "PodScheduled", status: "False", reason: "Unschedulable" }];
    look(podThat({ waiting: { reason: "ContainerCreating" } }));
    await clock.advance(60_000);
    assert.deepEqual(told, []);
    look(podThat({}, { podIP: "", conditions }));
    await clock.advance(10_000);
    assert.deepEqual(told, ["revision hello-00001 cannot run: Unschedulable"]);
  });
});

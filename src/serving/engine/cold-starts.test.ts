import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import type { ColdStart } from "#serving/data-plane.ts";
import { ColdStarts, type StartingPod } from "./cold-starts.ts";

const endpoint = { address: "10.0.0.1", port: 8080, pod: "p", node: "n1", state: "starting" } as const;
const pod = (more: Partial<StartingPod> = {}): StartingPod => ({
  uid: "p",
  isBound: false,
  endpoint: undefined,
  ...more,
});

describe("a cold start", () => {
  it("is split by what the first request waited for", async () => {
    const clock = new FakeClock();
    const seen: ColdStart[] = [];
    const starts = new ColdStarts({ clock, onColdStart: (start) => seen.push(start) });
    starts.begin("default/hello-00001");
    await clock.advance(5);
    starts.onPod("default/hello-00001", pod());
    await clock.advance(3);
    starts.onPod("default/hello-00001", pod({ isBound: true }));
    await clock.advance(20);
    starts.onPod("default/hello-00001", pod({ isBound: true, endpoint }));
    await clock.advance(10);
    starts.onServed("default/hello-00001", "p");
    await clock.advance(2);
    starts.onAnswer("default/hello-00001");
    starts.onAnswer("default/hello-00001");

    assert.deepEqual(seen, [
      {
        namespace: "default",
        name: "hello-00001",
        time: "2026-01-01T00:00:00.000Z",
        totalMs: 40,
        decisionMs: 5,
        scheduleMs: 3,
        startMs: 20,
        readyMs: 10,
        firstByteMs: 2,
      },
    ]);
  });

  it("counts steps that come together as no time, and is none where a pod was there before", () => {
    const seen: ColdStart[] = [];
    const starts = new ColdStarts({ clock: new FakeClock(), onColdStart: (start) => seen.push(start) });
    starts.begin("a/b");
    starts.onPod("a/b", pod({ isBound: true, endpoint }));
    starts.onServed("a/b", "another");
    starts.onAnswer("a/b");
    assert.equal(seen.length, 0);

    starts.onServed("a/b", "p");
    starts.onAnswer("a/b");
    assert.equal(seen[0]?.totalMs, 0);
  });
});

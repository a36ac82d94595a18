import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createEventRecorder } from "./event-recorder.ts";
import { createClient } from "./rest-client.ts";
import { FakeTransport } from "./testing/fake-transport.ts";
import { settle } from "./testing/settle.ts";

const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "web", namespace: "default", uid: "u1" } };

function setUp() {
  const clock = new FakeClock();
  const client = createClient(new FakeTransport({ clock }));
  const recorder = createEventRecorder({ client, component: "kubelet", host: "n1", clock, logger: silentLogger });
  const events = async () =>
    (await client.list<Event>({ resource: { group: "", version: "v1", resource: "events" }, namespace: "default" }))
      .items;
  return { clock, recorder, events };
}

test("an event says what happened to which object, and who saw it", async () => {
  const { recorder, events } = setUp();

  recorder.record(pod, { type: "Normal", reason: "Pulled", message: "Image is there" });
  await settle();

  const [event] = await events();
  assert.equal(event?.reason, "Pulled");
  assert.equal(event?.count, 1);
  assert.equal(event?.involvedObject.uid, "u1");
  assert.deepEqual(event?.source, { component: "kubelet", host: "n1" });
  assert.match(event?.metadata?.name ?? "", /^web\.[0-9a-f]+$/);
});

test("the same event again counts up the first", async () => {
  const { clock, recorder, events } = setUp();

  for (let i = 0; i < 3; i++) {
    recorder.record(pod, { type: "Warning", reason: "BackOff", message: "Back-off restarting" });
    await settle();
    await clock.advance(1000);
  }

  const all = await events();
  assert.equal(all.length, 1);
  assert.equal(all[0]?.count, 3);
  assert.equal(all[0]?.lastTimestamp, "2026-01-01T00:00:02Z");
});

test("what was written longer ago than Events are kept is forgotten", async () => {
  const { clock, recorder, events } = setUp();
  const record = async () => {
    recorder.record(pod, { type: "Warning", reason: "BackOff", message: "Back-off restarting" });
    await settle();
  };

  await record();
  await clock.advance(50 * 60_000);
  await record();
  await clock.advance(50 * 60_000);
  await record();
  assert.deepEqual(await events().then((all) => all.map(({ count }) => count)), [3]);
  await clock.advance(90 * 60_000);
  await record();

  const counts = (await events()).map(({ count }) => count);
  assert.deepEqual(counts, [3, 1]);
});

test("many similar events are combined, and a flood is dropped", async () => {
  const { recorder, events } = setUp();

  for (let i = 0; i < 40; i++) recorder.record(pod, { type: "Warning", reason: "Failed", message: `attempt ${i}` });
  await settle(200);

  const all = await events();
  assert.equal(all.length, 10);
  const combined = all.find((event) => event.message?.startsWith("(combined from similar events): "));
  assert.equal(combined?.count, 16);
});

test("an event waits for its delay, and for no longer once the recorder stops", async () => {
  const clock = new FakeClock();
  const client = createClient(new FakeTransport({ clock }));
  const recorder = createEventRecorder({ client, component: "kubelet", delayMs: 30, clock, logger: silentLogger });
  const count = async () =>
    (await client.list<Event>({ resource: { group: "", version: "v1", resource: "events" }, namespace: "default" }))
      .items.length;

  recorder.record(pod, { type: "Normal", reason: "Pulled", message: "Image is there" });
  await settle();
  assert.equal(await count(), 0);
  await clock.advance(30);
  await settle();
  assert.equal(await count(), 1);
  recorder.record(pod, { type: "Normal", reason: "Started", message: "Container started" });
  await recorder.stop();

  assert.equal(await count(), 2);
});

/** When Events go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { formatTime } from "#apimachinery/time.ts";
import { FakeClock } from "#component-base/clock.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";

const events = { resource: { group: "", version: "v1", resource: "events" }, namespace: "default" };
const minuteMs = 60_000;

test("an Event goes an hour after it was last seen, and one that is seen again stays", async (context) => {
  const clock = new FakeClock();
  const { client, stop } = await startTestApiServer({ clock });
  context.after(stop);
  const involvedObject = { kind: "Pod", namespace: "default", name: "web" };
  const event = (name: string): KubeObject =>
    ({ metadata: { name }, involvedObject, reason: "Seen", lastTimestamp: formatTime(clock.now()) }) as KubeObject;
  const namesAfter = async (minutes: number) => {
    for (let minute = 0; minute < minutes; minute++) await clock.advance(minuteMs);
    return (await client.list(events)).items.map(({ metadata }) => metadata?.name);
  };
  await client.create(events, event("once"));
  await client.create(events, event("again"));

  assert.deepEqual(await namesAfter(30), ["again", "once"]);
  const body = { lastTimestamp: formatTime(clock.now()), count: 2 };
  await client.patch({ ...events, name: "again" }, { type: "merge", body });
  assert.deepEqual(await namesAfter(32), ["again"]);
  assert.deepEqual(await namesAfter(30), []);
});

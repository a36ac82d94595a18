import assert from "node:assert/strict";
import { it } from "node:test";
import { silentLogger } from "#component-base/logger.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { defaultFeaturesConfig } from "#eventing/config/features-config.ts";
import { main } from "#eventing/dispatcher/testing/house.ts";
import { type Broker, brokers, type EventType, eventTypes } from "#eventing/kinds.ts";
import { TestEventing } from "#eventing/testing/test-eventing.ts";
import { EventTypeRecorder } from "./event-type-recorder.ts";

function event(type: string, source: string): CloudEvent {
  return {
    attributes: new Map([
      ["id", "1"],
      ["source", source],
      ["specversion", "1.0"],
      ["type", type],
    ]),
  };
}

it("each type and source of a Broker's events becomes one EventType while the feature is on", async (t) => {
  const eventing = await TestEventing.start();
  t.after(() => eventing.stop());
  const space = await eventing.namespace("types");
  await space.create(brokers, { apiVersion: "eventing.knative.dev/v1", kind: "Broker", metadata: { name: "main" } });
  const { metadata } = await space.get<Broker>(brokers, "main");
  const topic = { ...main, id: metadata?.uid ?? "", namespace: "types" };
  let isOn = false;
  const recorder = new EventTypeRecorder({
    client: eventing.client,
    features: () => ({ ...defaultFeaturesConfig, eventTypeAutoCreate: isOn }),
    logger: silentLogger,
    signal: new AbortController().signal,
  });

  recorder.record(topic, event("early", "/s"));
  isOn = true;
  for (const [type, source] of [
    ["a", "/s"],
    ["a", "/s"],
    ["b", "/s"],
    ["a", "/t"],
  ] as const)
    recorder.record(topic, event(type, source));
  await eventing.settle();
  await eventing.settle();

  const found = await space.list<EventType>(eventTypes);
  const values = found.map(({ spec }) =>
    spec?.attributes
      ?.map(({ value = "" }) => value)
      .join(" ")
      .trim(),
  );
  assert.deepEqual(values.toSorted(), ["a /s  1.0", "a /t  1.0", "b /s  1.0"]);
  assert.deepEqual(found[0]?.metadata?.ownerReferences?.[0]?.uid, metadata?.uid);
  assert.equal(found[0]?.status?.conditions?.find(({ type }) => type === "Ready")?.status, "True");
});

/**
 * The scheduler on the real API server, in-process and over HTTPS: bindings, conditions and Events as the server takes them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event, Node, Pod } from "#api/generated/types/core-v1.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { systemClock as clock } from "#component-base/clock.ts";
import { silentLogger as logger } from "#component-base/logger.ts";
import { createScheduler } from "./scheduler.ts";

const core = (resource: string) => ({ group: "", version: "v1", resource });
const namespace = "default";

for (const https of [false, true]) {
  test(`pods are bound or told why not, ${https ? "over HTTPS" : "in-process"}`, async () => {
    const api = await startTestApiServer({ https });
    const client = https ? api.httpClient() : api.client;
    const informers = createInformerFactory({ client, clock, logger });
    const events = createEventRecorder({ client, component: "default-scheduler", clock, logger });
    const scheduler = createScheduler({ client, informers, events, clock, logger });
    const node = await client.create<Node>(
      { resource: core("nodes") },
      { apiVersion: "v1", kind: "Node", metadata: { name: "n1" } },
    );
    const status = { allocatable: { cpu: "1", memory: "1Gi", pods: "10" } };
    await client.update<Node>({ resource: core("nodes"), name: "n1", subresource: "status" }, { ...node, status });
    // Known when the scheduler begins: else it may look for a place while there is none yet.
    const { signal } = new AbortController();
    await informers.start(signal);
    await scheduler.start(signal);
    const create = (name: string, cpu: string) => {
      const spec = { containers: [{ name: "c", image: "web", resources: { requests: { cpu } } }] };
      return client.create<Pod>(
        { resource: core("pods"), namespace },
        { apiVersion: "v1", kind: "Pod", metadata: { name }, spec },
      );
    };

    await create("small", "500m");
    await create("large", "2");

    const get = (name: string) => client.get<Pod>({ resource: core("pods"), namespace, name });
    const conditionOf = (pod: Pod) => pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
    for (let round = 0; round < 3000; round++) {
      const listed = await client.list<Event>({ resource: core("events"), namespace });
      const [small, large] = [await get("small"), await get("large")];
      if (small.spec?.nodeName && conditionOf(large) !== undefined && listed.items.length >= 2) break;
      await clock.sleep(5);
    }
    assert.equal((await get("small")).spec?.nodeName, "n1");
    assert.equal(conditionOf(await get("small"))?.status, "True");
    assert.equal(conditionOf(await get("large"))?.reason, "Unschedulable");
    const { items } = await client.list<Event>({ resource: core("events"), namespace });
    assert.deepEqual(items.map((event) => event.reason).sort(), ["FailedScheduling", "Scheduled"]);
    await scheduler.stop();
    await events.stop();
    await informers.stop();
    await api.stop();
  });
}

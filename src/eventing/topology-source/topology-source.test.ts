import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { MemoryDisk } from "#disk/testing/memory-disk.ts";
import { eventingDefinitions, eventingKinds } from "#eventing/crds/custom-resources.ts";
import { noConverter } from "#eventing/testing/no-converter.ts";
import type { Topology } from "#eventing/dispatcher/topology.ts";
import { brokers } from "#eventing/kinds.ts";
import { TopologySource } from "./topology-source.ts";

const broker = { apiVersion: "eventing.knative.dev/v1", kind: "Broker", metadata: { namespace: "default", name: "b" } };

test("objects become a topology, which the next process knows before it has seen any", async (t) => {
  const api = await startTestApiServer();
  t.after(() => api.stop());
  const { signal } = new AbortController();
  await installDefinitions(api.client, eventingDefinitions(eventingKinds, noConverter), { clock: systemClock, signal });
  const informers = createInformerFactory({ client: api.client, clock: systemClock, logger: silentLogger });
  t.after(() => informers.stop());
  const folder = new MemoryDisk();
  const applied: Topology[] = [];
  const make = (into: Topology[]) =>
    new TopologySource({
      informers,
      folder,
      apply: async (topology) => void into.push(topology),
      clock: systemClock,
      logger: silentLogger,
    });
  const source = make(applied);
  assert.equal(await source.restore(), false);
  source.follow();
  await informers.start(signal);
  await source.seen();
  assert.deepEqual(applied.at(-1)?.topics, []);

  await api.client.create({ resource: brokers, namespace: "default" }, broker as KubeObject);
  while (applied.at(-1)?.topics.length !== 1) await new Promise((resolve) => setTimeout(resolve, 5));
  await source.stop();

  const restored: Topology[] = [];
  assert.equal(await make(restored).restore(), true);
  assert.deepEqual(restored[0]?.topics[0]?.path, "/default/b");
});

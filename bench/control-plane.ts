/**
 * Controllers and scheduler on a real API server with the memory store, in one process: how fast pods that are created are bound, and how fast a large Deployment is.
 * Run: `node tools/node24.mjs bench/control-plane.ts [nodes] [pods] [replicas]`
 */
import { performance } from "node:perf_hooks";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { systemClock as clock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { createControllers } from "#controllers/controllers.ts";
import { createScheduler } from "#scheduler/scheduler.ts";

const [nodeCount = 1000, podCount = 5000, replicas = 2000] = process.argv.slice(2).map(Number);
const pods = { group: "", version: "v1", resource: "pods" };
const nodes = { group: "", version: "v1", resource: "nodes" };
const namespace = "default";

const { client, stop } = await startTestApiServer();
const logger = createLogger({ level: "warn" });
const informers = createInformerFactory({ client, clock, logger });
const recorder = createEventRecorder({ client, component: "bench", clock, logger });
const parts = [
  createScheduler({ client, informers, events: recorder, clock, logger }),
  ...createControllers({ client, informers, recorderFor: () => recorder, clock, logger, rootCa: "PEM" }),
];
const { signal } = new AbortController();
let bound = 0;
informers.informer<Pod>({ resource: pods }).addHandler({
  onUpdate: (before, after) => (bound += Number(!before.spec?.nodeName && Boolean(after.spec?.nodeName))),
});
await informers.start(signal);
await Promise.all(parts.map((part) => part.start(signal)));

async function inParallel(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: 64 }, worker));
}

async function untilBound(count: number): Promise<void> {
  while (bound < count) await clock.sleep(5);
}

function report(what: string, count: number, startMs: number): void {
  const seconds = (performance.now() - startMs) / 1000;
  console.log(`${what}: ${count} pods on ${nodeCount} nodes, ${Math.round(count / seconds)} pods/s`);
}

await inParallel(nodeCount, async (index) => {
  const name = `n${index}`;
  const node = await client.create<Node>({ resource: nodes }, { apiVersion: "v1", kind: "Node", metadata: { name } });
  const conditions = [{ type: "Ready", status: "True" }];
  const status = { allocatable: { cpu: "32", memory: "64Gi", pods: "110" }, conditions };
  await client.update<Node>({ resource: nodes, name, subresource: "status" }, { ...node, status });
});
const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image: "web" }] } };

const podsStartMs = performance.now();
await inParallel(podCount, (index) =>
  client.create<Pod>(
    { resource: pods, namespace },
    { apiVersion: "v1", kind: "Pod", metadata: { name: `p${index}` }, spec: template.spec },
  ),
);
report("created", podCount, podsStartMs);
await untilBound(podCount);
report("created and bound", podCount, podsStartMs);

const deploymentStartMs = performance.now();
const spec = { replicas, selector: { matchLabels: { app: "web" } }, template };
const deployment: Deployment = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web" }, spec };
await client.create({ resource: { group: "apps", version: "v1", resource: "deployments" }, namespace }, deployment);
await untilBound(podCount + replicas);
report("deployment, bound", replicas, deploymentStartMs);

await Promise.all(parts.map((part) => part.stop()));
await recorder.stop();
await informers.stop();
await stop();

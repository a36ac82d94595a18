import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createMetricsResources } from "./metrics-resources.ts";

let setup: TestApiServer;
const clock = new FakeClock();

/** Two containers that use a tenth and a fifth of a core since the clock's start. */
function usageText(): string {
  const seconds = (clock.now() - Date.UTC(2026, 0, 1)) / 1000;
  const lines = ["app", "proxy"].flatMap((container, index) => {
    const labels = `{container="${container}",namespace="default",pod="web"}`;
    return [
      `container_cpu_usage_seconds_total${labels} ${(seconds * (index + 1)) / 10} ${clock.now()}`,
      `container_memory_working_set_bytes${labels} ${(index + 1) * 1024 * 1024} ${clock.now()}`,
    ];
  });
  const node = [
    `node_cpu_usage_seconds_total ${seconds} ${clock.now()}`,
    `node_memory_working_set_bytes 1025 ${clock.now()}`,
  ];
  return [...lines, ...node].join("\n");
}

before(async () => {
  setup = await startTestApiServer({
    computedResources: createMetricsResources({
      client: () => setup.client,
      readNode: async (node) => {
        if (node !== "here") throw new Error("away");
        return usageText();
      },
      clock,
      logger: silentLogger,
    }),
  });
  const core = (resource: string, namespace?: string) => ({
    resource: { group: "", version: "v1", resource },
    ...(namespace === undefined ? {} : { namespace }),
  });
  for (const name of ["here", "away"]) {
    const node = { apiVersion: "v1", kind: "Node", metadata: { name, labels: { zone: name } } };
    await setup.client.create(core("nodes"), node as KubeObject);
  }
  for (const name of ["web", "idle"]) {
    const metadata = { name, namespace: "default", labels: { app: name } };
    const spec = { nodeName: "here", containers: [{ name: "app", image: "app" }] };
    await setup.client.create(core("pods", "default"), { apiVersion: "v1", kind: "Pod", metadata, spec } as KubeObject);
  }
});
after(() => setup.stop());

async function get(path: string, query: Record<string, string> = {}, accept?: string): Promise<KubeObject> {
  const options = { method: "GET", path: `/apis/metrics.k8s.io/v1beta1${path}`, query } as const;
  const answer = setup.client.transport.request({ ...options, ...(accept === undefined ? {} : { accept }) });
  answer.catch(() => undefined); // told below
  await clock.advance(1_000);
  return (await answer).body as KubeObject;
}

const timestamp = /^2026-01-01T00:\d\d:\d\dZ$/;

test("pods' metrics are of those pods that are measured, with their labels, and no resourceVersion", async () => {
  const list = (await get("/pods")) as KubeObject & { items: (KubeObject & Record<string, unknown>)[] };

  assert.equal(list.kind, "PodMetricsList");
  assert.deepEqual(list.metadata, {});
  const [item, ...more] = list.items;
  assert.deepEqual(more, []);
  assert.match(item?.metadata?.creationTimestamp ?? "", timestamp);
  assert.match(String(item?.["timestamp"]), timestamp);
  const { creationTimestamp: _, ...metadata } = item?.metadata ?? {};
  assert.deepEqual(metadata, { name: "web", namespace: "default", labels: { app: "web" } });
  assert.equal(item?.["window"], "1s");
  assert.deepEqual(item?.["containers"], [
    { name: "app", usage: { cpu: "100m", memory: "1Mi" } },
    { name: "proxy", usage: { cpu: "200m", memory: "2Mi" } },
  ]);
});

test("selectors choose, by labels and fields of the pods and nodes themselves", async () => {
  const names = async (path: string, query: Record<string, string>) => {
    const { items } = (await get(path, query)) as unknown as { items: KubeObject[] };
    return items.map(({ metadata }) => metadata?.name);
  };
  assert.deepEqual(await names("/namespaces/default/pods", { labelSelector: "app=web" }), ["web"]);
  assert.deepEqual(await names("/namespaces/default/pods", { labelSelector: "app=other" }), []);
  assert.deepEqual(await names("/namespaces/other/pods", {}), []);
  assert.deepEqual(await names("/pods", { fieldSelector: "spec.nodeName=here" }), ["web"]);
  assert.deepEqual(await names("/nodes", { labelSelector: "zone in (here, away)" }), ["here"]);
});

test("one node's or pod's metrics, and what is not measured is not found in metrics-server's words", async () => {
  const node = await get("/nodes/here");
  assert.deepEqual((node as unknown as { usage: object }).usage, { cpu: "1", memory: "1025" });
  assert.equal((await get("/namespaces/default/pods/web")).kind, "PodMetrics");

  await assert.rejects(get("/namespaces/default/pods/idle"), {
    code: 404,
    message: 'podmetrics.metrics.k8s.io "default/idle" not found',
  });
  await assert.rejects(get("/nodes/away"), { message: 'nodemetrics.metrics.k8s.io "away" not found' });
});

test("discovery shows what can be done, and nothing else can be", async () => {
  const { resources } = (await get("")) as unknown as { resources: object[] };

  assert.deepEqual(resources, [
    { name: "nodes", singularName: "", namespaced: false, kind: "NodeMetrics", verbs: ["get", "list"] },
    { name: "pods", singularName: "", namespaced: true, kind: "PodMetrics", verbs: ["get", "list"] },
  ]);
  const request = { method: "DELETE", path: "/apis/metrics.k8s.io/v1beta1/nodes/here" } as const;
  await assert.rejects(setup.client.transport.request(request), { code: 405 });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, ResourceQuota } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { ResourceQuotaPlugin } from "./admission/resource-quota.ts";
import { allowAll, startTestApiServer, trustAll } from "./testing/test-api-server.ts";

const core = (resource: string) => ({ group: "", version: "v1", resource });

test("a namespace takes what its quota leaves, even when all come at once", async (context) => {
  const informersOf: ReturnType<typeof createInformerFactory>[] = [];
  const api = await startTestApiServer({
    access: ({ client }) => {
      const informers = createInformerFactory({ client, clock: systemClock, logger: silentLogger });
      informersOf.push(informers);
      const plugin = new ResourceQuotaPlugin({
        client,
        resourceQuotas: informers.informer<ResourceQuota>({ resource: core("resourcequotas") }),
      });
      return { authenticator: trustAll, authorizer: allowAll, admission: [plugin] };
    },
  });
  context.after(async () => {
    for (const informers of informersOf) await informers.stop();
    await api.stop();
  });
  for (const informers of informersOf) await informers.start(new AbortController().signal);
  const { client } = api;
  const namespace = "default";
  const hard = { pods: "2", "requests.cpu": "300m", "count/configmaps": "1" };
  const quota = await client.create<ResourceQuota>(
    { resource: core("resourcequotas"), namespace },
    { metadata: { name: "q" }, spec: { hard } },
  );
  const used = { pods: "0", "requests.cpu": "0", "count/configmaps": "0" };
  await client.update(
    { resource: core("resourcequotas"), namespace, name: "q", subresource: "status" },
    { ...quota, status: { hard, used } },
  );
  for (const informers of informersOf) await informers.waitForSync(new AbortController().signal);
  while (informersOf[0]?.find(core("resourcequotas"))?.lister.list(namespace).length === 0)
    await new Promise((resolve) => setImmediate(resolve));
  const pod = (name: string, cpu?: string) =>
    client.create<Pod>({ resource: core("pods"), namespace }, {
      metadata: { name },
      spec: { containers: [{ name: "c", image: "x", ...(cpu ? { resources: { requests: { cpu } } } : {}) }] },
    } as Pod);

  await assert.rejects(pod("none"), {
    message: 'pods "none" is forbidden: failed quota: q: must specify requests.cpu for: c',
  });
  const results = await Promise.allSettled(["a", "b", "c", "d"].map((name) => pod(name, "100m")));
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 2);
  const refused = results.find((result) => result.status === "rejected");
  assert.match(
    String(refused?.reason),
    /is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2/,
  );
  await client.create({ resource: core("configmaps"), namespace }, { metadata: { name: "one" } } as KubeObject);
  await assert.rejects(
    client.create({ resource: core("configmaps"), namespace }, { metadata: { name: "two" } } as KubeObject),
    {
      message:
        'configmaps "two" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1',
    },
  );
  const now = await client.get<ResourceQuota>({ resource: core("resourcequotas"), namespace, name: "q" });
  assert.deepEqual(now.status?.used, { pods: "2", "requests.cpu": "200m", "count/configmaps": "1" });
});

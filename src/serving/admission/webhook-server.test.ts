import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { ensureWebhookConfigurations } from "#knative/admission/webhook-configurations.ts";
import { startWebhookServer } from "#knative/admission/webhook-server.ts";
import { eventually, withWebhooks } from "#knative/testing/cluster-with-webhooks.ts";
import { installCustomResources } from "#serving/crds/install.ts";
import { type Service, services } from "#serving/kinds.ts";
import { servingNamespace } from "#serving/names.ts";
import { servingReviewers } from "./reviewers.ts";
import { servingRules } from "./rules.ts";

const core = { group: "", version: "v1" };

/** Serving's kinds and webhook server on an API server that calls webhooks. */
async function inCluster(body: (client: Client) => Promise<void>) {
  const { signal } = new AbortController();
  await withWebhooks(async (client) => {
    const reviewers = servingReviewers();
    const server = await startWebhookServer({ part: "serving", reviewers, clock: systemClock, logger: silentLogger });
    try {
      await installCustomResources(client, { clock: systemClock, signal });
      await ensureWebhookConfigurations(client, server, { part: "serving", rules: servingRules, signal });
      await body(client);
    } finally {
      await server.stop();
    }
  });
}

function serviceOf(name: string, spec: object): KubeObject {
  const template = { spec: { containers: [{ image: "registry.example/hello" }], ...spec } };
  return {
    apiVersion: "serving.knative.dev/v1",
    kind: "Service",
    metadata: { name },
    spec: { template },
  } as KubeObject;
}

describe("Serving's webhooks over HTTPS", () => {
  it("give defaults to what is written, and refuse what cannot be", async () => {
    await inCluster(async (client) => {
      const at = { resource: services, namespace: "default" };
      // The API server hears of the configurations a moment after they were written.
      const made = await eventually(
        // It may have heard of those that refuse before those that give defaults.
        (attempt) => client.create<Service>(at, serviceOf(`hello-${attempt}`, {})).catch(() => undefined),
        (service) => service?.spec?.traffic !== undefined,
      );
      assert.equal(made?.spec?.template?.spec?.timeoutSeconds, 300);
      assert.deepEqual(made?.spec?.traffic, [{ latestRevision: true, percent: 100 }]);

      const refusal = await refusalOf((attempt) =>
        client.create(at, serviceOf(`bad-${attempt}`, { containerConcurrency: -1 })),
      );
      assert.match(
        refusal,
        /admission webhook "validation\.webhook\.serving\.knative\.dev" denied the request: validation failed: expected 0 <= -1 <= 1000: spec\.template\.spec\.containerConcurrency/,
      );

      const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: servingNamespace } };
      await client.create({ resource: { ...core, resource: "namespaces" } }, namespace);
      const config = {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "config-autoscaler" },
        data: { "stable-window": "1s" },
      };
      const maps = { resource: { ...core, resource: "configmaps" }, namespace: servingNamespace };
      assert.match(
        await refusalOf(async () => {
          await client.create(maps, config);
          await client.delete({ ...maps, name: config.metadata.name });
        }),
        /config\.webhook\.serving\.knative\.dev.*stable-window = 1s, must be in \[6s; 1h0m0s\] range/,
      );
    });
  });
});

/** What is said when it is refused at last. */
async function refusalOf(act: (attempt: number) => Promise<unknown>): Promise<string> {
  return await eventually(
    (attempt) =>
      act(attempt).then(
        () => "",
        (error: unknown) => String(error),
      ),
    (text) => text !== "",
  );
}

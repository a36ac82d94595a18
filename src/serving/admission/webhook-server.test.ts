import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type {
  MutatingWebhookConfiguration,
  ValidatingWebhookConfiguration,
} from "#api/generated/types/admissionregistration-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { MutatingWebhookPlugin, ValidatingWebhookPlugin } from "#apiserver/admission/webhooks.ts";
import { allowAll, startTestApiServer, trustAll } from "#apiserver/testing/test-api-server.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { ensureWebhookConfigurations } from "#knative/admission/webhook-configurations.ts";
import { startWebhookServer } from "#knative/admission/webhook-server.ts";
import { installCustomResources } from "#serving/crds/install.ts";
import { type Service, services } from "#serving/kinds.ts";
import { servingNamespace } from "#serving/names.ts";
import { servingReviewers } from "./reviewers.ts";
import { servingRules } from "./rules.ts";

const admission = { group: "admissionregistration.k8s.io", version: "v1" };
const core = { group: "", version: "v1" };

/** An API server that calls webhooks as every cluster's does, and Serving's webhook server. */
async function inCluster(body: (client: Awaited<ReturnType<typeof startTestApiServer>>["client"]) => Promise<void>) {
  const { signal } = new AbortController();
  const parts: { stop(): Promise<void> }[] = [];
  const api = await startTestApiServer({
    access: ({ client }) => {
      const informers = createInformerFactory({ client, clock: systemClock, logger: silentLogger });
      parts.push(informers);
      const namespaces = informers.informer({ resource: { ...core, resource: "namespaces" } });
      const mutating = { ...admission, resource: "mutatingwebhookconfigurations" };
      const validating = { ...admission, resource: "validatingwebhookconfigurations" };
      const plugins = [
        new MutatingWebhookPlugin({
          client,
          configurations: informers.informer<MutatingWebhookConfiguration>({ resource: mutating }),
          namespaces,
        }),
        new ValidatingWebhookPlugin({
          client,
          configurations: informers.informer<ValidatingWebhookConfiguration>({ resource: validating }),
          namespaces,
        }),
      ];
      void informers.start(signal); // its loops report for themselves
      return { authenticator: trustAll, authorizer: allowAll, admission: plugins };
    },
  });
  const { client } = api;
  const server = await startWebhookServer({
    part: "serving",
    reviewers: servingReviewers(),
    clock: systemClock,
    logger: silentLogger,
  });
  try {
    await installCustomResources(client, { clock: systemClock, signal });
    await ensureWebhookConfigurations(client, server, { part: "serving", rules: servingRules, signal });
    await body(client);
  } finally {
    await Promise.all(parts.map((part) => part.stop()));
    await api.stop();
    await server.stop();
  }
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

async function eventually<T>(act: (attempt: number) => Promise<T>, isGood: (result: T) => boolean): Promise<T> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const result = await act(attempt);
    if (isGood(result)) return result;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("the webhooks were never asked");
}

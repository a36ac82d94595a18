import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { eventually, withWebhooks } from "#knative/testing/cluster-with-webhooks.ts";
import { type Eventing, startEventing } from "./eventing.ts";
import { type Broker, brokers, type EventType, eventTypes } from "./kinds.ts";

const oldEventTypes = { ...eventTypes, version: "v1beta2" };
const services = { group: "", version: "v1", resource: "services" };

function broker(name: string, metadata: object = {}): Broker {
  return { apiVersion: "eventing.knative.dev/v1", kind: "Broker", metadata: { name, ...metadata } };
}

/** Eventing on an API server that calls webhooks, beside a part that tells of itself. */
async function inCluster(
  client: Client,
  body: (eventing: Eventing, started: readonly string[]) => Promise<void>,
): Promise<void> {
  const { signal } = new AbortController();
  const informers = createInformerFactory({ client, clock: systemClock, logger: silentLogger });
  await informers.start(signal);
  const told: string[] = [];
  const eventing = await startEventing({
    client,
    informers,
    recorderFor: () => ({ record: () => {} }),
    clock: systemClock,
    logger: silentLogger,
    signal,
    sources: { apiServerUrl: "https://10.41.0.1:443", bucketFolder: () => "/objects" },
    parts: [
      async () => {
        told.push("started");
        return { stop: async () => void told.push("stopped") };
      },
    ],
  });
  try {
    await body(eventing, told);
  } finally {
    await eventing.stop();
    await informers.stop();
  }
  if (told.length > 0) assert.deepEqual(told, ["started", "stopped"]);
}

const configMaps = { resource: { group: "", version: "v1", resource: "configmaps" }, namespace: "knative-eventing" };
const rootCa = { metadata: { name: "kube-root-ca.crt" }, data: { "ca.crt": "one" } } as KubeObject;
const rootCaOfEventing = { ...configMaps, name: "kube-root-ca.crt" };

describe("Eventing", () => {
  it("begins with the first object, and is there again after a restart", async () => {
    await withWebhooks(async (client) => {
      const at = { resource: brokers, namespace: "default" };
      await inCluster(client, async (eventing, told) => {
        assert.equal(eventing.isUsed, false);
        // Every namespace gets this one: its review is asked for as for any other, and is no use of Eventing.
        await eventually(
          () => client.create(configMaps, rootCa).catch(({ message }: Error) => message),
          (one) => typeof one !== "string" || one.includes("already exists"),
        );
        await client.patch(rootCaOfEventing, { type: "merge", body: { data: { "ca.crt": "another" } } });
        assert.equal(eventing.isUsed, false);
        const made = await eventually(
          (attempt) => client.create<Broker>(at, broker(`first-${attempt}`)).catch(() => undefined),
          (one) => one?.spec?.delivery !== undefined,
        );
        assert.equal(made?.metadata?.annotations?.["eventing.knative.dev/broker.class"], "MTChannelBasedBroker");
        assert.deepEqual(made?.spec?.delivery, { retry: 10, backoffPolicy: "exponential", backoffDelay: "PT0.2S" });

        await eventing.settled();
        assert.deepEqual(told, ["started"]);
        const { metadata } = made ?? {};
        const seen = await eventually(
          () => client.get<Broker>({ ...at, name: metadata?.name ?? "" }),
          ({ status }) => status?.address !== undefined,
        );
        assert.match(
          seen.status?.address?.url ?? "",
          /^http:\/\/broker-ingress\.knative-eventing\.svc\.cluster\.local\/default\/first-/,
        );
        await client.get<KubeObject>({ resource: services, namespace: "knative-eventing", name: "broker-ingress" });
        const reference = { apiVersion: "eventing.knative.dev/v1", kind: "Broker", name: "b", namespace: "default" };
        await client.create<KubeObject>({ resource: oldEventTypes, namespace: "default" }, {
          apiVersion: "eventing.knative.dev/v1beta2",
          kind: "EventType",
          metadata: { name: "paid" },
          spec: { type: "order.paid", source: "/payment", schema: "http://schema.example", broker: "b" },
        } as KubeObject);
        const ref = { namespace: "default", name: "paid" };
        const kept = await client.get<EventType>({ ...ref, resource: eventTypes });
        assert.deepEqual(kept.spec, {
          reference,
          attributes: [
            { name: "specversion", required: true },
            { name: "id", required: true },
            { name: "type", required: true, value: "order.paid" },
            { name: "source", required: true, value: "/payment" },
            { name: "schemadata", required: false, value: "http://schema.example" },
          ],
        });
        const old = await client.get<KubeObject & { readonly spec?: object }>({ ...ref, resource: oldEventTypes });
        assert.deepEqual(old.spec, {
          reference,
          type: "order.paid",
          source: "/payment",
          schema: "http://schema.example",
        });
        // The API server hears of each webhook by itself: that defaults are set does not mean that refusals are made.
        const refusal = await eventually(
          (attempt) =>
            client
              .create(at, { ...broker(`bad-${attempt}`), spec: { delivery: { retry: -1 } } } as Broker)
              .then(() => "taken")
              .catch(({ message }: Error) => message),
          (one) => one !== "taken",
        );
        assert.match(
          refusal,
          /admission webhook "validation\.webhook\.eventing\.knative\.dev" denied the request: validation failed: invalid value: -1: spec\.delivery\.retry/,
        );
      });
      await inCluster(client, async (eventing, told) => {
        assert.equal(eventing.isUsed, true);
        await eventing.settled();
        assert.deepEqual(told, ["started"]);
      });
    });
  });
});

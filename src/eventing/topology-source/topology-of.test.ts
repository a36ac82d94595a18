import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#component-base/logger.ts";
import type { Broker, InMemoryChannel, Subscription, Trigger } from "#eventing/kinds.ts";
import { compileTopology } from "./plain-topology.ts";
import { type EventingObjects, topologyOf } from "./topology-of.ts";

const none: EventingObjects = { brokers: [], triggers: [], channels: [], subscriptions: [] };
const creationTimestamp = "2026-01-01T00:00:10Z";

function broker(extra: object = {}, annotations: Readonly<Record<string, string>> = {}): Broker {
  const metadata = { uid: "b-uid", namespace: "shop", name: "main", annotations };
  return { apiVersion: "eventing.knative.dev/v1", kind: "Broker", metadata, ...extra };
}

function trigger(spec: Trigger["spec"], status: Trigger["status"] = { subscriberUri: "http://web" }): Trigger {
  const metadata = { uid: "t-uid", namespace: "shop", name: "t", creationTimestamp };
  return {
    apiVersion: "eventing.knative.dev/v1",
    kind: "Trigger",
    metadata,
    ...(spec && { spec }),
    ...(status && { status }),
  };
}

test("a Broker is a topic at its path, kept as its annotations say", () => {
  const plain = topologyOf({ ...none, brokers: [broker()] });
  const bounded = broker(
    {},
    { "eventing.nodeless.dev/retention-age": "PT1H", "eventing.nodeless.dev/retention-size": "10Mi" },
  );
  const other = broker({}, { "eventing.knative.dev/broker.class": "Kafka" });

  assert.deepEqual(plain.topics, [
    {
      id: "b-uid",
      kind: "Broker",
      namespace: "shop",
      name: "main",
      hosts: [],
      path: "/shop/main",
      retention: { maxAgeMs: 604_800_000, maxBytes: 2 ** 30 },
    },
  ]);
  assert.deepEqual(topologyOf({ ...none, brokers: [bounded] }).topics[0]?.retention, {
    maxAgeMs: 3_600_000,
    maxBytes: 10 * 2 ** 20,
  });
  assert.deepEqual(topologyOf({ ...none, brokers: [other] }).topics, [], "somebody else's");
});

test("a Trigger subscribes from its creation on, with its own delivery or else its Broker's", () => {
  const delivery = { retry: 10, backoffPolicy: "exponential", backoffDelay: "PT0.2S" } as const;
  const brokers = [broker({ spec: { delivery } })];
  const own = { retry: 2, backoffPolicy: "linear", timeout: "PT5S", retryAfterMax: "PT30S", format: "json" } as const;
  const status = { subscriberUri: "http://web", subscriberCACerts: "pem", deadLetterSinkUri: "http://dls" };

  const [asBroker] = topologyOf({ ...none, brokers, triggers: [trigger({ broker: "main" })] }).subscriptions;
  const [asItself] = topologyOf({
    ...none,
    brokers,
    triggers: [trigger({ broker: "main", delivery: own }, status)],
  }).subscriptions;

  assert.deepEqual(asBroker, {
    id: "t-uid",
    topic: "b-uid",
    namespace: "shop",
    name: "t",
    since: Date.parse(creationTimestamp),
    subscriber: { url: "http://web" },
    reply: "topic",
    delivery: { retries: 10, backoff: "exponential", backoffDelayMs: 200, timeoutMs: 300_000 },
  });
  assert.deepEqual(asItself?.subscriber, { url: "http://web", caCerts: "pem" });
  assert.deepEqual(asItself?.delivery, {
    retries: 2,
    backoff: "linear",
    backoffDelayMs: 200,
    timeoutMs: 5000,
    retryAfterMaxMs: 30_000,
    format: "json",
    deadLetter: { url: "http://dls" },
  });
});

test("a Trigger whose subscriber is not found, or whose filter nobody understands, is held", () => {
  const brokers = [broker()];
  const lost = trigger({ broker: "main" }, {});
  const odd = trigger({ broker: "main", filters: [{ cesql: "(((" }] });

  const topology = (one: Trigger) =>
    compileTopology(topologyOf({ ...none, brokers, triggers: [one] }), silentLogger).subscriptions[0];

  assert.equal(topology(lost)?.isHeld, true);
  assert.equal(topology(odd)?.isHeld, true);
  const fine = topology(trigger({ broker: "main", filter: { attributes: { type: "a" } } }));
  assert.equal(fine?.isHeld, undefined);
  assert.equal(fine?.filter?.({ attributes: new Map([["type", "a"]]) }), true);
  assert.equal(fine?.filter?.({ attributes: new Map([["type", "b"]]) }), false);
  assert.deepEqual(topologyOf({ ...none, triggers: [lost] }).subscriptions, [], "its Broker is not there");
});

test("a channel is a topic at its host, for those whom its controller names", () => {
  const subscriber = {
    uid: "s-uid",
    name: "s",
    subscriberUri: "http://step",
    replyUri: "http://next",
    delivery: { retry: 3, deadLetterSink: { uri: "http://dls" } },
  };
  const channel: InMemoryChannel = {
    apiVersion: "messaging.knative.dev/v1",
    kind: "InMemoryChannel",
    metadata: { uid: "c-uid", namespace: "shop", name: "pipe" },
    spec: { subscribers: [subscriber] },
    status: { address: { url: "http://pipe-kn-channel.shop.svc.cluster.local" } },
  };
  const subscription: Subscription = {
    apiVersion: "messaging.knative.dev/v1",
    kind: "Subscription",
    metadata: { uid: "s-uid", creationTimestamp, annotations: { "eventing.nodeless.dev/order-by": "subject" } },
  };

  const { topics, subscriptions } = topologyOf({ ...none, channels: [channel], subscriptions: [subscription] });

  assert.deepEqual(topics[0]?.hosts, [
    "pipe-kn-channel.shop.svc.cluster.local",
    "pipe-kn-channel.shop.svc",
    "pipe-kn-channel.shop",
  ]);
  const [one] = subscriptions;
  assert.deepEqual(one?.reply, { url: "http://next" });
  assert.equal(one?.since, Date.parse(creationTimestamp));
  assert.equal(one?.delivery.orderBy, "subject");
  assert.deepEqual(one?.delivery.deadLetter, { url: "http://dls" });
  assert.equal(one?.delivery.retries, 3);
});

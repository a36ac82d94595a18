/**
 * The control-plane scenarios of Knative Eventing's Broker and Channel conformance (`test/rekt/features/{broker,channel}/control_plane.go`, v1.22), named as there.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { findCondition } from "#knative/conditions.ts";
import {
  type Broker,
  brokers,
  type InMemoryChannel,
  inMemoryChannels,
  type Subscription,
  subscriptions,
  type Trigger,
  triggers,
} from "./kinds.ts";
import { TestEventing, type TestNamespace } from "./testing/test-eventing.ts";

const definitions = { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" };
const clusterRoles = { group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles" };

function broker(name: string, spec: object = {}): object {
  return { apiVersion: "eventing.knative.dev/v1", kind: "Broker", metadata: { name }, spec };
}

function trigger(name: string, spec: object): object {
  return { apiVersion: "eventing.knative.dev/v1", kind: "Trigger", metadata: { name }, spec };
}

function channel(name: string, spec: object = {}): object {
  return { apiVersion: "messaging.knative.dev/v1", kind: "InMemoryChannel", metadata: { name }, spec };
}

function isReady({ status }: KubeObject & { readonly status?: Broker["status"] }): boolean {
  return findCondition(status?.conditions, "Ready")?.status === "True";
}

describe("Knative Broker Specification - Control Plane", () => {
  let eventing: TestEventing;
  let space: TestNamespace;
  before(async () => {
    eventing = await TestEventing.start();
    space = await eventing.namespace("broker-conformance");
    const { ref } = await space.service("sink");
    await space.create(brokers, broker("broker", { delivery: { deadLetterSink: { ref } } }));
    await space.service("sub");
    const subscriber = { ref: { apiVersion: "v1", kind: "Service", name: "sub" } };
    await space.create(triggers, trigger("trigger", { broker: "broker", subscriber }));
  });
  after(() => eventing.stop());

  it("Broker objects SHOULD include a Ready condition in their status", async () => {
    const { status } = await space.get<Broker>(brokers, "broker");
    assert.equal(findCondition(status?.conditions, "Ready")?.status, "True", JSON.stringify(status));
  });

  it("The Broker SHOULD indicate Ready=True when its ingress is available to receive events.", async () => {
    await eventing.listen(false);
    const away = await space.get<Broker>(brokers, "broker");
    await eventing.listen(true);
    const back = await space.get<Broker>(brokers, "broker");

    assert.deepEqual(
      [findCondition(away.status?.conditions, "IngressReady"), isReady(away), isReady(back)].map((one) =>
        typeof one === "object" ? one.reason : one,
      ),
      ["EndpointSlicesUnavailable", false, true],
    );
  });

  it("While a Broker is Ready, it SHOULD be a valid Addressable and its `status.address.url` field SHOULD indicate the address of its ingress.", async () => {
    const { status } = await space.get<Broker>(brokers, "broker");
    assert.equal(
      status?.address?.url,
      "http://broker-ingress.knative-eventing.svc.cluster.local/broker-conformance/broker",
    );
  });

  it("The class of a Broker object MUST be immutable.", async () => {
    const metadata = { annotations: { "eventing.knative.dev/broker.class": "Rekt.brokerClassIsImmutable" } };
    await assert.rejects(
      space.merge(brokers, "broker", { metadata }),
      /Immutable annotations changed \(-old \+new\): annotations/,
    );
  });

  it("Set the Broker status.deadLetterSinkURI if there is a valid spec.delivery.deadLetterSink defined", async () => {
    const { status } = await space.get<Broker>(brokers, "broker");
    assert.equal(status?.deadLetterSinkUri, "http://sink.broker-conformance.svc.cluster.local");
  });

  it("Broker config MUST be immutable.", async () => {
    const config = { kind: "kind", namespace: "namespace", name: "name", apiVersion: "apiversion" };
    await assert.rejects(
      space.merge(brokers, "broker", { spec: { config } }),
      /Immutable fields changed \(-old \+new\): spec/,
    );
  });

  it("Triggers SHOULD include a Ready condition in their status.", async () => {
    assert.ok(isReady(await space.get<Trigger>(triggers, "trigger")));
  });

  it("The Trigger SHOULD indicate Ready=True when events can be delivered to its subscriber.", async () => {
    const subscriber = { ref: { apiVersion: "v1", kind: "Service", name: "later" } };
    await space.create(triggers, trigger("waiting", { broker: "broker", subscriber }));
    const waiting = await space.get<Trigger>(triggers, "waiting");
    await space.service("later");
    const ready = await space.get<Trigger>(triggers, "waiting");

    assert.deepEqual([isReady(waiting), isReady(ready)], [false, true]);
  });

  it("Triggers MUST be assigned to exactly one Broker.", async () => {
    const subscriber = { uri: "http://example.com" };
    await assert.rejects(space.create(triggers, trigger("none", { subscriber })), /missing field\(s\): spec\.broker/);
  });

  it("The assigned Broker of a Trigger SHOULD be immutable.", async () => {
    await assert.rejects(
      space.merge(triggers, "trigger", { spec: { broker: "Rekt.BrokerImmutable" } }),
      /Immutable fields changed \(-old \+new\): broker, spec/,
    );
  });

  it("While a Trigger is Ready, it SHOULD indicate its subscriber's URI via the `status.subscriberUri` field.", async () => {
    const { status } = await space.get<Trigger>(triggers, "trigger");
    assert.equal(status?.subscriberUri, "http://sub.broker-conformance.svc.cluster.local");
  });

  it("A Trigger MAY be created before its assigned Broker exists.", async () => {
    const subscriber = { uri: "http://example.com" };
    await space.create(triggers, trigger("early", { broker: "of-tomorrow", subscriber }));
    const early = await space.get<Trigger>(triggers, "early");
    await space.create(brokers, broker("of-tomorrow"));
    const found = await space.get<Trigger>(triggers, "early");

    assert.equal(findCondition(early.status?.conditions, "BrokerReady")?.reason, "BrokerDoesNotExist");
    assert.ok(isReady(found), "A Trigger SHOULD progress to Ready when its assigned Broker exists and is Ready.");
  });

  it("When the Broker goes away, its Triggers are not ready", async () => {
    await space.delete(brokers, "of-tomorrow");
    const { status } = await space.get<Trigger>(triggers, "early");
    assert.equal(findCondition(status?.conditions, "BrokerReady")?.message, 'Broker "of-tomorrow" does not exist');
  });

  it("The attributes filter specifying a list of key-value pairs MUST be supported by Trigger.", async () => {
    const attributes = { type: "com.example", source: "/mycontext", subject: "", myextension: "value" };
    await space.merge(triggers, "trigger", { spec: { filter: { attributes } } });
    const { spec } = await space.get<Trigger>(triggers, "trigger");
    assert.deepEqual(spec?.filter?.attributes, attributes);
  });

  for (const [name, why] of Object.entries({
    SOURCE: "not lower case letters, all",
    Source: "not lower case letters, first",
    souRce: "not lower case letters, not first",
    "s pace s": "no spaces",
    s_pace_s: "no underscores",
    "s-pace-s": "no dashes",
    "123": "just numbers",
    "😊": "unicode not supported",
    "!@#$%^&*()-_=_`~+\\": "other non-(a-z,0-9) type chars, top row",
    "{}[];':\"<>,./?": "other non-(a-z,0-9) type chars, brackets",
  })) {
    it(`Reject invalid filter - ${name} - ${why}`, async () => {
      await assert.rejects(
        space.merge(triggers, "trigger", { spec: { filter: { attributes: { [name]: why } } } }),
        /Attribute name must start with a letter and can only contain lowercase alphanumeric/,
      );
    });
  }
});

describe("Knative Channel Specification - Control Plane", () => {
  let eventing: TestEventing;
  let space: TestNamespace;
  before(async () => {
    eventing = await TestEventing.start();
    space = await eventing.namespace("channel-conformance");
    const { ref } = await space.service("sink");
    await space.create(inMemoryChannels, channel("channel", { delivery: { deadLetterSink: { ref } } }));
    await space.create(subscriptions, {
      apiVersion: "messaging.knative.dev/v1",
      kind: "Subscription",
      metadata: { name: "subscription" },
      spec: {
        channel: { apiVersion: "messaging.knative.dev/v1", kind: "InMemoryChannel", name: "channel" },
        subscriber: { uri: "http://example.com/subscriber" },
      },
    });
  });
  after(() => eventing.stop());

  const rulesOf = async (label: string) => {
    const { items } = await eventing.client.list<
      KubeObject & { rules?: readonly { resources: readonly string[]; verbs: readonly string[] }[] }
    >({ resource: clusterRoles }, { labelSelector: `${label}=true` });
    return items
      .flatMap(({ rules = [] }) => rules)
      .filter(
        ({ resources }) => resources.includes("inmemorychannels") && resources.includes("inmemorychannels/status"),
      )
      .flatMap(({ verbs }) => verbs)
      .toSorted();
  };

  it("Every CRD MUST create a corresponding ClusterRole, that will be aggregated into the channelable-manipulator ClusterRole.", async () => {
    const verbs = await rulesOf("duck.knative.dev/channelable");
    assert.deepEqual(verbs, ["create", "delete", "get", "list", "patch", "update", "watch"]);
  });

  it("Every CRD MUST create a corresponding ClusterRole, that will be aggregated into the addressable-resolver ClusterRole.", async () => {
    assert.deepEqual(await rulesOf("duck.knative.dev/addressable"), ["get", "list", "watch"]);
  });

  it("Each channel is namespaced, labelled messaging.knative.dev/subscribable and duck.knative.dev/addressable, and of category `channel`", async () => {
    type Definition = KubeObject & {
      readonly spec: { readonly scope: string; readonly names: { readonly categories: readonly string[] } };
    };
    const name = "inmemorychannels.messaging.knative.dev";
    const { spec, metadata } = await eventing.client.get<Definition>({ resource: definitions, name });
    assert.equal(spec.scope, "Namespaced");
    assert.equal(metadata?.labels?.["messaging.knative.dev/subscribable"], "true");
    assert.equal(metadata?.labels?.["duck.knative.dev/addressable"], "true");
    assert.ok(spec.names.categories.includes("channel"));
  });

  it("each instance SHOULD have annotation: messaging.knative.dev/subscribable: v1", async () => {
    const { metadata } = await space.get(inMemoryChannels, "channel");
    assert.equal(metadata?.annotations?.["messaging.knative.dev/subscribable"], "v1");
  });

  it("Each channel CRD MUST contain an array of subscribers; the ready field of the subscriber identified by its uid MUST be set to True when the subscription is ready to be processed.", async () => {
    const { spec, status } = await space.get<InMemoryChannel>(inMemoryChannels, "channel");
    const { metadata } = await space.get(subscriptions, "subscription");
    assert.deepEqual(
      spec?.subscribers?.map(({ uid, subscriberUri }) => [uid, subscriberUri]),
      [[metadata?.uid, "http://example.com/subscriber"]],
    );
    assert.deepEqual(status?.subscribers, [{ uid: metadata?.uid, observedGeneration: 1, ready: "True" }]);
    assert.ok(isReady(await space.get<Subscription>(subscriptions, "subscription")));
  });

  it("observedGeneration MUST be populated if present, and conditions are an array", async () => {
    const { metadata, status } = await space.get<InMemoryChannel>(inMemoryChannels, "channel");
    assert.equal(status?.observedGeneration, metadata?.generation);
    assert.ok(Array.isArray(status?.conditions));
  });

  it("When the channel instance is ready to receive events status.address.url MUST be populated.", async () => {
    const found = await space.get<InMemoryChannel>(inMemoryChannels, "channel");
    assert.ok(isReady(found), JSON.stringify(found.status));
    assert.equal(found.status?.address?.url, "http://channel-kn-channel.channel-conformance.svc.cluster.local");
  });

  it("Set the Channel status.deadLetterSinkURI if there is a valid spec.delivery.deadLetterSink defined", async () => {
    const { status } = await space.get<InMemoryChannel>(inMemoryChannels, "channel");
    assert.equal(status?.deadLetterSinkUri, "http://sink.channel-conformance.svc.cluster.local");
  });

  it("The array of subscribers MUST NOT be set by anybody but the control plane", async () => {
    await assert.rejects(
      space.mergeAsSomebody(inMemoryChannels, "channel", { spec: { subscribers: [] } }),
      /Channel\.Spec\.Subscribers changed by user jane/,
    );
  });
});

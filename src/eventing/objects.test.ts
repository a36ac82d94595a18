/**
 * What Eventing's objects come to beyond upstream's conformance: references of all kinds, flows, defaults, injection, policies.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { findCondition } from "#knative/conditions.ts";
import type { Conditioned } from "#knative/duck.ts";
import {
  type Broker,
  brokers,
  type Channel,
  channels,
  eventPolicies,
  type EventType,
  eventTypes,
  type InMemoryChannel,
  inMemoryChannels,
  type Parallel,
  parallels,
  type Sequence,
  sequences,
  type Subscription,
  subscriptions,
  type Trigger,
  triggers,
} from "./kinds.ts";
import { services, TestEventing, type TestNamespace } from "./testing/test-eventing.ts";

const eventing = "eventing.knative.dev/v1";
const messaging = "messaging.knative.dev/v1";
const flows = "flows.knative.dev/v1";
const definitions = { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" };

function object(apiVersion: string, kind: string, name: string, spec?: object, metadata: object = {}): object {
  return { apiVersion, kind, metadata: { name, ...metadata }, ...(spec === undefined ? {} : { spec }) };
}

function condition({ status }: Conditioned, type: string): string {
  const found = findCondition(status?.conditions, type);
  return found === undefined ? "absent" : [found.status, found.reason].filter(Boolean).join(" ");
}

describe("Eventing's objects", () => {
  let house: TestEventing;
  let count = 0;
  before(async () => {
    house = await TestEventing.start();
  });
  after(() => house.stop());

  const space = async (labels?: Readonly<Record<string, string>>): Promise<TestNamespace> =>
    await house.namespace(`space-${count++}`, labels);
  const readyBroker = async (within: TestNamespace, spec: object = {}): Promise<void> => {
    await within.create(brokers, object(eventing, "Broker", "default", spec));
  };

  describe("Triggers", () => {
    it("find their subscriber by whatever has an address, and follow it", async () => {
      const within = await space();
      await readyBroker(within);
      await within.create(brokers, object(eventing, "Broker", "other"));
      await within.create(channels, object(messaging, "Channel", "channel"));
      const uriOf = async (subscriber: object) => {
        const name = `t-${count++}`;
        await within.create(triggers, object(eventing, "Trigger", name, { broker: "default", subscriber }));
        return (await within.get<Trigger>(triggers, name)).status?.subscriberUri;
      };

      assert.equal(
        await uriOf({ ref: { apiVersion: eventing, kind: "Broker", name: "other" } }),
        `http://broker-ingress.knative-eventing.svc.cluster.local/${within.name}/other`,
      );
      assert.equal(
        await uriOf({ ref: { apiVersion: messaging, kind: "Channel", name: "channel" } }),
        `http://channel-kn-channel.${within.name}.svc.cluster.local`,
      );
      assert.equal(await uriOf({ uri: "https://example.com/path?a=b" }), "https://example.com/path?a=b");
      const { ref } = await within.service("svc");
      assert.equal(await uriOf({ ref, uri: "/path" }), `http://svc.${within.name}.svc.cluster.local/path`);
    });

    it("say when a subscriber is gone, and when it has come back", async () => {
      const within = await space();
      await readyBroker(within);
      const { ref } = await within.service("svc");
      await within.create(triggers, object(eventing, "Trigger", "t", { broker: "default", subscriber: { ref } }));
      await within.delete(services, "svc");
      const gone = await within.get<Trigger>(triggers, "t");
      await within.service("svc");

      assert.equal(condition(gone, "SubscriberResolved"), "False Unable to get the Subscriber's URI");
      assert.equal(
        findCondition(gone.status?.conditions, "SubscriberResolved")?.message,
        `failed to get object ${within.name}/svc: services "svc" not found`,
      );
      assert.equal(gone.status?.subscriberUri, undefined);
      assert.equal(condition(await within.get<Trigger>(triggers, "t"), "Ready"), "True");
    });

    it("follow references to kinds that come later", async () => {
      const within = await space();
      await readyBroker(within);
      const ref = { apiVersion: "example.dev/v1", kind: "Gadget", name: "g" };
      await within.create(triggers, object(eventing, "Trigger", "t", { broker: "default", subscriber: { ref } }));
      const unknown = await within.get<Trigger>(triggers, "t");
      const gadgets = { group: "example.dev", version: "v1", resource: "gadgets" };
      await house.client.create({ resource: definitions }, gadgetDefinition());
      await within.create(gadgets, object("example.dev/v1", "Gadget", "g"));
      await house.settle();
      const withoutAddress = await within.get<Trigger>(triggers, "t");
      await within.merge(gadgets, "g", { status: { address: { url: "http://gadget.example" } } });

      assert.match(
        findCondition(unknown.status?.conditions, "SubscriberResolved")?.message ?? "",
        /no matches for kind "Gadget" in version "example.dev\/v1"/,
      );
      assert.match(
        findCondition(withoutAddress.status?.conditions, "SubscriberResolved")?.message ?? "",
        /^address not set for Kind = Gadget/,
      );
      assert.equal((await within.get<Trigger>(triggers, "t")).status?.subscriberUri, "http://gadget.example");
    });

    it("may refer by group alone where that is allowed", async () => {
      const within = await space();
      await readyBroker(within);
      await within.create(channels, object(messaging, "Channel", "c"));
      const subscriber = { ref: { group: "messaging.knative.dev", kind: "Channel", name: "c" } };
      const trigger = object(eventing, "Trigger", "t", { broker: "default", subscriber });
      await assert.rejects(
        within.create(triggers, trigger),
        /missing field\(s\): spec\.subscriber\.ref\.apiVersion\s+must not set the field\(s\): spec\.subscriber\.ref\.group/,
      );
      await house.configure("config-features", { "kreference-group": "enabled" });
      await within.create(triggers, trigger);
      const channel = { group: "messaging.knative.dev", kind: "Channel", name: "c" };
      const spec = { channel, subscriber: { uri: "http://example.com" } };
      await within.create(subscriptions, object(messaging, "Subscription", "s", spec));
      await house.configure("config-features", {});

      const { status } = await within.get<Trigger>(triggers, "t");
      assert.equal(status?.subscriberUri, `http://c-kn-channel.${within.name}.svc.cluster.local`);
      assert.equal(condition(await within.get<Subscription>(subscriptions, "s"), "Ready"), "True");
    });

    it("use their own dead-letter sink before their Broker's", async () => {
      const within = await space();
      await readyBroker(within, { delivery: { deadLetterSink: { uri: "http://brokers.example" } } });
      const spec = { broker: "default", subscriber: { uri: "http://example.com" } };
      const delivery = { deadLetterSink: { uri: "http://own.example" } };
      await within.create(triggers, object(eventing, "Trigger", "of-broker", spec));
      await within.create(triggers, object(eventing, "Trigger", "own", { ...spec, delivery }));

      const uris = (await within.list<Trigger>(triggers)).map(({ status }) => status?.deadLetterSinkUri);
      assert.deepEqual(uris, ["http://brokers.example", "http://own.example"]);
    });

    it("wait for what they depend on", async () => {
      const within = await space();
      await readyBroker(within);
      const dependency = JSON.stringify({ apiVersion: eventing, kind: "Broker", name: "needed" });
      await within.create(
        triggers,
        object(
          eventing,
          "Trigger",
          "t",
          { broker: "default", subscriber: { uri: "http://example.com" } },
          { annotations: { "knative.dev/dependency": dependency } },
        ),
      );
      const waiting = await within.get<Trigger>(triggers, "t");
      await within.create(brokers, object(eventing, "Broker", "needed"));

      assert.equal(condition(waiting, "DependencyReady"), "False DependencyDoesNotExist");
      assert.equal(condition(await within.get<Trigger>(triggers, "t"), "Ready"), "True");
    });

    it("of Brokers of another class are left alone", async () => {
      const within = await space();
      const annotations = { "eventing.knative.dev/broker.class": "Kafka" };
      await within.create(brokers, object(eventing, "Broker", "kafka", {}, { annotations }));
      const spec = { broker: "kafka", subscriber: { uri: "http://example.com" } };
      await within.create(triggers, object(eventing, "Trigger", "t", spec));

      assert.equal((await within.get<Broker>(brokers, "kafka")).status, undefined);
      assert.equal((await within.get<Trigger>(triggers, "t")).status, undefined);
    });

    it("are refused with upstream's words", async () => {
      const within = await space();
      const subscriber = { uri: "http://example.com" };
      const refused = async (spec: object, pattern: RegExp, annotations: object = {}) =>
        await assert.rejects(
          within.create(
            triggers,
            object(eventing, "Trigger", "bad", { broker: "b", subscriber, ...spec }, { annotations }),
          ),
          pattern,
        );

      await refused(
        { subscriber: {} },
        /expected at least one, got none: spec\.subscriber\.ref, spec\.subscriber\.uri/,
      );
      await refused(
        { subscriber: { uri: "/path" } },
        /Relative URI is not allowed when Ref and \[apiVersion, kind, name\] is absent: spec\.subscriber\.uri/,
      );
      await refused(
        { subscriber: { ref: { kind: "Service" } } },
        /missing field\(s\): spec\.subscriber\.ref\.apiVersion, spec\.subscriber\.ref\.name/,
      );
      await refused({ filters: [{ cesql: "type =" }] }, /invalid value: type =: spec\.filters\[0\]\.cesql/);
      await refused(
        { filters: [{ exact: { type: "a" }, prefix: { type: "b" } }] },
        /multiple dialects found, filters can have only one dialect set: spec\.filters\[0\]/,
      );
      await refused({ delivery: { timeout: "10s" } }, /invalid value: 10s: spec\.delivery\.timeout/);
      await refused(
        { delivery: { backoffPolicy: "quadratic" } },
        /invalid value: quadratic: spec\.delivery\.backoffPolicy/,
      );
      await refused(
        { delivery: { retryAfterMax: "PT1S" } },
        /must not set the field\(s\): spec\.delivery\.retryAfterMax/,
      );
      await refused(
        {},
        /The provided injection annotation is only used for default broker, but non-default broker specified here: "b": metadata\.annotations\[eventing\.knative\.dev\/injection\]/,
        {
          "eventing.knative.dev/injection": "enabled",
        },
      );
      await refused({}, /The provided annotation was not a corev1\.ObjectReference: "nonsense"/, {
        "knative.dev/dependency": "nonsense",
      });
    });
  });

  describe("Channels and Subscriptions", () => {
    it("make a channel of the kind that is configured, and pass its status on", async () => {
      const within = await space();
      await within.create(channels, object(messaging, "Channel", "c"));
      const made = await within.get<Channel>(channels, "c");

      assert.deepEqual(made.spec?.channelTemplate, { apiVersion: messaging, kind: "InMemoryChannel" });
      assert.equal(condition(made, "Ready"), "True");
      assert.equal(made.status?.address?.url, `http://c-kn-channel.${within.name}.svc.cluster.local`);
      const service = await within.get<KubeObject & { spec?: object }>(services, "c-kn-channel");
      assert.deepEqual(
        [(service.spec as { externalName?: string }).externalName, service.metadata?.ownerReferences?.[0]?.kind],
        ["broker-ingress.knative-eventing.svc.cluster.local", "InMemoryChannel"],
      );
    });

    it("have as many subscribers as Subscriptions, however they come and go", async () => {
      const within = await space();
      await within.create(channels, object(messaging, "Channel", "c"));
      const channel = { apiVersion: messaging, kind: "Channel", name: "c" };
      const delivery = { retry: 3, deadLetterSink: { uri: "http://dead.example" } };
      await Promise.all(
        ["a", "b", "c"].map((name) =>
          within.create(
            subscriptions,
            object(messaging, "Subscription", name, {
              channel,
              subscriber: { uri: `http://${name}.example` },
              reply: { ref: { apiVersion: messaging, kind: "Channel", name: "c" } },
              delivery,
            }),
          ),
        ),
      );
      const all = await within.get<InMemoryChannel>(inMemoryChannels, "c");
      await within.delete(subscriptions, "b");
      await within.merge(subscriptions, "a", { spec: { subscriber: { uri: "http://changed.example" } } });
      const left = await within.get<InMemoryChannel>(inMemoryChannels, "c");

      assert.deepEqual(all.spec?.subscribers?.map(({ name }) => name).toSorted(), ["a", "b", "c"]);
      assert.deepEqual(all.spec?.subscribers?.[0]?.delivery, delivery);
      assert.equal(all.spec?.subscribers?.[0]?.replyUri, `http://c-kn-channel.${within.name}.svc.cluster.local`);
      const uris = left.spec?.subscribers?.map(({ name, subscriberUri }) => `${name} ${subscriberUri}`);
      assert.deepEqual(uris?.toSorted(), ["a http://changed.example", "c http://c.example"]);
      for (const name of ["a", "c"])
        assert.equal(condition(await within.get<Subscription>(subscriptions, name), "Ready"), "True");
    });

    it("keep a subscriber whose address is lost for now: its events wait", async () => {
      const within = await space();
      await within.create(inMemoryChannels, object(messaging, "InMemoryChannel", "c"));
      const { ref } = await within.service("svc");
      const channel = { apiVersion: messaging, kind: "InMemoryChannel", name: "c" };
      await within.create(subscriptions, object(messaging, "Subscription", "s", { channel, subscriber: { ref } }));
      await within.delete(services, "svc");

      const lost = await within.get<Subscription>(subscriptions, "s");
      assert.equal(condition(lost, "ReferencesResolved"), "False SubscriberResolveFailed");
      const { spec } = await within.get<InMemoryChannel>(inMemoryChannels, "c");
      assert.equal(spec?.subscribers?.[0]?.subscriberUri, `http://svc.${within.name}.svc.cluster.local`);
    });

    it("wait for their channel", async () => {
      const within = await space();
      const channel = { apiVersion: messaging, kind: "Channel", name: "later" };
      const spec = { channel, subscriber: { uri: "http://example.com" } };
      await within.create(subscriptions, object(messaging, "Subscription", "s", spec));
      const waiting = await within.get<Subscription>(subscriptions, "s");
      await within.create(channels, object(messaging, "Channel", "later"));

      assert.equal(condition(waiting, "ReferencesResolved"), "Unknown ChannelReferenceFailed");
      assert.equal(condition(await within.get<Subscription>(subscriptions, "s"), "Ready"), "True");
    });

    it("refuse what may not change, in upstream's words", async () => {
      const within = await space();
      await within.create(channels, object(messaging, "Channel", "c"));
      const channel = { apiVersion: messaging, kind: "Channel", name: "c" };
      const spec = { channel, subscriber: { uri: "http://example.com" } };
      await within.create(subscriptions, object(messaging, "Subscription", "s", spec));

      await assert.rejects(
        within.merge(subscriptions, "s", { spec: { channel: { name: "other" } } }),
        /Immutable fields changed \(-old \+new\): spec\s+channel\.name:\s+-: "c"\s+\+: "other"/,
      );
      await assert.rejects(
        within.merge(channels, "c", { spec: { channelTemplate: { kind: "Other" } } }),
        /Immutable fields changed \(-old \+new\): spec/,
      );
      await assert.rejects(
        within.create(subscriptions, object(messaging, "Subscription", "t", { channel })),
        /missing field\(s\): spec\.subscriber\s+the Subscription must reference a subscriber/,
      );
      await assert.rejects(
        within.create(
          subscriptions,
          object(messaging, "Subscription", "t", { ...spec, channel: { ...channel, namespace: "x" } }),
        ),
        /must not set the field\(s\): spec\.channel\.namespace\s+only name, apiVersion and kind are supported/,
      );
    });
  });

  describe("Flows", () => {
    it("a Sequence has each step reply into the next", async () => {
      const within = await space();
      const steps = ["http://one.example", "http://two.example", "http://three.example"].map((uri) => ({ uri }));
      await within.create(sequences, object(flows, "Sequence", "seq", { steps, reply: { uri: "http://end.example" } }));
      const made = await within.get<Sequence>(sequences, "seq");
      const found = await within.list<Subscription>(subscriptions);

      assert.equal(condition(made, "Ready"), "True", JSON.stringify(made.status));
      assert.equal(made.status?.address?.url, `http://seq-kn-sequence-0-kn-channel.${within.name}.svc.cluster.local`);
      assert.deepEqual(
        found.map(({ status }) => [
          status?.physicalSubscription?.subscriberUri,
          status?.physicalSubscription?.replyUri,
        ]),
        [
          ["http://one.example", `http://seq-kn-sequence-1-kn-channel.${within.name}.svc.cluster.local`],
          ["http://two.example", `http://seq-kn-sequence-2-kn-channel.${within.name}.svc.cluster.local`],
          ["http://three.example", "http://end.example"],
        ],
      );
    });

    it("a Sequence that gets shorter lets go of what it had", async () => {
      const within = await space();
      const steps = ["http://one.example", "http://two.example"].map((uri) => ({ uri }));
      await within.create(sequences, object(flows, "Sequence", "seq", { steps }));
      await within.merge(sequences, "seq", { spec: { steps: steps.slice(0, 1) } });

      assert.deepEqual(
        (await within.list(subscriptions)).map(({ metadata }) => metadata?.name),
        ["seq-kn-sequence-0"],
      );
      assert.deepEqual(
        (await within.list(inMemoryChannels)).map(({ metadata }) => metadata?.name),
        ["seq-kn-sequence-0"],
      );
      const [first] = await within.list<Subscription>(subscriptions);
      assert.equal(first?.spec?.reply, undefined);
      assert.equal(condition(await within.get<Sequence>(sequences, "seq"), "Ready"), "True");
    });

    it("a Parallel leads every event through each branch's filter", async () => {
      const within = await space();
      const branches = [
        { filter: { uri: "http://filter.example" }, subscriber: { uri: "http://a.example" } },
        { subscriber: { uri: "http://b.example" }, reply: { uri: "http://b-reply.example" } },
      ];
      await within.create(
        parallels,
        object(flows, "Parallel", "par", { branches, reply: { uri: "http://all.example" } }),
      );
      const made = await within.get<Parallel>(parallels, "par");
      const host = (name: string) => `http://${name}-kn-channel.${within.name}.svc.cluster.local`;

      assert.equal(condition(made, "Ready"), "True", JSON.stringify(made.status));
      assert.equal(made.status?.address?.url, host("par-kn-parallel"));
      const found = await within.list<Subscription>(subscriptions);
      assert.deepEqual(
        Object.fromEntries(
          found.map(({ metadata, status }) => [
            metadata?.name,
            [status?.physicalSubscription?.subscriberUri, status?.physicalSubscription?.replyUri],
          ]),
        ),
        {
          "par-kn-parallel-filter-0": ["http://filter.example", host("par-kn-parallel-0")],
          "par-kn-parallel-0": ["http://a.example", "http://all.example"],
          "par-kn-parallel-filter-1": [host("par-kn-parallel-1"), undefined],
          "par-kn-parallel-1": ["http://b.example", "http://b-reply.example"],
        },
      );
    });

    it("without steps or branches are refused", async () => {
      const within = await space();
      await assert.rejects(
        within.create(sequences, object(flows, "Sequence", "s", {})),
        /missing field\(s\): spec\.steps/,
      );
      await assert.rejects(
        within.create(parallels, object(flows, "Parallel", "p", {})),
        /missing field\(s\): spec\.branches/,
      );
      await assert.rejects(
        within.create(sequences, object(flows, "Sequence", "s", { steps: [{}] })),
        /invalid value: \{\}: spec\.steps\[0\]/,
      );
    });
  });

  describe("Brokers", () => {
    it("are made for a Trigger and a namespace that ask for one", async () => {
      const within = await space();
      const annotations = { "eventing.knative.dev/injection": "enabled" };
      const spec = { broker: "default", subscriber: { uri: "http://example.com" } };
      await within.create(triggers, object(eventing, "Trigger", "t", spec, { annotations }));
      const labelled = await space({ "eventing.knative.dev/injection": "enabled" });

      assert.equal(condition(await within.get<Trigger>(triggers, "t"), "Ready"), "True");
      const broker = await labelled.get<Broker>(brokers, "default");
      assert.equal(broker.metadata?.labels?.["eventing.knative.dev/injected"], "true");
      await labelled.delete(brokers, "default");
      assert.equal(condition(await labelled.get<Broker>(brokers, "default"), "Ready"), "True");
    });

    it("take configuration and delivery from config-br-defaults", async () => {
      const within = await space();
      await house.configure("config-br-defaults", {
        "default-br-config": [
          "clusterDefault:",
          "  brokerClass: MTChannelBasedBroker",
          "  apiVersion: v1",
          "  kind: ConfigMap",
          "  name: config-br-default-channel",
          "  namespace: knative-eventing",
          "namespaceDefaults:",
          `  ${within.name}:`,
          "    brokerClass: MTChannelBasedBroker",
          "    apiVersion: v1",
          "    kind: ConfigMap",
          "    name: own",
          `    namespace: ${within.name}`,
          "    delivery:",
          "      retry: 7",
        ].join("\n"),
      });
      await readyBroker(within);
      const { spec, status } = await within.get<Broker>(brokers, "default");

      assert.deepEqual(spec?.config, { apiVersion: "v1", kind: "ConfigMap", name: "own", namespace: within.name });
      assert.deepEqual(spec?.delivery, { retry: 7 });
      assert.equal(condition({ status } as Conditioned, "TriggerChannelReady"), "False ChannelTemplateFailed");
    });

    it("say it when they are configured by something that is no ConfigMap", async () => {
      const within = await space();
      const config = { apiVersion: "v1", kind: "Secret", name: "s", namespace: within.name };
      await readyBroker(within, { config });
      const { status } = await within.get<Broker>(brokers, "default");
      assert.equal(
        findCondition(status?.conditions, "TriggerChannelReady")?.message,
        "Error on setting up the ChannelTemplate: Broker.Spec.Config configuration not supported, only [kind: ConfigMap, apiVersion: v1]",
      );
    });
  });

  describe("EventTypes and EventPolicies", () => {
    it("an EventType says whether what it refers to is there", async () => {
      const within = await space();
      const attributes = ["type", "source", "specversion", "id"].map((name) => ({ name, required: true }));
      const reference = { apiVersion: eventing, kind: "Broker", name: "default" };
      const version = "eventing.knative.dev/v1beta3";
      await within.create(eventTypes, object(version, "EventType", "et", { attributes, reference }));
      const before = await within.get<EventType>(eventTypes, "et");
      await readyBroker(within);

      assert.equal(condition(before, "ReferenceExists"), "False ResourceDoesNotExist");
      assert.equal(condition(await within.get<EventType>(eventTypes, "et"), "Ready"), "True");
      await assert.rejects(
        within.create(eventTypes, object(version, "EventType", "bad", { attributes: attributes.slice(1) })),
        /missing field\(s\): spec\.attributes\.type/,
      );
    });

    it("an EventPolicy holds for the objects it means, once identities are known", async () => {
      const within = await space();
      await readyBroker(within);
      const to = [{ ref: { apiVersion: eventing, kind: "Broker", name: "default" } }];
      const policy = object("eventing.knative.dev/v1alpha1", "EventPolicy", "policy", {
        to,
        from: [{ sub: "system:serviceaccount:a:*" }],
      });
      await assert.rejects(within.create(eventPolicies, policy), /oidc-authentication feature not enabled/);
      await house.configure("config-features", { "authentication-oidc": "enabled" });
      const without = await within.get<Broker>(brokers, "default");
      await within.create(eventPolicies, policy);
      const { status } = await within.get<Broker>(brokers, "default");
      await house.configure("config-features", { "authentication-oidc": "disabled" });

      assert.equal(condition(without, "EventPoliciesReady"), "True DefaultAuthorizationMode");
      assert.deepEqual(status?.policies, [{ name: "policy", apiVersion: "eventing.knative.dev/v1alpha1" }]);
      const off = await within.get<Broker>(brokers, "default");
      assert.equal(condition(off, "EventPoliciesReady"), "False EventPoliciesNotReady");
    });
  });

  it("what holds for a Channel or a flow holds for the channel that is the way into it", async () => {
    const within = await space();
    await within.create(channels, object(messaging, "Channel", "c"));
    await within.create(
      sequences,
      object(flows, "Sequence", "s", { steps: [{ uri: "http://a" }, { uri: "http://b" }] }),
    );
    await house.configure("config-features", { "authentication-oidc": "enabled" });
    for (const [apiVersion, kind, name] of [
      [messaging, "Channel", "c"],
      [flows, "Sequence", "s"],
    ] as const) {
      const spec = { to: [{ ref: { apiVersion, kind, name } }], from: [{ sub: "jane" }] };
      await within.create(eventPolicies, object("eventing.knative.dev/v1alpha1", "EventPolicy", `of-${name}`, spec));
    }
    const policiesOf = async (name: string) =>
      (await within.get<InMemoryChannel>(inMemoryChannels, name)).status?.policies?.map((one) => one.name);
    const found = await Promise.all(["c", "s-kn-sequence-0", "s-kn-sequence-1"].map(policiesOf));
    const channel = await within.get<Channel>(channels, "c");
    await house.configure("config-features", {});

    assert.deepEqual(found, [["of-c"], ["of-s"], ["s-s-kn-sequence-1"]]);
    assert.equal(channel.status?.policies?.[0]?.name, "of-c");
  });

  it("ConfigMaps that make no sense are refused", async () => {
    await assert.rejects(
      house.configure("config-br-defaults", { "default-br-config": "[1" }),
      /Failed to parse the entry/,
    );
    await assert.rejects(
      house.configure("default-ch-webhook", {}),
      /ConfigMap is missing \(or empty\) key: "default-ch-config"/,
    );
  });
});

function gadgetDefinition(): KubeObject {
  const keep = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: keep } };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "gadgets.example.dev" },
    spec: {
      group: "example.dev",
      names: { kind: "Gadget", plural: "gadgets", singular: "gadget" },
      scope: "Namespaced",
      versions: [version],
    },
  } as KubeObject;
}

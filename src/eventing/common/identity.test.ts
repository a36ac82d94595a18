import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import {
  type Broker,
  brokers,
  eventPolicies,
  type EventPolicy,
  type InMemoryChannel,
  inMemoryChannels,
  type Sequence,
  sequences,
  type Subscription,
  subscriptions,
  type Trigger,
  triggers,
} from "#eventing/kinds.ts";
import { type ObjectSource, objectSources, type PingSource, pingSources } from "#eventing/sources/kinds.ts";
import { TestEventing, type TestNamespace } from "#eventing/testing/test-eventing.ts";
import { topologyOf } from "#eventing/topology-source/topology-of.ts";
import { findCondition } from "#knative/conditions.ts";

const serviceAccounts = { group: "", version: "v1", resource: "serviceaccounts" };

describe("Identities of what sends events", () => {
  let eventing: TestEventing;
  let space: TestNamespace;
  before(async () => {
    eventing = await TestEventing.start();
    space = await eventing.namespace("senders");
    const make = async (resource: Parameters<TestNamespace["create"]>[0], kind: string, name: string, spec: object) => {
      const apiVersion = `${resource.group}/${resource.version}`;
      await space.create(resource, { apiVersion, kind, metadata: { name }, spec });
    };
    const broker = { ref: { apiVersion: "eventing.knative.dev/v1", kind: "Broker", name: "main" } };
    await make(brokers, "Broker", "main", {});
    await make(triggers, "Trigger", "orders", { broker: "main", subscriber: broker });
    await make(pingSources, "PingSource", "minutely", { sink: broker });
    await make(objectSources, "ObjectSource", "uploads", { bucket: "uploads", sink: broker });
    await make(sequences, "Sequence", "steps", { steps: [{ uri: "http://a" }, { uri: "http://b" }], reply: broker });
  });
  after(() => eventing.stop());

  async function topology() {
    return topologyOf({
      brokers: await space.list<Broker>(brokers),
      triggers: await space.list<Trigger>(triggers),
      channels: await space.list<InMemoryChannel>(inMemoryChannels),
      subscriptions: await space.list<Subscription>(subscriptions),
    });
  }
  const accounts = async () =>
    (await space.list<KubeObject>(serviceAccounts)).map(({ metadata }) => metadata?.name ?? "").toSorted();
  const all = [
    "minutely-oidc-sources.knative.dev-pingsource",
    "orders-oidc-eventing.knative.dev-trigger",
    "steps-kn-sequence-0-oidc-messaging.knative.dev-subscription",
    "steps-kn-sequence-1-oidc-messaging.knative.dev-subscription",
    "uploads-oidc-nodeless.dev-objectsource",
  ];

  it("are none while nobody asks for them", async () => {
    const trigger = await space.get<Trigger>(triggers, "orders");

    assert.deepEqual(await accounts(), []);
    assert.equal(trigger.status?.auth, undefined);
    const condition = findCondition(trigger.status?.conditions, "OIDCIdentityCreated");
    assert.deepEqual([condition?.status, condition?.reason], ["True", "authentication-oidc feature disabled"]);
    assert(!JSON.stringify(await topology()).includes("identity"));
  });

  it("are service accounts of their own, whose tokens go where an audience is known", async () => {
    await eventing.configure("config-features", { "authentication-oidc": "enabled" });

    assert.deepEqual(await accounts(), all);
    const account = await space.get<KubeObject>(serviceAccounts, all[1] ?? "");
    assert.equal(account.metadata?.labels?.["eventing.knative.dev/oidc"], "enabled");
    assert.equal(
      account.metadata?.annotations?.["description"],
      'Service Account for OIDC Authentication for Trigger "orders"',
    );
    assert.equal(account.metadata?.ownerReferences?.[0]?.kind, "Trigger");
    for (const [resource, name, index] of [
      [pingSources, "minutely", 0],
      [triggers, "orders", 1],
      [objectSources, "uploads", 4],
    ] as const) {
      const { status } = await space.get<PingSource | Trigger | ObjectSource>(resource, name);
      assert.equal(status?.auth?.serviceAccountName, all[index], name);
      assert.equal(findCondition(status?.conditions, "Ready")?.status, "True", JSON.stringify(status));
    }
    const found = (await topology()).subscriptions;
    const trigger = found.find(({ name }) => name === "orders");
    assert.deepEqual(trigger?.subscriber, {
      url: "http://broker-ingress.knative-eventing.svc.cluster.local/senders/main",
      audience: "eventing.knative.dev/broker/senders/main",
      identity: { namespace: "senders", name: all[1] },
    });
    const first = found.find(({ name }) => name === "steps-kn-sequence-0");
    assert.deepEqual(first?.subscriber, { url: "http://a" }, "who asks for none gets none");
    assert.deepEqual(typeof first?.reply === "object" ? first.reply.identity : first?.reply, {
      namespace: "senders",
      name: all[2],
    });
  });

  it("let the steps of a flow into the next channel, and nobody else", async () => {
    const { status } = await space.get<Sequence>(sequences, "steps");
    assert.deepEqual(status?.auth?.serviceAccountNames, [all[2], all[3]]);

    const policies = await space.list<EventPolicy>(eventPolicies);

    assert.deepEqual(
      policies.map(({ metadata, status: found }) => [metadata?.name, found?.from]),
      [["steps-steps-kn-sequence-1", [`system:serviceaccount:senders:${all[2]}`]]],
    );
    const channel = await space.get<InMemoryChannel>(inMemoryChannels, "steps-kn-sequence-1");
    assert.equal(channel.status?.policies?.[0]?.name, "steps-steps-kn-sequence-1");
  });

  it("are not taken from those who have the name already", async () => {
    const name = "taken-oidc-eventing.knative.dev-trigger";
    await space.create(serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
    const metadata = { name: "taken" };
    const spec = { broker: "main", subscriber: { uri: "http://a" } };
    await space.create(triggers, { apiVersion: "eventing.knative.dev/v1", kind: "Trigger", metadata, spec });

    const { status } = await space.get<Trigger>(triggers, "taken");

    const { message } = findCondition(status?.conditions, "OIDCIdentityCreated") ?? {};
    assert.equal(message, `service account ${name} not owned by Trigger taken`);
    await space.delete(triggers, "taken");
    await space.delete(serviceAccounts, name);
  });

  it("go when nobody asks for them any more", async () => {
    await eventing.configure("config-features", {});

    assert.deepEqual(await accounts(), []);
    assert.deepEqual(await space.list(eventPolicies), []);
    assert.equal((await space.get<Sequence>(sequences, "steps")).status?.auth, undefined);
    assert(!JSON.stringify(await topology()).includes("identity"));
  });
});

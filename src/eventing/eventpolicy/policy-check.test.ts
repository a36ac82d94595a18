import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { defaultFeaturesConfig, type FeaturesConfig } from "#eventing/config/features-config.ts";
import { main } from "#eventing/dispatcher/testing/house.ts";
import { type Broker, brokers, eventPolicies, type EventPolicy } from "#eventing/kinds.ts";
import { TestEventing, type TestNamespace } from "#eventing/testing/test-eventing.ts";
import { createPolicyCheck } from "./policy-check.ts";

function event(type: string): CloudEvent {
  return {
    attributes: new Map([
      ["id", "1"],
      ["source", "/s"],
      ["specversion", "1.0"],
      ["type", type],
    ]),
  };
}

/** Tokens are "SUBJECT@AUDIENCE". */
async function verify(token: string, audience: string): Promise<string | undefined> {
  const [subject, meant] = token.split("@");
  return meant === audience ? subject : undefined;
}

describe("Events of somebody", () => {
  let eventing: TestEventing;
  let space: TestNamespace;
  let audience: string;
  before(async () => {
    eventing = await TestEventing.start();
    await eventing.configure("config-features", { "authentication-oidc": "enabled" });
    space = await eventing.namespace("policies");
    const broker = { apiVersion: "eventing.knative.dev/v1", kind: "Broker", metadata: { name: "main" } };
    await space.create(brokers, broker);
    audience = (await space.get<Broker>(brokers, "main")).status?.address?.audience ?? "none";
  });
  after(() => eventing.stop());

  /** What is answered to an event of `subject`, as the objects are now. */
  const ask = async (
    subject: string | undefined,
    type = "a",
    features: Partial<FeaturesConfig> = {},
    meant = audience,
  ): Promise<number> => {
    const [broker, policies] = [await space.get<Broker>(brokers, "main"), await space.list<EventPolicy>(eventPolicies)];
    const check = createPolicyCheck({
      features: () => ({ ...defaultFeaturesConfig, authenticationOidc: true, ...features }),
      brokers: { find: () => broker },
      channels: { find: () => undefined },
      policies: { find: (_namespace, name) => policies.find(({ metadata }) => metadata?.name === name) },
      verify,
    });
    const authorization = subject === undefined ? undefined : `Bearer ${subject}@${meant}`;
    const answer = await check({ ...main, namespace: "policies" }, { authorization, events: [event(type)] });
    return answer.isAllowed ? 202 : answer.status;
  };
  const own = "system:serviceaccount:policies:shop";
  const other = "system:serviceaccount:elsewhere:shop";

  it("need a token that is meant for the Broker", async () => {
    assert.equal(audience, "eventing.knative.dev/broker/policies/main");
    assert.equal(await ask(undefined), 401);
    assert.equal(await ask(own, "a", {}, "somebody else"), 401);
    assert.equal(await ask(own), 202);
  });

  it("are as welcome as the default says where there is no policy", async () => {
    assert.equal(await ask(other), 403);
    assert.equal(await ask(other, "a", { defaultAuthorizationMode: "Allow-All" }), 202);
    assert.equal(await ask(own, "a", { defaultAuthorizationMode: "Deny-All" }), 403);
  });

  it("are asked nothing while the feature is off", async () => {
    assert.equal(await ask(undefined, "a", { authenticationOidc: false }), 202);
  });

  it("are let in by a policy, if its filters let them", async () => {
    const policy = (name: string, spec: object) =>
      space.create(eventPolicies, {
        apiVersion: "eventing.knative.dev/v1alpha1",
        kind: "EventPolicy",
        metadata: { name },
        spec: { to: [{ ref: { apiVersion: "eventing.knative.dev/v1", kind: "Broker", name: "main" } }], ...spec },
      } as KubeObject);
    await policy("others", {
      from: [{ sub: "system:serviceaccount:elsewhere:*" }],
      filters: [{ exact: { type: "a" } }],
    });

    assert.equal(await ask(other), 202);
    assert.equal(await ask(other, "b"), 403);
    assert.equal(await ask(own), 403, "the default is none where there is a policy");
    await policy("own", { from: [{ sub: own }] });
    assert.equal(await ask(own, "b"), 202);
  });
});

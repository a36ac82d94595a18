import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { findCondition } from "#knative/conditions.ts";
import { type DomainMapping, domainMappings, type Ingress, ingresses, services } from "#serving/kinds.ts";
import { type TestNamespace, TestServing } from "#serving/testing/test-serving.ts";

function mappingTo(domain: string, name: string, kind = "Service"): object {
  const ref = { apiVersion: "serving.knative.dev/v1", kind, name };
  return {
    apiVersion: "serving.knative.dev/v1beta1",
    kind: "DomainMapping",
    metadata: { name: domain },
    spec: { ref },
  };
}

const service = {
  apiVersion: "serving.knative.dev/v1",
  kind: "Service",
  metadata: { name: "hello" },
  spec: { template: { spec: { containers: [{ image: "registry.example/hello" }] } } },
};

async function conditionOf(space: TestNamespace, domain: string, type: string): Promise<readonly unknown[]> {
  const { status } = await space.get<DomainMapping>(domainMappings, domain);
  const condition = findCondition(status?.conditions, type);
  return [condition?.status, condition?.reason];
}

describe("a DomainMapping", () => {
  let running: TestServing;
  before(async () => {
    running = await TestServing.start();
  });
  after(() => running.stop());

  it("leads its domain where the Service's traffic goes, and follows it", async () => {
    const space = await running.namespace("mapped");
    await space.create(services, service);
    await space.create(domainMappings, mappingTo("hello.example.com", "hello"));
    const mapping = await space.get<DomainMapping>(domainMappings, "hello.example.com");

    assert.equal(mapping.status?.url, "http://hello.example.com");
    assert.deepEqual(await conditionOf(space, "hello.example.com", "Ready"), ["True", undefined]);
    const image = { spec: { template: { spec: { containers: [{ image: "registry.example/other" }] } } } };
    await space.merge(services, "hello", image);
    const [rule] = (await space.get<Ingress>(ingresses, "hello.example.com")).spec?.rules ?? [];
    assert.deepEqual(rule?.hosts, ["hello.example.com"]);
    assert.equal(rule?.http.paths[0]?.splits[0]?.serviceName, "hello-00002");
    assert.equal(rule?.http.paths[0]?.splits[0]?.appendHeaders?.["K-Original-Host"], "hello.example.com");
  });

  it("takes a certificate of the user's own, and says what becomes of requests without TLS", async () => {
    const space = await running.namespace("certified");
    await space.create(services, service);
    const host = "secure.example.com";
    const plain = mappingTo(host, "hello") as { readonly metadata: object; readonly spec: object };
    const annotations = { "networking.knative.dev/http-protocol": "redirected" };
    const spec = { ...plain.spec, tls: { secretName: "pair" } };
    await space.create(domainMappings, { ...plain, metadata: { ...plain.metadata, annotations }, spec });

    assert.equal((await space.get<DomainMapping>(domainMappings, host)).status?.url, `https://${host}`);
    assert.deepEqual(await conditionOf(space, host, "CertificateProvisioned"), [
      "True",
      "CertificateExternallyProvided",
    ]);
    const ingress = await space.get<Ingress>(ingresses, host);
    assert.deepEqual(ingress.spec?.tls, [{ hosts: [host], secretName: "pair", secretNamespace: "certified" }]);
    assert.equal(ingress.spec?.httpOption, "Redirected");

    await space.merge(domainMappings, host, {
      metadata: { annotations: { "networking.knative.dev/http-protocol": "maybe" } },
    });
    assert.deepEqual(await conditionOf(space, host, "IngressReady"), ["False", "InvalidHTTPProtocol"]);
  });

  it("waits for what it leads to", async () => {
    const space = await running.namespace("early");
    await space.create(domainMappings, mappingTo("early.example.com", "hello"));
    assert.deepEqual(await conditionOf(space, "early.example.com", "ReferenceResolved"), ["False", "ResolveFailed"]);

    await space.create(services, service);
    assert.deepEqual(await conditionOf(space, "early.example.com", "Ready"), ["True", undefined]);
  });

  it("has a domain to itself until it goes", async () => {
    const [first, second] = [await running.namespace("first"), await running.namespace("second")];
    for (const space of [first, second]) {
      await space.create(services, service);
      await space.create(domainMappings, mappingTo("both.example.com", "hello"));
    }
    assert.deepEqual(await conditionOf(first, "both.example.com", "Ready"), ["True", undefined]);
    assert.deepEqual(await conditionOf(second, "both.example.com", "DomainClaimed"), ["False", "DomainAlreadyClaimed"]);

    await first.delete(domainMappings, "both.example.com");
    assert.deepEqual(await conditionOf(second, "both.example.com", "DomainClaimed"), ["True", undefined]);
  });
});

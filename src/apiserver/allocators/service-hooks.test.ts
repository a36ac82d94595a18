/** Addresses and node ports of Services. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "#api/generated/types/core-v1.ts";
import type { Draft } from "#api/strategy.ts";
import type { ResourceRef } from "#client/client.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import { parseIpv4Range } from "./ipv4-range.ts";
import { type ServiceAddressBook, ServiceHooks } from "./service-hooks.ts";

const services: ResourceRef = { resource: { group: "", version: "v1", resource: "services" }, namespace: "default" };
const range = { cidr: "10.41.0.0/28", nodePorts: { first: 30_000, last: 30_003 }, apiAddress: "10.40.255.1" };

function service(name: string, spec: Partial<NonNullable<Service["spec"]>> = {}): Service {
  return { metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } } as Service;
}

test("the kubernetes Service has the first address, and comes back when it is deleted", async () => {
  const server = await startTestApiServer({ services: range });
  const { client } = server;

  const made = await client.get<Service>({ ...services, name: "kubernetes" });
  await client.delete({ ...services, name: "kubernetes" });
  let again: Service | undefined;
  while (again === undefined)
    again = await client.get<Service>({ ...services, name: "kubernetes" }).catch(() => undefined);

  assert.equal(made.spec?.clusterIP, "10.41.0.1");
  assert.equal(again.spec?.clusterIP, "10.41.0.1");
  assert.notEqual(again.metadata?.uid, made.metadata?.uid);
  await server.stop();
});

test("no two Services get the same address, and a full range is said", async () => {
  const server = await startTestApiServer({ services: range });
  const { client } = server;

  const made = await Promise.all(
    Array.from({ length: 13 }, (_, i) => client.create<Service>(services, service(`s${i}`))),
  );

  assert.equal(new Set(made.map((one) => one.spec?.clusterIP)).size, 13);
  await assert.rejects(client.create(services, service("late")), { code: 500 });
  await client.delete({ ...services, name: "s3" });
  const late = await client.create<Service>(services, service("late"));
  assert.equal(late.spec?.clusterIP, made[3]?.spec?.clusterIP);
  const addresses = await client.list({
    resource: { group: "networking.k8s.io", version: "v1", resource: "ipaddresses" },
  });
  assert.equal(addresses.items.length, 14);
  await server.stop();
});

test("who lost an address that he did not ask for by name gets another one when he tries again", async () => {
  const others = new Set<string>();
  const book: ServiceAddressBook = {
    services: async () => [],
    hasAddress: async (ip) => others.has(ip),
    operation: () => undefined,
  };
  const ranges = { clusterIps: parseIpv4Range("10.41.0.0/28"), nodePorts: { first: 30_000, last: 30_003 } };
  const hooks = new ServiceHooks(ranges, book);
  const draft = { metadata: { name: "a" }, spec: { type: "NodePort", ports: [{ port: 80 }] } } as Draft;

  const lost = await hooks.beforeCreate(draft, { dryRun: false } as never);
  const first = draft["spec"].clusterIP as string;
  others.add(first);
  lost.release();
  await hooks.beforeCreate(draft, { dryRun: false } as never);

  assert.notEqual(draft["spec"].clusterIP, first);
});

test("an address that is taken or of another range is refused", async () => {
  const server = await startTestApiServer({ services: range });
  const { client } = server;
  await client.create(services, service("a", { clusterIP: "10.41.0.9" }));

  await assert.rejects(client.create(services, service("b", { clusterIP: "10.41.0.9" })), {
    code: 422,
    message:
      'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.41.0.9"]: failed to allocate IP 10.41.0.9: provided IP is already allocated',
  });
  await assert.rejects(client.create(services, service("b", { clusterIP: "10.9.9.9" })), {
    message:
      'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.9.9.9"]: failed to allocate IP 10.9.9.9: the provided network does not match the current range',
  });
  await server.stop();
});

test("node ports are given out, kept over updates and given back", async () => {
  const server = await startTestApiServer({ services: range });
  const { client } = server;
  const ref = { ...services, name: "n" };

  const made = await client.create<Service>(services, service("n", { type: "NodePort" }));
  const nodePort = made.spec?.ports?.[0]?.nodePort ?? 0;
  const updated = await client.update<Service>(ref, service("n", { type: "NodePort" }));
  await assert.rejects(client.create(services, service("m", { type: "NodePort", ports: [{ port: 1, nodePort }] })), {
    message: `Service "m" is invalid: spec.ports[0].nodePort: Invalid value: ${nodePort}: provided port is already allocated`,
  });
  await client.patch(ref, { type: "merge", body: { spec: { type: "ClusterIP" } } });
  const other = await client.create<Service>(
    services,
    service("m", { type: "NodePort", ports: [{ port: 1, nodePort }] }),
  );

  assert.ok(nodePort >= 30_000 && nodePort <= 30_003);
  assert.equal(updated.spec?.ports?.[0]?.nodePort, nodePort);
  assert.equal(updated.spec?.clusterIP, made.spec?.clusterIP);
  assert.equal(other.spec?.ports?.[0]?.nodePort, nodePort);
  await server.stop();
});

test("a headless Service gets no address, an ExternalName loses it", async () => {
  const server = await startTestApiServer({ services: range });
  const { client } = server;

  const headless = await client.create<Service>(services, service("h", { clusterIP: "None" }));
  await client.create(services, service("e"));
  const external = await client.patch<Service>(
    { ...services, name: "e" },
    { type: "merge", body: { spec: { type: "ExternalName", externalName: "example.org" } } },
  );

  assert.equal(headless.spec?.clusterIP, "None");
  assert.equal(external.spec?.clusterIP, undefined);
  await server.stop();
});

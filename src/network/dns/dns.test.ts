import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { freePort } from "#component-base/testing/free-port.ts";
import { decode, encode, type Packet, type Question, streamDecode, streamEncode } from "dns-packet";
import type { Namespace, Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Lister } from "#client/informer.ts";
import { silentLogger } from "#component-base/logger.ts";
import { ClusterRecords, endpointSliceIndexes, serviceIndexes } from "./cluster-records.ts";
import { DnsServer } from "./dns-server.ts";
import { addressOfReverseName, Resolver } from "./resolver.ts";

function listerOf<T extends KubeObject>(
  objects: readonly T[],
  indexes: Readonly<Record<string, (object: T) => readonly string[]>> = {},
): Lister<T> {
  return {
    find: (namespace, name) =>
      objects.find(({ metadata }) => (metadata?.namespace ?? "") === namespace && metadata?.name === name),
    list: () => objects,
    byIndex: (index, key) => objects.filter((object) => indexes[index]?.(object).includes(key)),
  };
}

const services: readonly Service[] = [
  {
    metadata: { name: "web", namespace: "shop" },
    spec: {
      clusterIP: "10.43.0.7",
      clusterIPs: ["10.43.0.7"],
      ports: [
        { name: "http", port: 80 },
        { name: "dns", port: 53, protocol: "UDP" },
      ],
    },
  },
  {
    metadata: { name: "db", namespace: "shop" },
    spec: { clusterIP: "None", clusterIPs: ["None"], ports: [{ name: "pg", port: 5432 }] },
  },
  {
    metadata: { name: "empty", namespace: "shop" },
    spec: { clusterIP: "None", clusterIPs: ["None"], ports: [{ name: "pg", port: 1 }] },
  },
  { metadata: { name: "out", namespace: "shop" }, spec: { type: "ExternalName", externalName: "example.org" } },
  {
    metadata: { name: "alias", namespace: "shop" },
    spec: { type: "ExternalName", externalName: "web.shop.svc.cluster.local" },
  },
  {
    metadata: { name: "loop", namespace: "shop" },
    spec: { type: "ExternalName", externalName: "loop.shop.svc.cluster.local" },
  },
];
const slices: readonly EndpointSlice[] = [
  {
    addressType: "IPv4",
    metadata: { name: "db-1", namespace: "shop", labels: { "kubernetes.io/service-name": "db" } },
    ports: [{ name: "pg", port: 5432, protocol: "TCP" }],
    endpoints: [
      { addresses: ["10.42.0.5"], hostname: "db-0", conditions: { ready: true } },
      { addresses: ["10.42.0.6"], conditions: {} },
      { addresses: ["10.42.0.9"], hostname: "db-2", conditions: { ready: false } },
    ],
  },
];
const namespaces: readonly Namespace[] = [{ metadata: { name: "shop" } }];
const records = new ClusterRecords("cluster.local", () => ({
  services: listerOf(services, serviceIndexes),
  endpointSlices: listerOf(slices, endpointSliceIndexes),
  namespaces: listerOf(namespaces),
}));
const outside = async (question: Question): Promise<Packet> => {
  if (question.name !== "example.org") throw new Error("silence");
  return { answers: [{ type: "A", name: "example.org", ttl: 60, data: "192.0.2.1" }] };
};
const resolver = new Resolver({ zone: "cluster.local", records, forward: outside });

async function ask(
  name: string,
  type: Question["type"] = "A",
): Promise<{ readonly rcode: string; readonly data: readonly unknown[] }> {
  const { rcode, answers } = await resolver.resolve({ name, type, class: "IN" });
  return { rcode, data: answers.map((answer) => ("data" in answer ? answer.data : undefined)) };
}

test("a Service has its ClusterIP, whatever the case of the name", async () => {
  assert.deepEqual(await ask("Web.shop.svc.Cluster.Local"), { rcode: "NOERROR", data: ["10.43.0.7"] });
});

test("a name that exists without records of the asked type is no error", async () => {
  assert.deepEqual(await ask("web.shop.svc.cluster.local", "AAAA"), { rcode: "NOERROR", data: [] });
  assert.deepEqual(await ask("shop.svc.cluster.local"), { rcode: "NOERROR", data: [] });
});

test("unknown Services, namespaces and endpoints are NXDOMAIN with the zone's SOA", async () => {
  for (const name of [
    "nope.shop.svc.cluster.local",
    "web.nope.svc.cluster.local",
    "nope.svc.cluster.local",
    "x.web.shop.svc.cluster.local",
    "other.cluster.local",
  ]) {
    const { rcode, authorities } = await resolver.resolve({ name, type: "A", class: "IN" });
    assert.equal(rcode, "NXDOMAIN", name);
    assert.equal(authorities[0]?.type, "SOA");
  }
});

test("before the records are known nothing of the cluster's is said not to exist, and the world outside answers", async () => {
  const known = Promise.withResolvers<"current">();
  const young = new Resolver({
    zone: "cluster.local",
    records,
    forward: outside,
    knowledge: () => known.promise,
  });

  const early = young.resolve({ name: "web.shop.svc.cluster.local", type: "A", class: "IN" });
  const abroad = await young.resolve({ name: "example.org", type: "A", class: "IN" });
  known.resolve("current");
  assert.equal(abroad.rcode, "NOERROR");
  assert.equal((await early).rcode, "NOERROR");

  const blind = new Resolver({ zone: "cluster.local", records, forward: outside, knowledge: async () => "none" });
  for (const name of ["nope.shop.svc.cluster.local", "7.0.43.10.in-addr.arpa"])
    assert.equal((await blind.resolve({ name, type: "A", class: "IN" })).rcode, "SERVFAIL");
});

test("a headless Service has its ready endpoints, each under its host name or address too", async () => {
  assert.deepEqual((await ask("db.shop.svc.cluster.local")).data, ["10.42.0.5", "10.42.0.6"]);
  assert.deepEqual((await ask("db-0.db.shop.svc.cluster.local")).data, ["10.42.0.5"]);
  assert.deepEqual((await ask("10-42-0-6.db.shop.svc.cluster.local")).data, ["10.42.0.6"]);
  assert.equal((await ask("db-2.db.shop.svc.cluster.local")).rcode, "NXDOMAIN");
  assert.equal((await ask("empty.shop.svc.cluster.local")).rcode, "NXDOMAIN");
});

test("named ports have SRV records with the addresses of their targets", async () => {
  const { answers, additionals } = await resolver.resolve({
    name: "_pg._tcp.db.shop.svc.cluster.local",
    type: "SRV",
    class: "IN",
  });

  assert.deepEqual(
    answers.map((answer) => "data" in answer && answer.data),
    [
      { priority: 0, weight: 50, port: 5432, target: "db-0.db.shop.svc.cluster.local" },
      { priority: 0, weight: 50, port: 5432, target: "10-42-0-6.db.shop.svc.cluster.local" },
    ],
  );
  assert.equal(additionals.length, 2);
  assert.deepEqual((await ask("_dns._udp.web.shop.svc.cluster.local", "SRV")).data, [
    { priority: 0, weight: 100, port: 53, target: "web.shop.svc.cluster.local" },
  ]);
  assert.equal((await ask("_dns._tcp.web.shop.svc.cluster.local", "SRV")).rcode, "NXDOMAIN");
});

test("an ExternalName is an alias that is followed, inside and outside of the cluster, and never for ever", async () => {
  assert.deepEqual((await ask("out.shop.svc.cluster.local")).data, ["example.org", "192.0.2.1"]);
  assert.deepEqual((await ask("alias.shop.svc.cluster.local")).data, ["web.shop.svc.cluster.local", "10.43.0.7"]);
  assert.ok((await ask("loop.shop.svc.cluster.local")).data.length < 12);
});

test("pods have a name made of their address", async () => {
  assert.deepEqual((await ask("10-42-0-5.shop.pod.cluster.local")).data, ["10.42.0.5"]);
  assert.equal((await ask("10-42-0-5.nope.pod.cluster.local")).rcode, "NXDOMAIN");
});

test("addresses lead back to names; those of others are asked outside", async () => {
  assert.deepEqual((await ask("7.0.43.10.in-addr.arpa", "PTR")).data, ["web.shop.svc.cluster.local"]);
  assert.deepEqual((await ask("5.0.42.10.in-addr.arpa", "PTR")).data, ["db-0.db.shop.svc.cluster.local"]);
  assert.equal((await ask("1.1.1.1.in-addr.arpa", "PTR")).rcode, "SERVFAIL");
  assert.equal(addressOfReverseName("1.0.0.127.in-addr.arpa"), "127.0.0.1");
});

test("the version of the specification is told", async () => {
  assert.deepEqual((await ask("dns-version.cluster.local", "TXT")).data, ["1.1.0"]);
});

test("a server that cannot have all its addresses gives back those that it got", async () => {
  const port = await freePort();
  const somebody = createServer().listen(port, "127.0.0.1");
  await once(somebody, "listening");
  const resolver = { resolve: () => Promise.reject(new Error("nobody asks")) };
  const server = new DnsServer({ resolver, addresses: ["127.0.0.1"], port, logger: silentLogger });

  await assert.rejects(server.start(), /EADDRINUSE/);
  somebody.close();

  const socket = createSocket({ type: "udp4" });
  await new Promise<void>((resolve, reject) => socket.once("error", reject).bind(port, "127.0.0.1", resolve));
  socket.close();
});

test("the server answers over UDP and TCP, cuts what is too long for UDP, and ignores noise", async () => {
  const many = Array.from(
    { length: 100 },
    (_, index) => ({ type: "A", name: "many", ttl: 1, data: `10.0.0.${index}` }) as const,
  );
  const answer = async () =>
    ({ rcode: "NOERROR", isAuthoritative: true, answers: many, authorities: [], additionals: [] }) as const;
  const port = await freePort();
  const server = new DnsServer({ resolver: { resolve: answer }, addresses: ["127.0.0.1"], port, logger: silentLogger });
  await server.start();
  try {
    const query: Packet = { type: "query", id: 7, flags: 0x100, questions: [{ type: "A", name: "many", class: "IN" }] };
    const client = createSocket("udp4");
    client.send(Buffer.from("noise"), port, "127.0.0.1");
    client.send(encode(query), port, "127.0.0.1");
    const short = decode(await new Promise<Buffer>((resolve) => client.once("message", resolve)));
    client.close();
    assert.equal((short as { readonly flag_tc?: boolean }).flag_tc, true);

    const socket = connect(port, "127.0.0.1");
    socket.write(streamEncode(query));
    const chunks: Buffer[] = [];
    for await (const chunk of socket) {
      chunks.push(chunk as Buffer);
      const whole = Buffer.concat(chunks);
      if (whole.length >= 2 + whole.readUInt16BE(0)) break;
    }
    assert.equal(streamDecode(Buffer.concat(chunks)).answers?.length, 100);
  } finally {
    await server.stop();
  }
});

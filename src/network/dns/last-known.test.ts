import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { freePort } from "#component-base/testing/free-port.ts";
import { decode, encode, type Packet } from "dns-packet";
import type { Namespace, Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import { FakeInformer } from "#client/testing/fake-informer.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createClusterDns } from "./cluster-dns.ts";
import { ClusterRecords } from "./cluster-records.ts";
import { LastKnownRecords } from "./last-known.ts";

const web: Service = {
  metadata: { name: "web", namespace: "shop", resourceVersion: "7", annotations: { secret: "x" } },
  spec: { clusterIP: "10.43.0.7", clusterIPs: ["10.43.0.7"], selector: { app: "web" }, ports: [{ port: 80 }] },
};
const db: Service = {
  metadata: { name: "db", namespace: "shop" },
  spec: { clusterIP: "None", clusterIPs: ["None"], ports: [{ name: "pg", port: 5432 }] },
};

function sliceOf(service: string, address: string, ready = true): EndpointSlice {
  return {
    addressType: "IPv4",
    metadata: { name: `${service}-1`, namespace: "shop", labels: { "kubernetes.io/service-name": service } },
    ports: [{ name: "pg", port: 5432, protocol: "TCP" }],
    endpoints: [{ addresses: [address], hostname: `${service}-0`, conditions: { ready } }],
  };
}

function informersOf() {
  return {
    services: new FakeInformer<Service>([web, db]),
    endpointSlices: new FakeInformer<EndpointSlice>([sliceOf("db", "10.42.0.5"), sliceOf("web", "10.42.0.6")]),
    namespaces: new FakeInformer<Namespace>([{ metadata: { name: "shop" } }]),
  };
}

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "names-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "node/names.json");
  const clock = new FakeClock();
  const open = (maxBytes = 1 << 20) => new LastKnownRecords({ path, maxBytes, clock, logger: silentLogger });
  const keep = async (informers: ReturnType<typeof informersOf>, file = open()) => {
    file.follow(informers);
    await clock.advance(1000);
    await file.stop();
  };
  return { path, clock, open, keep };
}

test("what names meant is known again from the file, and nothing else is in it", async (t) => {
  const { path, open, keep } = setUp(t);
  await keep(informersOf());

  const known = open().load();
  assert.ok(known);
  const records = new ClusterRecords("cluster.local", () => known);
  assert.deepEqual(records.find("web.shop.svc.cluster.local"), [
    { type: "A", data: "10.43.0.7" },
    { type: "SRV", port: 80, target: "web.shop.svc.cluster.local" },
  ]);
  assert.deepEqual(records.find("db-0.db.shop.svc.cluster.local"), [{ type: "A", data: "10.42.0.5" }]);
  assert.deepEqual(records.find("shop.svc.cluster.local"), []);
  assert.equal(records.find("nope.svc.cluster.local"), undefined);
  assert.deepEqual(records.findByAddress("10.43.0.7"), ["web.shop.svc.cluster.local"]);
  assert.doesNotMatch(readFileSync(path, "utf8"), /secret|10\.42\.0\.6|selector/);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("changes are gathered for a second, and what changes no name is not written", async (t) => {
  const { path, clock, open, keep } = setUp(t);
  const informers = informersOf();
  await keep(informers);
  const { ino } = statSync(path);

  const file = open();
  file.load();
  await keep(informers, file);
  assert.equal(statSync(path).ino, ino, "a start with the same names writes nothing");

  const following = open();
  following.load();
  following.follow(informers);
  await clock.advance(1000);
  informers.endpointSlices.put(sliceOf("web", "10.42.0.9"));
  informers.services.put({ ...web, metadata: { ...web.metadata, resourceVersion: "8" } });
  await clock.advance(5000);
  assert.equal(statSync(path).ino, ino);
  for (let i = 0; i < 50; i++) informers.endpointSlices.put(sliceOf("db", `10.42.0.${i}`));
  await clock.advance(900);
  assert.equal(statSync(path).ino, ino);
  await clock.advance(100);
  await following.stop();
  assert.deepEqual(open().load()?.endpointSlices.byIndex("address", "10.42.0.49").length, 1);
});

test("a file that is damaged, cut, of another form or too large counts as none", async (t) => {
  const { path, open, keep } = setUp(t);
  assert.equal(open().load(), undefined, "no file");
  await keep(informersOf());
  const whole = readFileSync(path);

  assert.ok(open().load());
  for (let at = 0; at < whole.length; at += 41) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1;
    writeFileSync(path, damaged);
    assert.equal(open().load(), undefined, `a flipped bit in byte ${at}`);
    writeFileSync(path, whole.subarray(0, at));
    assert.equal(open().load(), undefined, `cut after ${at} bytes`);
  }
  writeFileSync(path, whole);
  assert.equal(open(whole.length - 1).load(), undefined, "too large");
  await keep(informersOf(), open(100));
  assert.throws(() => statSync(path), /ENOENT/, "too much to be kept: what is old goes too");
});

test("without an API the last known names are answered, marked as stale, and the true ones as soon as they are there", async (t) => {
  const { path, clock, keep } = setUp(t);
  await keep(informersOf());
  const informers = informersOf();
  informers.services.put({ ...web, spec: { ...web.spec, clusterIPs: ["10.43.0.8"] } });
  const synced = Promise.withResolvers<void>();
  for (const informer of Object.values(informers)) informer.waitForSync = () => synced.promise;
  const byResource = new Map(Object.entries({ ...informers, endpointslices: informers.endpointSlices }));
  const factory = {
    informer({ resource, indexes = {} }: Parameters<InformerFactory["informer"]>[0]) {
      const informer = byResource.get(resource.resource) as unknown as FakeInformer<never>;
      for (const [name, keysOf] of Object.entries(indexes)) informer.addIndex(name, keysOf as never);
      return informer;
    },
  } as unknown as InformerFactory;
  const port = await freePort();
  const dns = createClusterDns({
    informers: factory,
    zone: "cluster.local",
    addresses: ["127.0.0.1"],
    port,
    lastKnownFile: path,
    clock,
    logger: silentLogger,
  });
  await dns.start(new AbortController().signal);
  t.after(() => dns.stop());

  const early = lookUp("web.shop.svc.cluster.local", port);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await clock.advance(1000);
  assert.deepEqual(await early, { rcode: "NOERROR", addresses: ["10.43.0.7"], extendedError: 3 });
  assert.deepEqual(await lookUp("nope.shop.svc.cluster.local", port), {
    rcode: "NXDOMAIN",
    addresses: [],
    extendedError: 19,
  });

  synced.resolve();
  assert.deepEqual(await lookUp("web.shop.svc.cluster.local", port), {
    rcode: "NOERROR",
    addresses: ["10.43.0.8"],
    extendedError: undefined,
  });
});

async function lookUp(name: string, port: number) {
  const opt = { type: "OPT", name: ".", udpPayloadSize: 1232, flags: 0, options: [] } as never;
  const query: Packet = { type: "query", id: 7, questions: [{ type: "A", name, class: "IN" }], additionals: [opt] };
  const client = createSocket("udp4");
  client.send(encode(query), port, "127.0.0.1");
  const answer = decode(await new Promise<Buffer>((resolve) => client.once("message", resolve)));
  client.close();
  const { rcode, answers = [], additionals = [] } = answer as Packet & { readonly rcode?: string };
  const options = (additionals[0] as unknown as { readonly options: readonly { readonly data: Buffer }[] }).options;
  return {
    rcode,
    addresses: answers.map((one) => ("data" in one ? one.data : undefined)),
    extendedError: options[0]?.data.readUInt16BE(0),
  };
}

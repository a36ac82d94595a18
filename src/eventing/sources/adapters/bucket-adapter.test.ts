import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { createInformerFactory, type InformerFactory } from "#client/informer-factory.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { until } from "#client/testing/settle.ts";
import { FakeClock } from "#component-base/clock.ts";
import { MetricRegistry } from "#component-base/metrics.ts";
import { silentLogger } from "#component-base/logger.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { type ObjectSource, objectSources, type ObjectSourceSpec, type S3Spec } from "#eventing/sources/kinds.ts";
import { MemoryPlaces } from "#eventing/sources/testing/memory-places.ts";
import { TestS3 } from "#eventing/sources/testing/s3-server.ts";
import type { SendOutcome } from "./adapter-context.ts";
import { type SourceAdapters, startSourceAdapters } from "./source-adapters.ts";
import { SourceMetrics } from "./source-metrics.ts";

const secrets = { group: "", version: "v1", resource: "secrets" };
const keys = new Map([["AKIDEXAMPLE", "geheim/+="]]);

describe("ObjectSource of a bucket", { timeout: 120_000 }, () => {
  let clock: FakeClock;
  let client: Client;
  let informers: InformerFactory;
  let places: MemoryPlaces;
  let metrics: SourceMetrics;
  let sent: CloudEvent[];
  let answer: (event: CloudEvent) => SendOutcome;
  let adapters: SourceAdapters | undefined;
  let s3: TestS3;

  beforeEach(async () => {
    clock = new FakeClock(Date.UTC(2026, 0, 1));
    client = createClient(new FakeTransport({ clock }));
    places = new MemoryPlaces();
    metrics = new SourceMetrics(new MetricRegistry());
    sent = [];
    answer = () => ({ kind: "taken", status: 202 });
    s3 = await TestS3.start({ keys, pageKeys: 2 });
    s3.makeBucket("uploads");
  });

  afterEach(async () => {
    await stop();
    await s3.close();
  });

  async function start(): Promise<void> {
    informers = createInformerFactory({ client, clock, logger: silentLogger });
    const { signal } = new AbortController();
    await informers.start(signal);
    adapters = startSourceAdapters({
      client,
      informers,
      clock,
      logger: silentLogger,
      places,
      metrics,
      apiServerUrl: "https://10.41.0.1:443",
      async send(event, _target, sendSignal) {
        sendSignal.throwIfAborted();
        const outcome = answer(event);
        if (outcome.kind === "taken") sent.push(event);
        return outcome;
      },
      clientFor: () => client,
    });
    await informers.waitForSync(signal);
  }

  async function stop(): Promise<void> {
    await adapters?.stop();
    await informers?.stop();
    adapters = undefined;
  }

  async function makeSecret(name: string, secretKey = "geheim/+="): Promise<void> {
    const texts = { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: secretKey };
    const data = Object.fromEntries(
      Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
    );
    const metadata = { name, namespace: "default" };
    const ref = { resource: secrets, namespace: "default" };
    const secret = { apiVersion: "v1", kind: "Secret", metadata, data } as KubeObject;
    await client.create(ref, secret).catch(async () => await client.update({ ...ref, name }, secret));
  }

  async function make(spec: Partial<ObjectSourceSpec> = {}, bucket: Partial<S3Spec> = {}): Promise<void> {
    const place = { bucket: "uploads", endpoint: s3.url, secretRef: { name: "keys" }, ...bucket };
    const source = {
      apiVersion: "nodeless.dev/v1alpha1",
      kind: "ObjectSource",
      metadata: { name: "uploads", namespace: "default", generation: 1 },
      spec: { s3: place, ...spec },
      status: { sinkUri: "http://sink" },
    };
    await client.create({ resource: objectSources, namespace: "default" }, source as KubeObject);
  }

  const told = () =>
    sent.map(({ attributes }) => `${String(attributes.get("type")).split(".").at(-1)} ${attributes.get("subject")}`);
  const attribute = (name: string) => sent.map(({ attributes }) => attributes.get(name));
  const listing = async () =>
    (await client.get<ObjectSource>({ resource: objectSources, namespace: "default", name: "uploads" })).status
      ?.listing ?? {};

  /** Looks come as time goes on. */
  async function untilTold(...expected: readonly string[]): Promise<void> {
    await until(
      async () => {
        await clock.advance(1000);
        return expected.every((one) => told().includes(one));
      },
      `${expected.join(", ")}; told were ${told().join(", ")}`,
    );
  }

  async function untilListing(reason: string | undefined): Promise<void> {
    await until(async () => {
      await clock.advance(1000);
      const found = await listing();
      return found.observedGeneration !== undefined && (found.reason ?? undefined) === reason;
    }, `listing ${reason}`);
  }

  it("tells of every object that is there, comes, changes or goes, as a folder does", async () => {
    await makeSecret("keys");
    for (const name of ["a.png", "b.png", "c.png"]) s3.put("uploads", name, "same");
    s3.put("uploads", "a.txt", "no");
    s3.put("uploads", "deep/", "");
    await make({ pattern: "**/*.png" });
    await start();
    await untilTold("created a.png", "created b.png", "created c.png");

    s3.put("uploads", "a.png", "other");
    s3.put("uploads", "deep/d.png", "d");
    s3.delete("uploads", "b.png");
    await untilTold("updated a.png", "created deep/d.png", "deleted b.png");
    s3.put("uploads", "b.png", "same", undefined, 2e12);
    await until(async () => {
      await clock.advance(1000);
      return told().filter((one) => one === "created b.png").length === 2;
    });

    assert.equal(told().length, 7);
    assert.equal(new Set(attribute("id")).size, 7, "whose bytes are the same are told apart");
    assert.deepEqual(
      new Set(attribute("source")),
      new Set(["/apis/nodeless.dev/v1alpha1/namespaces/default/objectsources/uploads"]),
    );
    assert.deepEqual(JSON.parse(Buffer.from(sent[0]?.data ?? []).toString()), {
      bucket: "uploads",
      key: "a.png",
      size: 4,
      etag: "51037a4a37730f52c8732586d3aaa316",
      modified: "2001-09-09T01:46:40Z",
    });
    assert.deepEqual(attribute("bucket")[0], "uploads");
    await untilListing(undefined);
  });

  it("finds what has happened while the process was away, and tells of nothing twice", async () => {
    await makeSecret("keys");
    for (const name of ["a", "b", "c"]) s3.put("uploads", name, name);
    await make();
    await start();
    await untilTold("created a", "created b", "created c");
    await stop();
    sent = [];
    s3.put("uploads", "d", "d");
    s3.delete("uploads", "b");

    await start();
    await untilTold("created d", "deleted b");
    await clock.advance(120_000);

    assert.equal(sent.length, 2);
  });

  it("goes on in the midst of a bucket when the process dies there", async () => {
    await makeSecret("keys");
    for (const name of ["a", "b", "c", "d", "e"]) s3.put("uploads", name, name);
    answer = ({ attributes }) =>
      attributes.get("subject") === "d"
        ? { kind: "refused", status: 503, isRetryable: true, retryAfterMs: undefined, why: "down" }
        : { kind: "taken", status: 202 };
    await make();
    await start();
    await untilTold("created a", "created b", "created c");
    await stop();
    answer = () => ({ kind: "taken", status: 202 });

    await start();
    await untilTold("created e");

    assert.deepEqual(told(), ["created a", "created b", "created c", "created d", "created e"]);
  });

  it("takes nothing for gone that a list which broke off has not shown", async () => {
    await makeSecret("keys");
    for (const name of ["a", "b", "c", "d", "e"]) s3.put("uploads", name, name);
    await make();
    await start();
    await untilTold("created e");

    s3.fault = (path) => (path.includes("continuation-token") ? { status: 500, body: "" } : undefined);
    await clock.advance(31_000);
    await untilListing("ServiceError");
    s3.fault = undefined;
    await untilListing(undefined);

    assert.equal(sent.length, 5);
  });

  it("brings the object itself when it is asked to, as what it was stored", async () => {
    await makeSecret("keys");
    s3.put("uploads", "in/a.png", Buffer.from([1, 2, 3]));
    s3.put("uploads", "in/b", "text", "text/plain");
    s3.put("uploads", "out/c", "no");
    await make({ mode: "Content" }, { prefix: "in/" });
    await start();
    await untilTold("created in/a.png", "created in/b");

    assert.deepEqual(attribute("datacontenttype"), ["image/png", "text/plain"]);
    assert.deepEqual([...(sent[0]?.data ?? [])], [1, 2, 3]);
    assert(s3.asked.filter((one) => one.includes("list-type")).every((one) => one.includes("prefix=in%2F")));
  });

  it("says what is in the way, and goes on by itself when it is not any more", async () => {
    s3.put("uploads", "a", "a");
    await make();
    await start();
    await untilListing("SecretNotFound");
    assert.match((await listing()).message ?? "", /^Secret "keys" does not exist: kubectl create secret generic keys /);

    await makeSecret("keys", "wrong");
    await untilListing("AccessDenied");
    assert.match((await listing()).message ?? "", /SignatureDoesNotMatch/);
    s3.fault = () => ({ status: 200, body: "<html>please log in</html>" });
    await makeSecret("keys");
    await untilListing("BadAnswer");
    s3.fault = undefined;
    await untilTold("created a");
    await untilListing(undefined);

    assert.deepEqual(Object.keys(await listing()), ["observedGeneration"]);
  });

  it("forgets without a word what it is not about any more", async () => {
    await makeSecret("keys");
    s3.makeBucket("others");
    s3.put("uploads", "a.png", "a");
    s3.put("uploads", "b.txt", "b");
    s3.put("others", "c.txt", "c");
    await make();
    await start();
    await untilTold("created a.png", "created b.txt");
    const patch = async (spec: object) =>
      await client.patch(
        { resource: objectSources, namespace: "default", name: "uploads" },
        { type: "merge", body: { spec } },
      );

    await patch({ pattern: "*.txt" });
    s3.put("uploads", "d.txt", "d");
    await untilTold("created d.txt");
    await patch({ s3: { bucket: "others" } });
    await untilTold("created c.txt");

    assert.deepEqual(told(), ["created a.png", "created b.txt", "created d.txt", "created c.txt"]);
  });
});

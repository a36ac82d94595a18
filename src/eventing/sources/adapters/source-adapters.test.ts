import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { createInformerFactory, type InformerFactory } from "#client/informer-factory.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { until } from "#client/testing/settle.ts";
import { FakeClock } from "#component-base/clock.ts";
import { MetricRegistry, metricText } from "#component-base/metrics.ts";
import { silentLogger } from "#component-base/logger.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { apiServerSources, gitSources, objectSources, pingSources } from "#eventing/sources/kinds.ts";
import { MemoryPlaces } from "#eventing/sources/testing/memory-places.ts";
import type { SendOutcome } from "./adapter-context.ts";
import { type SourceAdapters, startSourceAdapters } from "./source-adapters.ts";
import { SourceMetrics } from "./source-metrics.ts";

const pods = { group: "", version: "v1", resource: "pods" };
const ready = { sinkUri: "http://sink", conditions: [{ type: "SufficientPermissions", status: "True" }] };
const taken: SendOutcome = { kind: "taken", status: 202 };
const refused: SendOutcome = { kind: "refused", status: 503, isRetryable: true, retryAfterMs: undefined, why: "down" };

describe("adapters of sources", () => {
  let clock: FakeClock;
  let transport: FakeTransport;
  let client: Client;
  let informers: InformerFactory;
  let places: MemoryPlaces;
  let metrics: SourceMetrics;
  let sent: CloudEvent[];
  let accounts: string[];
  let answer: (event: CloudEvent) => SendOutcome;
  let adapters: SourceAdapters | undefined;
  let folder: string;

  beforeEach(() => {
    clock = new FakeClock(Date.UTC(2026, 0, 1, 10, 0, 30));
    transport = new FakeTransport({ clock });
    client = createClient(transport);
    places = new MemoryPlaces();
    metrics = new SourceMetrics(new MetricRegistry());
    sent = [];
    accounts = [];
    answer = () => ({ kind: "taken", status: 202 });
    folder = mkdtempSync(join(tmpdir(), "nodeless-objects-"));
  });

  afterEach(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function start(): Promise<void> {
    informers = createInformerFactory({ client, clock, logger: silentLogger });
    const signal = new AbortController().signal;
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
      clientFor({ namespace, name }) {
        accounts.push(`${namespace}/${name}`);
        return client;
      },
    });
    await informers.waitForSync(signal);
  }

  async function stop(): Promise<void> {
    await adapters?.stop();
    await informers?.stop();
    adapters = undefined;
  }

  async function make(resource: typeof pods, name: string, spec: object, status: object = ready): Promise<KubeObject> {
    const kind =
      {
        pingsources: "PingSource",
        apiserversources: "ApiServerSource",
        objectsources: "ObjectSource",
        gitsources: "GitSource",
      }[resource.resource] ?? "Pod";
    const apiVersion = resource.group === "" ? "v1" : `${resource.group}/${resource.version}`;
    const object = { apiVersion, kind, metadata: { name, namespace: "default" }, spec, status };
    return await client.create({ resource, namespace: "default" }, object as KubeObject);
  }

  const attribute = (name: string) => sent.map(({ attributes }) => attributes.get(name));
  const json = (event: CloudEvent | undefined) => JSON.parse(Buffer.from(event?.data ?? []).toString()) as unknown;

  describe("PingSource", () => {
    it("sends an event whenever it is due, with its data and its overrides", async () => {
      const spec = {
        schedule: "* * * * *",
        contentType: "application/json",
        data: '{"a":1}',
        ceOverrides: { extensions: { team: "x" } },
      };
      await make(pingSources, "minutely", spec);
      await start();

      await clock.advance(29_000);
      assert.equal(sent.length, 0);
      await clock.advance(61_000);

      assert.deepEqual(attribute("time"), ["2026-01-01T10:01:00Z", "2026-01-01T10:02:00Z"]);
      assert.deepEqual(attribute("type"), ["dev.knative.sources.ping", "dev.knative.sources.ping"]);
      assert.deepEqual(attribute("source"), Array(2).fill("/apis/v1/namespaces/default/pingsources/minutely"));
      assert.deepEqual(attribute("team"), ["x", "x"]);
      assert.deepEqual(json(sent[0]), { a: 1 });
      assert.equal(new Set(attribute("id")).size, 2);
    });

    it("sends the newest moment that was missed while the process was away, and no older one", async () => {
      await make(pingSources, "minutely", {});
      await start();
      await clock.advance(60_000);
      await stop();
      await clock.advance(600_000);

      await start();
      await until(() => sent.length === 2);
      await clock.advance(1000);

      assert.deepEqual(attribute("time"), ["2026-01-01T10:01:00Z", "2026-01-01T10:11:00Z"]);
    });

    it("tries again while nobody takes the event, and goes over to the next when that is due", async () => {
      let tries = 0;
      answer = () => (++tries < 4 ? refused : { kind: "taken", status: 202 });
      await make(pingSources, "minutely", {});
      await start();
      await clock.advance(40_000);
      assert.deepEqual([tries, attribute("time")], [4, ["2026-01-01T10:01:00Z"]]);

      answer = () => refused;
      await clock.advance(120_000);
      answer = () => ({ kind: "taken", status: 202 });
      await clock.advance(60_000);

      assert.deepEqual(
        attribute("time"),
        [1, 3, 4].map((minute) => `2026-01-01T10:0${minute}:00Z`),
      );
    });

    it("keeps to its time zone", async () => {
      await make(pingSources, "noon", { schedule: "0 12 * * *", timezone: "Asia/Tokyo" });
      await start();
      await clock.advance(24 * 3_600_000);

      assert.deepEqual(attribute("time"), ["2026-01-02T03:00:00Z"]);
    });

    it("waits while it has no sink, and ends with the source", async () => {
      const source = await make(pingSources, "minutely", {}, {});
      await start();
      await clock.advance(120_000);
      assert.equal(sent.length, 0);

      const ref = { resource: pingSources, namespace: "default", name: "minutely" };
      await client.patch({ ...ref, subresource: "status" }, { type: "merge", body: { status: ready } });
      await until(() => adapters?.count === 1);
      await until(() => sent.length === 1);
      await client.delete(ref);
      await until(() => adapters?.count === 0);
      await until(() => places.keys().length === 0, source.metadata?.uid);
    });
  });

  it("count what they send, put off and give up, as long as there is the source", async () => {
    const registry = new MetricRegistry();
    metrics = new SourceMetrics(registry);
    const made = await make(pingSources, "minutely", {});
    let tries = 0;
    answer = () => (++tries < 3 ? refused : tries === 4 ? { ...refused, status: 400, isRetryable: false } : taken);
    await start();
    await clock.advance(30_000);
    await clock.advance(1000);
    await until(() => sent.length === 1);
    await clock.advance(60_000);
    await until(() => tries === 4);
    await clock.advance(0);

    const text = metricText(registry.snapshot());
    const labels = 'namespace_name="default",name="minutely",resource_group="pingsources.sources.knative.dev"';
    for (const line of [
      `source_event_count{${labels},response_code="503",response_code_class="5xx"} 2`,
      `source_event_count{${labels},response_code="202",response_code_class="2xx"} 1`,
      `source_retry_event_count{${labels}} 2`,
      `source_failed_total{${labels}} 1`,
      `source_lag_milliseconds{${labels}} 150`,
    ])
      assert(text.includes(`${line}\n`), `${line} is not in\n${text}`);
    const [facts] = metrics.all();
    assert.deepEqual([facts?.sent, facts?.retried, facts?.failed, facts?.waitingSince], [1, 2, 1, undefined]);
    assert.equal(facts?.lastFailure?.status, 400);
    await client.delete({ resource: pingSources, namespace: "default", name: made.metadata?.name ?? "" });
    await until(() => metrics.all().length === 0);
    assert.equal(metricText(registry.snapshot()), "");
  });

  describe("ApiServerSource", () => {
    const spec = { resources: [{ apiVersion: "v1", kind: "Pod" }], mode: "Reference", serviceAccountName: "auditor" };

    async function watching(): Promise<void> {
      await until(() => places.keys().some((key) => key.startsWith("apiserver/")));
      await until(() => transport.watchCount === 5, "the watch");
    }

    it("tells of what is made, changed and deleted, as its service account sees it", async () => {
      await make(pods, "old", {});
      await make(apiServerSources, "audit", spec);
      await start();
      await watching();

      await make(pods, "web", { nodeName: "a" });
      await client.patch(
        { resource: pods, namespace: "default", name: "web" },
        { type: "merge", body: { spec: { nodeName: "b" } } },
      );
      await client.delete({ resource: pods, namespace: "default", name: "web" }, { gracePeriodSeconds: 0 });
      await until(() => sent.length >= 3);

      assert.deepEqual(
        attribute("type"),
        ["add", "update", "delete"].map((verb) => `dev.knative.apiserver.ref.${verb}`),
      );
      assert.deepEqual(attribute("subject"), Array(3).fill("/apis/v1/namespaces/default/pods/web"));
      assert.deepEqual(attribute("source"), Array(3).fill("https://10.41.0.1:443"));
      assert.deepEqual(json(sent[0]), { kind: "Pod", namespace: "default", name: "web", apiVersion: "v1" });
      assert.deepEqual(accounts, ["default/auditor"]);
    });

    it("goes on after a restart where it was: nothing is lost, nothing comes twice", async () => {
      await make(apiServerSources, "audit", { ...spec, mode: "Resource" });
      await start();
      await watching();
      await make(pods, "one", {});
      await until(() => sent.length === 1);
      await stop();
      await make(pods, "two", {});

      await start();
      await until(() => sent.length >= 2);

      assert.deepEqual(attribute("name"), ["one", "two"]);
      assert.equal((json(sent[1]) as KubeObject).metadata?.name, "two");
      assert.deepEqual(attribute("type")[1], "dev.knative.apiserver.resource.add");
    });

    it("finds what has changed when the server has forgotten where it was", async () => {
      await make(pods, "old", {});
      await make(apiServerSources, "audit", spec);
      await start();
      await watching();
      await stop();
      await clock.advance(1000);
      await make(pods, "new", {});
      await client.patch(
        { resource: pods, namespace: "default", name: "old" },
        { type: "merge", body: { spec: { nodeName: "b" } } },
      );
      transport.compact();

      await start();
      await until(() => sent.length >= 2);

      const told = sent.map(
        ({ attributes }) => `${String(attributes.get("type")).split(".").at(-1)} ${attributes.get("name")}`,
      );
      assert.deepEqual(told.toSorted(), ["add new", "update old"]);
    });

    it("tells only of what its filters and its owner let through", async () => {
      const owner = { apiVersion: "apps/v1", kind: "ReplicaSet" };
      await make(apiServerSources, "audit", { ...spec, owner, filters: [{ prefix: { name: "web" } }] });
      await start();
      await watching();

      const ownerReferences = [{ ...owner, name: "web", uid: "1", controller: true }];
      for (const [name, owners] of [
        ["web-1", ownerReferences],
        ["web-2", []],
        ["job-1", ownerReferences],
      ] as const)
        await client.create({ resource: pods, namespace: "default" }, {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name, namespace: "default", ownerReferences: owners },
        } as KubeObject);
      await make(pods, "last", {});
      await client.create({ resource: pods, namespace: "default" }, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "web-3", namespace: "default", ownerReferences },
      } as KubeObject);
      await until(() => sent.length >= 2);

      assert.deepEqual(attribute("name"), ["web-1", "web-3"]);
    });

    it("does not run without permissions", async () => {
      await make(apiServerSources, "audit", spec, { sinkUri: "http://sink" });
      await start();

      assert.equal(adapters?.count, 0);
    });
  });

  describe("ObjectSource", () => {
    const told = () =>
      sent.map(({ attributes }) => `${String(attributes.get("type")).split(".").at(-1)} ${attributes.get("subject")}`);
    const spec = { bucket: "uploads", pattern: "**/*.png" };

    /** Lets the kernel's notices come in, and the quiet pass. */
    async function untilTold(...expected: readonly string[]): Promise<void> {
      await until(async () => {
        await clock.advance(300);
        return expected.every((one) => told().includes(one));
      }, expected.join(", "));
    }

    it("tells of every file that is there, comes, changes or goes", async () => {
      writeFileSync(join(folder, "a.png"), "aaa");
      writeFileSync(join(folder, "a.txt"), "no");
      await make(objectSources, "uploads", spec, { ...ready, path: folder });
      await start();
      await untilTold("created a.png");

      mkdirSync(join(folder, "deep/er"), { recursive: true });
      writeFileSync(join(folder, "deep/er/b.png"), "bb");
      await untilTold("created deep/er/b.png");
      writeFileSync(join(folder, "a.png"), "aaaa");
      await untilTold("updated a.png");
      renameSync(join(folder, "deep"), join(folder, "gone"));
      await untilTold("deleted deep/er/b.png", "created gone/er/b.png");

      assert.equal(told().length, 5);
      assert.deepEqual(Object.keys(json(sent[0]) as object), ["bucket", "key", "size", "etag", "modified"]);
      assert.equal(
        sent[0]?.attributes.get("source"),
        "/apis/nodeless.dev/v1alpha1/namespaces/default/objectsources/uploads",
      );
    });

    it("finds what was written while the process was away, and tells of nothing twice", async () => {
      writeFileSync(join(folder, "a.png"), "a");
      writeFileSync(join(folder, "b.png"), "b");
      await make(objectSources, "uploads", spec, { ...ready, path: folder });
      await start();
      await untilTold("created a.png", "created b.png");
      await stop();
      sent = [];
      writeFileSync(join(folder, "c.png"), "c");
      rmSync(join(folder, "b.png"));

      await start();
      await untilTold("created c.png", "deleted b.png");

      assert.equal(sent.length, 2);
    });

    it("brings the file itself when it is asked to, and facts when that is too much for the sink", async () => {
      writeFileSync(join(folder, "a.png"), Buffer.from([1, 2, 3]));
      writeFileSync(join(folder, "big.png"), Buffer.alloc(1000));
      answer = ({ data }) =>
        data?.length === 1000
          ? { kind: "refused", status: 413, isRetryable: false, retryAfterMs: undefined, why: "" }
          : { kind: "taken", status: 202 };
      await make(objectSources, "uploads", { ...spec, mode: "Content" }, { ...ready, path: folder });
      await start();
      await untilTold("created a.png", "created big.png");

      assert.deepEqual(attribute("datacontenttype"), ["image/png", "application/json"]);
      assert.deepEqual([...(sent[0]?.data ?? [])], [1, 2, 3]);
    });

    it("follows no links", async () => {
      writeFileSync(join(folder, "z.png"), "z");
      symlinkSync("/etc/hostname", join(folder, "a.png"));
      symlinkSync("/etc", join(folder, "b"));
      await make(objectSources, "uploads", { ...spec, pattern: "**", mode: "Content" }, { ...ready, path: folder });
      await start();
      await untilTold("created z.png");

      assert.deepEqual(told(), ["created z.png"]);
    });

    it("takes no notice of files that are not finished", async () => {
      await make(objectSources, "uploads", { ...spec, pattern: "" }, { ...ready, path: folder });
      await start();
      await until(() => adapters?.count === 1);
      writeFileSync(join(folder, "a.png.part"), "half");
      writeFileSync(join(folder, ".hidden"), "x");
      renameSync(join(folder, "a.png.part"), join(folder, "a.png"));
      await untilTold("created a.png");

      assert.deepEqual(told(), ["created a.png"]);
    });
  });

  describe("GitSource", () => {
    const repositories = { group: "nodeless.dev", version: "v1alpha1", resource: "repositories" };
    const at = { resource: repositories, namespace: "default", name: "site" };
    const spec = { repository: "site", branches: ["main", "feature/*"] };
    let pushes: readonly object[];

    beforeEach(async () => {
      pushes = [];
      const metadata = { name: "site", namespace: "default" };
      const repository = { apiVersion: "nodeless.dev/v1alpha1", kind: "Repository", metadata };
      await client.create({ resource: repositories, namespace: "default" }, repository);
    });

    async function push(branch: string, commit: string, more: object = {}): Promise<void> {
      const number = pushes.length + 1;
      const time = "2026-01-01T11:00:00Z";
      pushes = [...pushes, { number, branch, commit, user: "jane", time, ...more }];
      const status = { pushes: pushes.slice(-3) };
      await client.patch({ ...at, subresource: "status" }, { type: "merge", body: { status } });
    }

    it("tells of each push to the branches that it is about, once and in order, whenever it comes back", async () => {
      await make(gitSources, "pushes", spec);
      await start();
      await until(() => places.keys().length > 0);

      await push("main", "aaa");
      await until(() => sent.length === 1);
      await stop();
      await push("main", "bbb", { before: "aaa" });
      await push("other", "ccc");
      await push("main", "aaa", { before: "bbb" });
      await start();
      await until(() => sent.length === 3);
      await push("feature/x", "ddd");
      await until(() => sent.length === 4);

      assert.deepEqual(attribute("subject"), ["main", "main", "main", "feature/x"]);
      assert.deepEqual(attribute("commit"), ["aaa", "bbb", "aaa", "ddd"]);
      assert.equal(new Set(attribute("id")).size, 4, "a branch that goes back is news");
      assert.deepEqual(attribute("type"), Array(4).fill("dev.nodeless.git.push"));
      assert.deepEqual(json(sent[1]), {
        repository: "site",
        branch: "main",
        ref: "refs/heads/main",
        commit: "bbb",
        before: "aaa",
        user: "jane",
      });
    });

    it("tells nothing of what was pushed before it was made, and begins anew with another repository of the name", async () => {
      await push("main", "old", { time: "2025-01-01T00:00:00Z" });
      await make(gitSources, "pushes", spec);
      await start();
      await until(() => places.keys().length > 0);
      await push("main", "new");
      await until(() => sent.length === 1);
      const { metadata } = await client.get<KubeObject>(at);
      await client.delete(at);
      pushes = [];
      const again = {
        apiVersion: "nodeless.dev/v1alpha1",
        kind: "Repository",
        metadata: { name: "site", namespace: "default" },
      };
      const { metadata: made } = await client.create<KubeObject>(
        { resource: repositories, namespace: "default" },
        again,
      );
      assert.notEqual(made?.uid, metadata?.uid);
      await push("main", "first");
      await until(() => sent.length === 2);

      assert.deepEqual(attribute("commit"), ["new", "first"]);
    });
  });
});

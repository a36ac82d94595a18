import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event, Node, Pod } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import type { FakeHook } from "#client/testing/fake-transport.ts";
import { settle } from "#client/testing/settle.ts";
import { createScheduler } from "./scheduler.ts";

const core = (resource: string) => ({ group: "", version: "v1", resource });

function node(name: string, more: { labels?: Record<string, string>; spec?: object; cpu?: string } = {}): Node {
  const allocatable = { cpu: more.cpu ?? "4", memory: "8Gi", pods: "110" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...more.labels } },
    spec: more.spec ?? {},
    status: { allocatable },
  } as Node;
}

function pod(name: string, spec: object = {}, metadata: object = {}): Pod {
  const container = { name: "c", image: "web", resources: { requests: { cpu: "100m" } } };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", ...metadata },
    spec: { containers: [container], ...spec },
  } as Pod;
}

function asking(cpu: string, more: object = {}): object {
  return { containers: [{ name: "c", resources: { requests: { cpu } } }], ...more };
}

async function setUp(nodes: readonly Node[], hook?: FakeHook) {
  const clock = new FakeClock();
  const client = createClient(new FakeTransport({ clock, ...(hook === undefined ? {} : { hook }) }));
  for (const one of nodes) await client.create({ resource: core("nodes") }, one);
  const informers = createInformerFactory({ client, clock, logger: silentLogger });
  const events = createEventRecorder({ client, component: "default-scheduler", clock, logger: silentLogger });
  const scheduler = createScheduler({ client, informers, events, clock, logger: silentLogger, random: () => 0.99 });
  const { signal } = new AbortController();
  await informers.start(signal);
  await scheduler.start(signal);
  const get = (name: string) => client.get<Pod>({ resource: core("pods"), namespace: "default", name });
  return {
    clock,
    client,
    create: async (...pods: readonly Pod[]) => {
      for (const one of pods) await client.create({ resource: core("pods"), namespace: "default" }, one);
      await settle(30);
    },
    patch: async (resource: string, name: string, body: object) => {
      const ref = { resource: core(resource), name, ...(resource === "nodes" ? {} : { namespace: "default" }) };
      await client.patch(ref, { type: "merge", body });
      await settle(30);
    },
    nodeOf: async (name: string) => (await get(name)).spec?.nodeName,
    conditionOf: async (name: string) =>
      (await get(name)).status?.conditions?.find(({ type }) => type === "PodScheduled"),
    events: async () => (await client.list<Event>({ resource: core("events") })).items,
    stop: async () => {
      await scheduler.stop();
      await events.stop();
      await informers.stop();
    },
  };
}

test("a pod is bound to a node that has room, and an Event says so", async () => {
  const cluster = await setUp([node("small", { cpu: "1" }), node("large")]);

  await cluster.create(pod("web", asking("2")));

  assert.equal(await cluster.nodeOf("web"), "large");
  assert.equal((await cluster.conditionOf("web"))?.status, "True");
  const [event] = await cluster.events();
  assert.equal(event?.reason, "Scheduled");
  assert.equal(event?.message, "Successfully assigned default/web to large");
  await cluster.stop();
});

test("pods spread to the nodes with more left", async () => {
  const cluster = await setUp([node("a"), node("b")]);

  await cluster.create(pod("one", asking("1")), pod("two", asking("1")));

  assert.notEqual(await cluster.nodeOf("one"), await cluster.nodeOf("two"));
  await cluster.stop();
});

test("a pod whose claims are missing or not bound waits for them, and no longer", async () => {
  const cluster = await setUp([node("a"), node("b")]);
  const claims = { resource: core("persistentvolumeclaims"), namespace: "default" };
  const volumes = [{ name: "data", persistentVolumeClaim: { claimName: "data" } }];
  const why = async () => (await cluster.conditionOf("db"))?.message;
  const preemption = "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";

  await cluster.create(pod("db", { ...asking("1"), volumes }), pod("free", asking("1")));
  assert.equal(await why(), `0/2 nodes are available: persistentvolumeclaim "data" not found. ${preemption}`);
  assert.notEqual(await cluster.nodeOf("free"), undefined);

  const claim = { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name: "data", namespace: "default" } };
  await cluster.client.create(claims, claim);
  await settle(30);
  assert.equal(await why(), `0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. ${preemption}`);

  const annotations = { "pv.kubernetes.io/bind-completed": "yes" };
  await cluster.patch("persistentvolumeclaims", "data", { metadata: { annotations }, spec: { volumeName: "pv" } });
  assert.notEqual(await cluster.nodeOf("db"), undefined);
  await cluster.stop();
});

test("a pod without room says why, and is bound as soon as another one leaves", async () => {
  const cluster = await setUp([node("a", { cpu: "1" })]);
  await cluster.create(pod("first", asking("800m")), pod("second", asking("800m")));
  const waiting = (await cluster.nodeOf("first")) === undefined ? "first" : "second";
  const condition = await cluster.conditionOf(waiting);
  assert.equal(condition?.reason, "Unschedulable");
  assert.match(condition?.message ?? "", /^0\/1 nodes are available: 1 Insufficient cpu\./);
  assert.ok((await cluster.events()).some((event) => event.reason === "FailedScheduling"));

  const other = waiting === "first" ? "second" : "first";
  await cluster.client.delete({ resource: core("pods"), namespace: "default", name: other }, { gracePeriodSeconds: 0 });
  await settle(30);

  assert.equal(await cluster.nodeOf(waiting), "a");
  await cluster.stop();
});

test("a pod waits for the first node, and not for a back-off when it comes", async () => {
  const cluster = await setUp([]);
  await cluster.create(pod("web"));
  assert.equal((await cluster.conditionOf("web"))?.message, "no nodes available to schedule pods");

  await cluster.client.create({ resource: core("nodes") }, node("a"));
  await settle(30);

  assert.equal(await cluster.nodeOf("web"), "a");
  await cluster.stop();
});

test("taints, cordons, selectors, names and ports keep pods off nodes", async () => {
  const taints = [{ key: "gpu", value: "yes", effect: "NoSchedule" }];
  const cluster = await setUp([
    node("tainted", { spec: { taints }, labels: { disk: "ssd" } }),
    node("cordoned", { spec: { unschedulable: true }, labels: { disk: "ssd" } }),
    node("plain", { labels: { disk: "hdd" } }),
  ]);
  const tolerations = [{ key: "gpu", operator: "Exists" }];

  await cluster.create(
    pod("simple"),
    pod("selecting", { nodeSelector: { disk: "ssd" } }),
    pod("tolerating", { nodeSelector: { disk: "ssd" }, tolerations }),
    pod("port", {
      nodeSelector: { disk: "hdd" },
      containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: 80 }] }],
    }),
    pod("port-again", {
      nodeSelector: { disk: "hdd" },
      containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: 80 }] }],
    }),
  );

  assert.equal(await cluster.nodeOf("simple"), "plain");
  assert.equal(await cluster.nodeOf("tolerating"), "tainted");
  assert.equal(
    (await cluster.conditionOf("selecting"))?.message?.split(" preemption:")[0],
    "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
  );
  const ports = [await cluster.nodeOf("port"), await cluster.nodeOf("port-again")];
  assert.deepEqual(ports.sort(), ["plain", undefined]);
  await cluster.stop();
});

test("uncordoning a node brings back the pods that waited for it", async () => {
  const cluster = await setUp([node("a", { spec: { unschedulable: true } })]);
  await cluster.create(pod("web"));
  await cluster.clock.advance(2000);

  await cluster.patch("nodes", "a", { spec: { unschedulable: null } });

  assert.equal(await cluster.nodeOf("web"), "a");
  await cluster.stop();
});

test("required node affinity limits, preferred node affinity chooses", async () => {
  const cluster = await setUp(["a", "b", "c"].map((name) => node(name, { labels: { name } })));
  const inNames = (...values: string[]) => ({ matchExpressions: [{ key: "name", operator: "In", values }] });
  const nodeAffinity = {
    requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [inNames("a", "c")] },
    preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: inNames("c", "b") }],
  };

  await cluster.create(pod("web", { affinity: { nodeAffinity } }));

  assert.equal(await cluster.nodeOf("web"), "c");
  await cluster.stop();
});

test("a gated pod is not tried until its gates are gone", async () => {
  const cluster = await setUp([node("a")]);
  await cluster.create(pod("web", { schedulingGates: [{ name: "wait" }] }));
  assert.equal(await cluster.nodeOf("web"), undefined);

  await cluster.patch("pods", "web", { spec: { schedulingGates: null } });

  assert.equal(await cluster.nodeOf("web"), "a");
  await cluster.stop();
});

test("pods that will not be together are kept apart, also by those that run already", async () => {
  const cluster = await setUp([node("a"), node("b")]);
  const term = { labelSelector: { matchLabels: { app: "db" } }, topologyKey: "kubernetes.io/hostname" };
  const affinity = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
  const labels = { app: "db" };

  await cluster.create(pod("one", { affinity }, { labels }));
  await cluster.create(pod("two", {}, { labels }));
  await cluster.create(pod("three", { affinity }, { labels }));

  assert.deepEqual([await cluster.nodeOf("one"), await cluster.nodeOf("two")].sort(), ["a", "b"]);
  assert.equal(await cluster.nodeOf("three"), undefined);
  assert.match((await cluster.conditionOf("three"))?.message ?? "", /2 node\(s\) didn't match pod anti-affinity rules/);
  await cluster.stop();
});

test("pods that must be together go to the same zone, and the first of them anywhere", async () => {
  const zone = (name: string) => ({ labels: { "topology.kubernetes.io/zone": name } });
  const cluster = await setUp([node("a1", zone("a")), node("a2", zone("a")), node("b1", zone("b"))]);
  const term = { labelSelector: { matchLabels: { app: "web" } }, topologyKey: "topology.kubernetes.io/zone" };
  const affinity = { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
  const labels = { app: "web" };

  for (const name of ["one", "two", "three"]) await cluster.create(pod(name, { affinity }, { labels }));

  const zones = new Set<string | undefined>();
  for (const name of ["one", "two", "three"]) zones.add((await cluster.nodeOf(name))?.[0]);
  assert.equal(zones.size, 1);
  await cluster.stop();
});

test("preferred affinity draws pods to others", async () => {
  const cluster = await setUp([node("a"), node("b"), node("c")]);
  await cluster.create(pod("cache", {}, { labels: { app: "cache" } }));
  const podAffinityTerm = { labelSelector: { matchLabels: { app: "cache" } }, topologyKey: "kubernetes.io/hostname" };
  const preferred = [{ weight: 100, podAffinityTerm }];
  const affinity = { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred } };

  await cluster.create(pod("web", { affinity }));

  assert.equal(await cluster.nodeOf("web"), await cluster.nodeOf("cache"));
  await cluster.stop();
});

test("a spread constraint keeps zones level and refuses what would tip them", async () => {
  const zone = (name: string) => ({ labels: { "topology.kubernetes.io/zone": name } });
  const cluster = await setUp([node("a", zone("a")), node("b", { ...zone("b"), cpu: "300m" })]);
  const constraint = {
    maxSkew: 1,
    topologyKey: "topology.kubernetes.io/zone",
    whenUnsatisfiable: "DoNotSchedule",
    labelSelector: { matchLabels: { app: "web" } },
  };
  const spec = asking("200m", { topologySpreadConstraints: [constraint] });

  for (const name of ["one", "two", "three", "four"]) await cluster.create(pod(name, spec, { labels: { app: "web" } }));

  const placed = await Promise.all(["one", "two", "three", "four"].map((name) => cluster.nodeOf(name)));
  assert.deepEqual(placed.slice(0, 2).sort(), ["a", "b"]);
  assert.equal(placed[2], "a");
  assert.equal(placed[3], undefined);
  await cluster.stop();
});

test("replicas of one controller spread over nodes without being told", async () => {
  const cluster = await setUp([node("a"), node("b"), node("c")]);
  const ownerReferences = [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "rs", uid: "rs-1", controller: true }];

  for (const name of ["one", "two", "three"])
    await cluster.create(pod(name, { containers: [{ name: "c" }] }, { ownerReferences }));

  const placed = await Promise.all(["one", "two", "three"].map((name) => cluster.nodeOf(name)));
  assert.deepEqual(placed.sort(), ["a", "b", "c"]);
  await cluster.stop();
});

test("pods of other schedulers are left alone", async () => {
  const cluster = await setUp([node("a")]);

  await cluster.create(pod("web", { schedulerName: "mine" }));

  assert.equal(await cluster.nodeOf("web"), undefined);
  await cluster.stop();
});

test("a binding that fails is tried again", async () => {
  let failures = 0;
  const cluster = await setUp([node("a")], (_request, target) => {
    if (target.subresource !== "binding" || failures++ > 0) return;
    throw new StatusError({ reason: "InternalError", code: 500, message: "disk full" });
  });

  await cluster.create(pod("web"));
  assert.equal((await cluster.conditionOf("web"))?.reason, "SchedulerError");
  await cluster.clock.advance(1000);
  await settle(30);

  assert.equal(await cluster.nodeOf("web"), "a");
  await cluster.stop();
});

test("a more important pod takes the place of the least important ones", async () => {
  const cluster = await setUp([node("a", { cpu: "1" }), node("b", { cpu: "1" })]);
  await cluster.create(pod("low", asking("800m", { priority: 1 })));
  await cluster.create(pod("middle", asking("800m", { priority: 5 })));
  const lowNode = await cluster.nodeOf("low");

  await cluster.create(pod("high", asking("800m", { priority: 10 })));

  const victim = await cluster.client.get<Pod>({ resource: core("pods"), namespace: "default", name: "low" });
  assert.ok(victim.metadata?.deletionTimestamp);
  const target = victim.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
  assert.equal(target?.reason, "PreemptionByScheduler");
  const high = await cluster.client.get<Pod>({ resource: core("pods"), namespace: "default", name: "high" });
  assert.equal(high.status?.nominatedNodeName, lowNode);
  await cluster.client.delete({ resource: core("pods"), namespace: "default", name: "low" }, { gracePeriodSeconds: 0 });
  await settle(30);
  await cluster.clock.advance(1000);
  await settle(30);
  assert.equal(await cluster.nodeOf("high"), lowNode);
  await cluster.stop();
});

test("room that was made for one pod is not given to a less important one", async () => {
  const cluster = await setUp([node("a", { cpu: "1" })]);
  await cluster.create(pod("low", asking("800m", { priority: 1 })));
  await cluster.create(pod("high", asking("800m", { priority: 10 })));
  await cluster.create(pod("middle", asking("800m", { priority: 5 })));

  await cluster.client.delete({ resource: core("pods"), namespace: "default", name: "low" }, { gracePeriodSeconds: 0 });
  await settle(30);
  await cluster.clock.advance(1500);
  await settle(30);

  assert.equal(await cluster.nodeOf("high"), "a");
  assert.equal(await cluster.nodeOf("middle"), undefined);
  await cluster.stop();
});

test("when preemption does not help the message says why", async () => {
  const cluster = await setUp([node("a", { cpu: "1" })]);

  await cluster.create(pod("first", asking("800m")), pod("second", asking("800m")), pod("huge", asking("64")));

  const messages = await Promise.all(
    ["first", "second", "huge"].map(async (name) => (await cluster.conditionOf(name))?.message),
  );
  assert.ok(
    messages.includes(
      "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
    ),
  );
  assert.ok(
    messages.includes(
      "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
    ),
  );
  await cluster.stop();
});

test("more important pods come first", async () => {
  const cluster = await setUp([node("a", { cpu: "1" })]);

  await Promise.all([
    cluster.create(pod("low", asking("800m", { priority: 0, preemptionPolicy: "Never" }))),
    cluster.create(pod("high", asking("800m", { priority: 10 }))),
  ]);

  assert.equal(await cluster.nodeOf("high"), "a");
  await cluster.stop();
});

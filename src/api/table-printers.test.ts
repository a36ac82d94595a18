import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import { loadKindFacts } from "./kind-facts-table.ts";
import type { Draft } from "./strategy.ts";
import { AGES_LATER, withAges } from "./printers/cells.ts";
import { findTablePrinter } from "./table-printers.ts";

const now = Date.parse("2026-01-01T01:00:00Z");
const anHourAgo = "2026-01-01T00:00:00Z";

test("every resource has a printer that copes with objects without any values", () => {
  const facts = loadKindFacts();
  const codec = new ProtobufCodec();

  for (const { group, version, resource, kind } of facts.resources) {
    const schema = facts.schemaOf(group, version, kind);
    assert(schema);
    const printer = findTablePrinter(group, resource);
    for (const object of [{ metadata: { name: "a" } }, codec.decode(schema, new Uint8Array())]) {
      const cells = printer.row(object, now);
      assert.equal(cells.length, printer.columns.length, resource);
      for (const cell of cells) assert(["string", "number", "boolean"].includes(typeof cell), `${resource}: ${cell}`);
    }
  }
});

test("a row whose ages are put in later is the row that is printed at once", () => {
  const started = { state: { running: {} }, restartCount: 2, lastState: { terminated: { finishedAt: anHourAgo } } };
  const object = {
    metadata: { name: 'a "quoted" \\u0001 1', creationTimestamp: "2025-12-01T00:00:00Z" },
    firstTimestamp: anHourAgo,
    lastTimestamp: "2026-01-01T00:59:00Z",
    series: { count: 2, lastObservedTime: "2026-01-01T00:59:30.000000Z" },
    status: { startTime: anHourAgo, lastScheduleTime: anHourAgo, containerStatuses: [started] },
  };
  let dated = 0;
  for (const { group, resource } of loadKindFacts().resources) {
    const printer = findTablePrinter(group, resource);
    const template = JSON.stringify(printer.row(object, AGES_LATER));
    const atOnce = JSON.stringify(printer.row(object, now));
    dated += Number(template !== atOnce);
    assert.equal(withAges(template, now), atOnce, resource);
  }
  assert(dated > 20);
});

test("no printer looks at a field of which it says that it does not", () => {
  let fields = 0;
  const state = { running: {}, terminated: { exitCode: 1 }, waiting: { reason: "x" } };
  const container = {
    name: "c",
    restartPolicy: "Always",
    ready: true,
    started: true,
    restartCount: 2,
    state,
    lastState: state,
  };
  const containers = [container, { ...container, name: "d" }];
  const conditions = [
    { type: "Ready", status: "True" },
    { type: "PodScheduled", reason: "SchedulingGated" },
  ];
  const statuses = { containerStatuses: containers, initContainerStatuses: containers, conditions };
  for (const { group, resource } of loadKindFacts().resources) {
    const { row, conditions: told, unread = [] } = findTablePrinter(group, resource);
    fields += unread.length;
    const watched: ProxyHandler<object> = {
      get(target, name) {
        assert(!unread.includes(String(name)), `${resource} looks at ${String(name)}`);
        const value: unknown = Reflect.get(target, name);
        return typeof value === "object" && value !== null ? new Proxy(value, watched) : value;
      },
    };
    for (const phase of ["Running", "Succeeded", "Failed", "Pending"]) {
      const spec = { containers, initContainers: containers, readinessGates: [{ conditionType: "Ready" }] };
      const object = new Proxy({ metadata: { name: "a" }, spec, status: { phase, ...statuses } }, watched);
      assert(row(object, now).length > 0);
      told?.(object);
    }
  }
  assert(fields > 0);
});

test("kinds that nobody wrote columns for show name and creation time", () => {
  const printer = findTablePrinter("rbac.authorization.k8s.io", "roles");

  assert.deepEqual(
    printer.columns.map(({ name }) => name),
    ["Name", "Created At"],
  );
  assert.deepEqual(printer.row({ metadata: { name: "a", creationTimestamp: anHourAgo } }, now), ["a", anHourAgo]);
});

test("a running pod shows readiness, restarts with their age, address and node", () => {
  const cells = pod({
    spec: { nodeName: "n1", containers: [{}, {}] },
    status: {
      phase: "Running",
      podIPs: [{ ip: "10.0.0.1" }],
      containerStatuses: [
        { ready: true, restartCount: 2, state: { running: {} }, lastState: { terminated: { finishedAt: anHourAgo } } },
        { ready: false, restartCount: 0, state: { running: {} } },
      ],
    },
  });

  assert.deepEqual(cells, ["web", "1/2", "Running", "2 (60m ago)", "60m", "10.0.0.1", "n1", "<none>", "<none>"]);
});

test("the word that sums a pod up is upstream's", () => {
  const waiting = (reason: string) => ({ state: { waiting: { reason } } });
  const terminated = (more: object) => ({ state: { terminated: more } });
  const cases: [string, Draft][] = [
    ["Pending", { status: { phase: "Pending" } }],
    [
      "SchedulingGated",
      { status: { phase: "Pending", conditions: [{ type: "PodScheduled", reason: "SchedulingGated" }] } },
    ],
    ["Evicted", { status: { phase: "Failed", reason: "Evicted" } }],
    ["CrashLoopBackOff", { status: { phase: "Running", containerStatuses: [waiting("CrashLoopBackOff")] } }],
    ["Error", { status: { phase: "Failed", containerStatuses: [terminated({ reason: "Error", exitCode: 1 })] } }],
    ["ExitCode:3", { status: { phase: "Failed", containerStatuses: [terminated({ exitCode: 3 })] } }],
    ["Signal:9", { status: { phase: "Failed", containerStatuses: [terminated({ signal: 9, exitCode: 137 })] } }],
    [
      "Completed",
      { status: { phase: "Succeeded", containerStatuses: [terminated({ reason: "Completed", exitCode: 0 })] } },
    ],
    [
      "NotReady",
      {
        status: {
          phase: "Running",
          containerStatuses: [
            terminated({ reason: "Completed", exitCode: 0 }),
            { ready: true, state: { running: {} } },
          ],
        },
      },
    ],
    [
      "Init:0/2",
      { spec: { initContainers: [{}, {}] }, status: { initContainerStatuses: [waiting("PodInitializing")] } },
    ],
    ["Init:ErrImagePull", { status: { initContainerStatuses: [waiting("ErrImagePull")] } }],
    ["Init:ExitCode:2", { status: { initContainerStatuses: [terminated({ exitCode: 2 })] } }],
    ["Terminating", { metadata: { deletionTimestamp: anHourAgo }, status: { phase: "Running" } }],
    ["Unknown", { metadata: { deletionTimestamp: anHourAgo }, status: { phase: "Running", reason: "NodeLost" } }],
  ];

  for (const [word, object] of cases) assert.equal(pod(object)[2], word);
});

test("sidecars count as containers of the pod", () => {
  const cells = pod({
    spec: { containers: [{ name: "main" }], initContainers: [{ name: "proxy", restartPolicy: "Always" }] },
    status: {
      phase: "Running",
      initContainerStatuses: [{ name: "proxy", started: true, ready: true, restartCount: 1, state: { running: {} } }],
      containerStatuses: [{ name: "main", ready: true, state: { running: {} } }],
    },
  });

  assert.deepEqual(cells.slice(1, 4), ["2/2", "Running", "1"]);
});

test("a pod that is over is marked as completed", () => {
  const { conditions } = findTablePrinter("", "pods");

  assert.equal(conditions?.({ status: { phase: "Succeeded" } })[0]?.type, "Completed");
  assert.deepEqual(conditions?.({ status: { phase: "Running" } }), []);
});

test("Services show the addresses that their type has", () => {
  const row = (spec: Draft, status: Draft = {}) =>
    findTablePrinter("", "services").row({ metadata: { name: "s" }, spec, status }, now);
  const ports = [
    { port: 80, nodePort: 30080, protocol: "TCP" },
    { port: 53, protocol: "UDP" },
  ];

  assert.deepEqual(row({ type: "ClusterIP", clusterIPs: ["10.1.0.1"], ports }).slice(1, 5), [
    "ClusterIP",
    "10.1.0.1",
    "<none>",
    "80:30080/TCP,53/UDP",
  ]);
  assert.equal(row({ type: "LoadBalancer" })[3], "<pending>");
  assert.equal(row({ type: "LoadBalancer" }, { loadBalancer: { ingress: [{ ip: "1.2.3.4" }] } })[3], "1.2.3.4");
  assert.equal(row({ type: "ExternalName", externalName: "example.com" })[3], "example.com");
});

test("an autoscaler shows each metric's current value and target", () => {
  const resource = { type: "Resource", resource: { name: "cpu", target: { averageUtilization: 80 } } };
  const pods = { type: "Pods", pods: { target: { averageValue: "10" } } };
  const spec = { scaleTargetRef: { kind: "Deployment", name: "web" }, maxReplicas: 3, metrics: [resource, pods, pods] };
  const status = { currentMetrics: [{ resource: { current: { averageUtilization: 12 } } }] };

  const cells = findTablePrinter("autoscaling", "horizontalpodautoscalers").row({ spec, status }, now);

  assert.equal(cells[2], "cpu: 12%/80%, <unknown>/10 + 1 more...");
});

test("events of both groups look the same", () => {
  const old = {
    metadata: { name: "e" },
    involvedObject: { kind: "Pod", name: "web" },
    lastTimestamp: anHourAgo,
    type: "Normal",
    reason: "Started",
    message: "Started it\n",
    source: { component: "kubelet", host: "n1" },
  };
  const { involvedObject, lastTimestamp, message, source, ...rest } = old;
  const fresh = {
    ...rest,
    regarding: involvedObject,
    deprecatedLastTimestamp: lastTimestamp,
    note: message,
    deprecatedSource: source,
  };

  const cells = findTablePrinter("", "events").row(old, now);

  assert.deepEqual(cells.slice(0, 7), ["60m", "Normal", "Started", "pod/web", "", "kubelet, n1", "Started it"]);
  assert.deepEqual(findTablePrinter("events.k8s.io", "events").row(fresh, now), cells);
});

function pod(object: Draft) {
  const metadata = { name: "web", creationTimestamp: anHourAgo, ...object["metadata"] };
  return findTablePrinter("", "pods").row({ ...object, metadata }, now);
}

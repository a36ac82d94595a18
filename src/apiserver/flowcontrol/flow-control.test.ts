/** Whose request is handled now, whose waits, whose is refused. */
import assert from "node:assert/strict";
import { request } from "node:https";
import { test } from "node:test";
import type { FlowSchema, PriorityLevelConfiguration } from "#api/generated/types/flowcontrol-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import type { RequestInfo, User } from "#apiserver/request.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import { type Flow, FlowControl } from "./flow-control.ts";
import type { Leave } from "./priority-level.ts";

const resourceOf = (resource: string) => ({ group: "flowcontrol.apiserver.k8s.io", version: "v1", resource });

function asks(verb: string, resource: string, about: Partial<RequestInfo> = {}): RequestInfo {
  const none = { path: "", apiGroup: "", apiVersion: "v1", namespace: "", subresource: "", name: "" };
  return { ...none, isResourceRequest: true, verb, resource, ...about };
}

function user(name: string, ...groups: readonly string[]): User {
  return { name, groups: [...groups, "system:authenticated"] };
}

const pods = asks("list", "pods", { namespace: "default" });
const healthz = { ...asks("get", ""), isResourceRequest: false, path: "/healthz" };

test("each request belongs where upstream's default schemas put it", () => {
  const control = new FlowControl(600, new FakeClock());
  const node = user("system:node:n1", "system:nodes");
  const account = user("system:serviceaccount:web:app", "system:serviceaccounts");
  const manager = user("system:serviceaccount:kube-system:job", "system:serviceaccounts");
  const lease = asks("update", "leases", { apiGroup: "coordination.k8s.io", namespace: "kube-node-lease" });
  const cases: [RequestInfo, User, string, string][] = [
    [pods, user("admin", "system:masters"), "exempt", "exempt "],
    [healthz, { name: "system:anonymous", groups: ["system:unauthenticated"] }, "exempt", "probes "],
    [lease, node, "node-high", "system-node-high system:node:n1"],
    [
      asks("patch", "nodes", { subresource: "status", name: "n1" }),
      node,
      "node-high",
      "system-node-high system:node:n1",
    ],
    [pods, node, "system", "system-nodes system:node:n1"],
    [lease, user("system:kube-scheduler"), "leader-election", "system-leader-election system:kube-scheduler"],
    [pods, user("system:kube-scheduler"), "workload-high", "kube-scheduler default"],
    [pods, manager, "workload-high", "kube-system-service-accounts default"],
    [pods, account, "workload-low", "service-accounts system:serviceaccount:web:app"],
    [pods, user("ann"), "global-default", "global-default ann"],
  ];

  for (const [info, who, level, distinguisher] of cases) {
    const flow = control.classify(info, who);
    assert.deepEqual([flow?.level.name, flow?.distinguisher], [level, distinguisher]);
  }
});

test("the seats are shared out as upstream shares them", () => {
  const control = new FlowControl(600, new FakeClock());
  const { level } = control.classify(pods, user("ann")) as Flow;
  const low = control.classify(pods, user("system:serviceaccount:a:b", "system:serviceaccounts")) as Flow;

  assert.deepEqual([level.seats, level.lendable, low.level.seats, low.level.lendable], [49, 25, 245, 221]);
});

/** One level of `seats` own seats with queues, for everybody; nothing to borrow. */
function narrow(seats: number, clock: FakeClock): { control: FlowControl; flow: (name: string) => Flow } {
  const control = new FlowControl(seats, clock);
  const queuing = { queues: 64, handSize: 6, queueLengthLimit: 3 };
  const limited = { nominalConcurrencyShares: 100_000, limitResponse: { type: "Queue", queuing } };
  const level = { metadata: { name: "narrow" }, spec: { type: "Limited", limited } } as PriorityLevelConfiguration;
  const all = { verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"] };
  const schema: FlowSchema = {
    metadata: { name: "everybody" },
    spec: {
      priorityLevelConfiguration: { name: "narrow" },
      distinguisherMethod: { type: "ByUser" },
      rules: [{ subjects: [{ kind: "Group", group: { name: "*" } }], resourceRules: [all] }],
    },
  };
  control.configure([schema], [level]);
  return { control, flow: (name) => control.classify(pods, user(name)) as Flow };
}

test("what comes beyond the seats waits; a flow that asks for much is refused what another is given", async () => {
  const { control, flow } = narrow(2, new FakeClock());
  const order: string[] = [];
  const enter = (name: string): void => {
    void Promise.resolve(control.enter(flow(name))).then((leave) => order.push(name) && setImmediate(leave));
  };
  for (let i = 0; i < 2 + 18; i++) enter("greedy");
  assert.throws(() => enter("greedy"), { code: 429, reason: "TooManyRequests" });
  enter("modest");

  assert.deepEqual([control.count, control.waiting], [2, 19]);
  while (control.waiting > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(order.length, 21);
  assert.ok(order.indexOf("modest") < 20, "the modest flow's request was not the last");
});

test("who has waited for a quarter of a minute is refused", async () => {
  const clock = new FakeClock();
  const { control, flow } = narrow(1, clock);
  const leave = (await control.enter(flow("a"))) as Leave;
  const waiting = assert.rejects(Promise.resolve(control.enter(flow("b"))), { code: 429 });
  await clock.advance(15_001);
  await waiting;

  assert.equal(control.waiting, 0);
  leave();
  assert.equal(control.count, 0);
});

test("seats that their level lends and does not use may be borrowed, those that it keeps may not", () => {
  const control = new FlowControl(600, new FakeClock());
  const flow = control.classify(pods, user("ann")) as Flow;
  let seated = 0;
  for (; seated < 1000; seated++) if (control.enter(flow) instanceof Promise) break;

  // 600 but for what catch-all, system, node-high, leader-election, workload-high and workload-low keep for themselves.
  const kept = 13 + (74 - 24) + (98 - 25) + 25 + (98 - 49) + (245 - 221);
  assert.equal(seated, 600 - kept);
  const node = control.classify(pods, user("system:node:n1", "system:nodes")) as Flow;
  assert.equal(control.enter(node) instanceof Promise, false);
});

test("answers name their flow schema and priority level, and what people change of them counts", async () => {
  const server = await startTestApiServer({ https: true, access: accessOf() });
  const list = () => server.client.list<FlowSchema>({ resource: resourceOf("flowschemas") });
  const isDone = async () => {
    const { items } = await list();
    return items.length >= 11 && items.every(({ status }) => status?.conditions?.[0]?.status === "False");
  };
  while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 5));
  const { items } = await list();
  const uidOf = (name: string) => items.find(({ metadata }) => metadata?.name === name)?.metadata?.uid;
  const levels = await server.client.list<PriorityLevelConfiguration>({
    resource: resourceOf("prioritylevelconfigurations"),
  });
  const level = levels.items.find(({ metadata }) => metadata?.name === "global-default");

  const first = await headersOf(`${server.url}/api/v1/pods`, server.pki?.ca.certificate ?? "");
  assert.equal(first["x-kubernetes-pf-flowschema-uid"], uidOf("global-default"));
  assert.equal(first["x-kubernetes-pf-prioritylevel-uid"], level?.metadata?.uid);
  const own = await server.client.create<FlowSchema>({ resource: resourceOf("flowschemas") }, {
    metadata: { name: "own" },
    spec: {
      priorityLevelConfiguration: { name: "exempt" },
      matchingPrecedence: 3,
      rules: [
        {
          subjects: [{ kind: "User", user: { name: "ann" } }],
          resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"] }],
        },
      ],
    },
  } as FlowSchema);
  let now = first;
  while (now["x-kubernetes-pf-flowschema-uid"] !== own.metadata?.uid) {
    now = await headersOf(`${server.url}/api/v1/nothing`, server.pki?.ca.certificate ?? "");
  }
  await server.stop();
});

function accessOf() {
  const authenticator = { authenticate: async () => ({ user: user("ann") }) };
  return { authenticator, authorizer: { authorize: async () => ({ allowed: true, reason: "" }) }, admission: [] };
}

function headersOf(url: string, ca: string): Promise<Readonly<Record<string, unknown>>> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { ca, agent: false }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.headers));
    });
    asked.on("error", reject).end();
  });
}

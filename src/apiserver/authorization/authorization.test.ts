import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolume, Pod } from "#api/generated/types/core-v1.ts";
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from "#api/generated/types/rbac-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import type { RequestInfo, User } from "#apiserver/request.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeInformer } from "#client/testing/fake-informer.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { FakeClock, systemClock } from "#component-base/clock.ts";
import { createAuthorizer, forbiddenByAuthorizer } from "./authorizers.ts";
import { bootstrapRbacObjects, ensureRbacPolicy } from "./bootstrap-policy.ts";
import { EscalationCheck } from "./escalation.ts";
import { NodeAuthorizer } from "./node-authorizer.ts";
import { NodeGraph } from "./node-graph.ts";
import { RbacAuthorizer } from "./rbac-authorizer.ts";
import { RbacIndex } from "./rbac-index.ts";

const apiVersion = "rbac.authorization.k8s.io/v1";

async function rbac(extra: readonly KubeObject[] = []) {
  const objects = [...(await bootstrapRbacObjects()), ...extra];
  const of = <T extends KubeObject>(kind: string) =>
    new FakeInformer<T>(objects.filter((object) => object.kind === kind) as T[]);
  const informers = {
    roles: of<Role>("Role"),
    roleBindings: of<RoleBinding>("RoleBinding"),
    clusterRoles: of<ClusterRole>("ClusterRole"),
    clusterRoleBindings: of<ClusterRoleBinding>("ClusterRoleBinding"),
  };
  const index = new RbacIndex(informers);
  index.follow();
  const authorizer = new RbacAuthorizer(index);
  return { informers, index, rbac: authorizer, authorizer: createAuthorizer([authorizer]) };
}

function user(name: string, ...groups: readonly string[]): User {
  return { name, groups: [...groups, "system:authenticated"] };
}

function resource(verb: string, path: string, namespace = "", name = "", apiGroup = ""): RequestInfo {
  const [resourceName = "", subresource = ""] = path.split("/");
  return {
    isResourceRequest: true,
    path: "",
    verb,
    apiGroup,
    apiVersion: "v1",
    namespace,
    resource: resourceName,
    subresource,
    name,
  };
}

function nonResource(verb: string, path: string): RequestInfo {
  return { ...resource(verb, ""), isResourceRequest: false, path };
}

function bind(
  kind: "RoleBinding" | "ClusterRoleBinding",
  role: string,
  subject: object,
  namespace?: string,
): RoleBinding {
  const metadata = { name: `${role}-binding`, ...(namespace ? { namespace } : {}) };
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role };
  return { apiVersion, kind, metadata, roleRef, subjects: [subject] } as RoleBinding;
}

test("system:masters may do everything, a stranger nothing", async () => {
  const { authorizer } = await rbac();

  assert.equal((await authorizer.authorize(user("root", "system:masters"), resource("delete", "nodes"))).allowed, true);
  const { allowed, reason } = await authorizer.authorize(user("x"), resource("list", "pods", "default"));
  assert.equal(allowed, false);
  assert.equal(reason, "");
});

test("a refusal names the user, the verb, the resource and where", () => {
  const refusal = (request: RequestInfo, reason = "") => forbiddenByAuthorizer(user("x"), request, reason).message;

  assert.equal(
    refusal(resource("list", "pods", "default")),
    'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"',
  );
  assert.equal(
    refusal(resource("get", "deployments/scale", "", "web", "apps")),
    'deployments.apps "web" is forbidden: User "x" cannot get resource "deployments/scale" in API group "apps" at the cluster scope',
  );
  assert.equal(
    refusal(nonResource("get", "/metrics"), "because"),
    'forbidden: User "x" cannot get path "/metrics": because',
  );
});

test("a binding in a namespace allows there and nowhere else, and says why", async () => {
  const { authorizer } = await rbac([bind("RoleBinding", "view", { kind: "User", name: "ann" }, "default")]);

  const inside = await authorizer.authorize(user("ann"), resource("list", "pods", "default"));
  const outside = await authorizer.authorize(user("ann"), resource("list", "pods", "other"));

  assert.deepEqual(inside, {
    allowed: true,
    reason: 'RBAC: allowed by RoleBinding "view-binding/default" of ClusterRole "view" to User "ann"',
  });
  assert.equal(outside.allowed, false);
});

test("a service account is bound by name and namespace, also with all others by group", async () => {
  const account = user("system:serviceaccount:ci:runner", "system:serviceaccounts", "system:serviceaccounts:ci");
  const byName = await rbac([
    bind("ClusterRoleBinding", "edit", { kind: "ServiceAccount", name: "runner", namespace: "ci" }),
  ]);
  const byGroup = await rbac([
    bind("ClusterRoleBinding", "edit", { kind: "Group", name: "system:serviceaccounts:ci" }),
  ]);

  for (const { authorizer } of [byName, byGroup]) {
    assert.equal(
      (await authorizer.authorize(account, resource("create", "deployments", "x", "", "apps"))).allowed,
      true,
    );
    assert.equal(
      (await authorizer.authorize(account, resource("create", "roles", "x", "", "rbac.authorization.k8s.io"))).allowed,
      false,
    );
  }
});

test("names, subresources and paths are matched as rules say", async () => {
  const rules = [
    { apiGroups: [""], resources: ["configmaps"], resourceNames: ["one"], verbs: ["get"] },
    { apiGroups: ["apps"], resources: ["*/scale"], verbs: ["update"] },
    { nonResourceURLs: ["/logs/*"], verbs: ["get"] },
  ];
  const role = { apiVersion, kind: "ClusterRole", metadata: { name: "mixed" }, rules } as ClusterRole;
  const { authorizer } = await rbac([role, bind("ClusterRoleBinding", "mixed", { kind: "Group", name: "dev" })]);
  const may = async (request: RequestInfo) => (await authorizer.authorize(user("ann", "dev"), request)).allowed;

  assert.equal(await may(resource("get", "configmaps", "x", "one")), true);
  assert.equal(await may(resource("get", "configmaps", "x", "two")), false);
  assert.equal(await may(resource("list", "configmaps", "x")), false);
  assert.equal(await may(resource("update", "deployments/scale", "x", "web", "apps")), true);
  assert.equal(await may(resource("update", "deployments", "x", "web", "apps")), false);
  assert.equal(await may(nonResource("get", "/logs/a")), true);
  assert.equal(await may(nonResource("get", "/log")), false);
});

test("anonymous sees health and version only", async () => {
  const { authorizer } = await rbac();
  const nobody = { name: "system:anonymous", groups: ["system:unauthenticated"] };

  assert.equal((await authorizer.authorize(nobody, nonResource("get", "/readyz"))).allowed, true);
  assert.equal((await authorizer.authorize(nobody, nonResource("get", "/api"))).allowed, false);
  assert.equal((await authorizer.authorize(user("x"), nonResource("get", "/api"))).allowed, true);
});

test("a binding that is changed or deleted counts as it is now", async () => {
  const { authorizer, informers } = await rbac();
  const binding = bind("ClusterRoleBinding", "view", { kind: "User", name: "ann" });
  const may = async (name: string) => (await authorizer.authorize(user(name), resource("list", "pods", "x"))).allowed;

  informers.clusterRoleBindings.put(binding);
  assert.equal(await may("ann"), true);
  informers.clusterRoleBindings.put({ ...binding, subjects: [{ kind: "User", name: "bob" }] });
  assert.deepEqual([await may("ann"), await may("bob")], [false, true]);
  informers.clusterRoleBindings.remove(binding);
  assert.equal(await may("bob"), false);
});

test("a binding to a role that is not there is named in the reason", async () => {
  const { authorizer } = await rbac([bind("ClusterRoleBinding", "gone", { kind: "User", name: "ann" })]);

  const { reason } = await authorizer.authorize(user("ann"), resource("list", "pods"));

  assert.equal(reason, 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found');
});

test("nobody grants what he does not have", async () => {
  const all = await rbac([bind("RoleBinding", "admin", { kind: "User", name: "ann" }, "default")]);
  const check = new EscalationCheck(all);
  const create = (resourceName: string, object: object, namespace: string): AdmissionAttributes => ({
    request: resource("create", resourceName, namespace, "", "rbac.authorization.k8s.io"),
    operation: "CREATE",
    user: user("ann"),
    dryRun: false,
    kind: { group: "rbac.authorization.k8s.io", version: "v1", kind: "Role" },
    object: object as KubeObject,
    oldObject: undefined,
    options: undefined,
  });
  const role = (resources: readonly string[]) => ({
    metadata: { name: "r" },
    rules: [{ apiGroups: [""], resources, verbs: ["get", "list"] }],
  });

  await check.validate(create("roles", role(["pods"]), "default"));
  await check.validate(create("rolebindings", bind("RoleBinding", "view", { kind: "User", name: "bob" }), "default"));
  await assert.rejects(check.validate(create("roles", role(["nodes"]), "default")), {
    message:
      'roles.rbac.authorization.k8s.io "r" is forbidden: user "ann" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n' +
      '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}',
  });
  await assert.rejects(
    check.validate(
      create("clusterrolebindings", bind("ClusterRoleBinding", "cluster-admin", { kind: "User", name: "ann" }), ""),
    ),
    {
      message: /^clusterrolebindings\.rbac\.authorization\.k8s\.io "cluster-admin-binding" is forbidden: user "ann"/,
    },
  );
});

test("the default roles are made once, mended when rules are missing, and left alone when marked", async () => {
  const client = createClient(new FakeTransport({ clock: new FakeClock() }));
  const ref = (name: string) => ({
    resource: { group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles" },
    name,
  });
  const wanted = (await bootstrapRbacObjects()).length;

  assert.deepEqual(await ensureRbacPolicy(client), { created: wanted, updated: 0 });
  assert.deepEqual(await ensureRbacPolicy(client), { created: 0, updated: 0 });
  const view = await client.get<ClusterRole>(ref("view"));
  assert.ok((view.rules?.length ?? 0) > 5, "aggregated rules are there from the start");
  await client.update(ref("cluster-admin"), {
    ...(await client.get<ClusterRole>(ref("cluster-admin"))),
    rules: [],
  } as ClusterRole);
  assert.deepEqual(await ensureRbacPolicy(client), { created: 0, updated: 1 });
  const mine = await client.get<ClusterRole>(ref("cluster-admin"));
  const annotations = { "rbac.authorization.kubernetes.io/autoupdate": "false" };
  await client.update(ref("cluster-admin"), {
    ...mine,
    rules: [],
    metadata: { ...mine.metadata, annotations },
  } as ClusterRole);
  assert.deepEqual(await ensureRbacPolicy(client), { created: 0, updated: 0 });
});

function nodeAuthorizer() {
  const pods = new FakeInformer<Pod>();
  const persistentVolumes = new FakeInformer<PersistentVolume>();
  const graph = new NodeGraph({
    pods,
    persistentVolumes,
    volumeAttachments: new FakeInformer(),
    resourceSlices: new FakeInformer(),
  });
  graph.follow();
  const authorizer = new NodeAuthorizer(graph, systemClock);
  const may = async (request: RequestInfo, fieldSelector?: string) =>
    (
      await authorizer.authorize(
        user("system:node:n1", "system:nodes"),
        request,
        fieldSelector ? { fieldSelector } : {},
      )
    ).allowed;
  return { pods, persistentVolumes, authorizer, may };
}

function podOn(node: string): Pod {
  return {
    metadata: { name: "web", namespace: "default", uid: "1" },
    spec: {
      nodeName: node,
      serviceAccountName: "runner",
      imagePullSecrets: [{ name: "registry" }],
      containers: [
        {
          name: "c",
          image: "i",
          envFrom: [{ configMapRef: { name: "settings" } }],
          env: [{ name: "A", valueFrom: { secretKeyRef: { name: "password", key: "k" } } }],
        },
      ],
      volumes: [
        { name: "v", persistentVolumeClaim: { claimName: "disk" } },
        { name: "p", projected: { sources: [{ configMap: { name: "kube-root-ca.crt" } }] } },
      ],
    },
  } as Pod;
}

test("a node reads what its pods use, and only while they are there", async () => {
  const { pods, persistentVolumes, may } = nodeAuthorizer();
  const wanted = [
    resource("get", "secrets", "default", "registry"),
    resource("watch", "secrets", "default", "password"),
    resource("get", "configmaps", "default", "settings"),
    resource("get", "configmaps", "default", "kube-root-ca.crt"),
    resource("get", "persistentvolumeclaims", "default", "disk"),
    resource("get", "persistentvolumes", "", "pv-1"),
    resource("create", "serviceaccounts/token", "default", "runner"),
    resource("get", "pods", "default", "web"),
    resource("get", "secrets", "default", "csi"),
  ];
  const csi = { driver: "d", volumeHandle: "h", nodePublishSecretRef: { name: "csi", namespace: "default" } };
  persistentVolumes.put({
    metadata: { name: "pv-1" },
    spec: { claimRef: { namespace: "default", name: "disk" }, csi },
  } as PersistentVolume);
  const answers = () => Promise.all(wanted.map((request) => may(request)));

  assert.ok((await answers()).every((allowed) => !allowed));
  pods.put(podOn("n1"));
  assert.deepEqual(
    await answers(),
    wanted.map(() => true),
  );
  pods.put(podOn("n2"));
  assert.ok((await answers()).every((allowed) => !allowed));
  pods.put(podOn("n1"));
  pods.remove(podOn("n1"));
  assert.ok((await answers()).every((allowed) => !allowed));
});

test("a node lists its own pods, writes its own node and lease, and sees no secrets at large", async () => {
  const { may } = nodeAuthorizer();
  const lease = (name: string, namespace = "kube-node-lease") =>
    resource("update", "leases", namespace, name, "coordination.k8s.io");

  assert.equal(await may(resource("list", "pods"), "spec.nodeName=n1"), true);
  assert.equal(await may(resource("list", "pods"), "spec.nodeName=n2"), false);
  assert.equal(await may(resource("list", "pods")), false);
  assert.equal(await may(resource("patch", "nodes/status", "", "n1")), true);
  assert.equal(await may(resource("get", "nodes", "", "n1")), true);
  assert.equal(await may(resource("get", "nodes", "", "n2")), false);
  assert.deepEqual(
    [await may(lease("n1")), await may(lease("n2")), await may(lease("n1", "default"))],
    [true, false, false],
  );
  assert.equal(await may(resource("list", "secrets", "default")), false);
  assert.equal(await may(resource("list", "services")), true);
  assert.equal(await may(resource("create", "events", "default")), true);
  assert.equal(await may(resource("delete", "namespaces", "", "default")), false);
});

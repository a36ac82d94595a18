import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  LimitRange,
  Namespace,
  Node,
  PersistentVolumeClaim,
  Pod,
  ServiceAccount,
} from "#api/generated/types/core-v1.ts";
import type { PriorityClass } from "#api/generated/types/scheduling-v1.ts";
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";
import type { StorageClass } from "#api/generated/types/storage-v1.ts";
import type { RuntimeClass } from "#api/generated/types/node-v1.ts";
import { deepFreeze } from "#apimachinery/freeze.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { User } from "#apiserver/request.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeInformer } from "#client/testing/fake-informer.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { FakeClock } from "#component-base/clock.ts";
import { DefaultIngressClassPlugin } from "./default-ingress-class.ts";
import { DefaultStorageClassPlugin } from "./default-storage-class.ts";
import { DefaultTolerationSecondsPlugin } from "./default-toleration-seconds.ts";
import { LimitRangerPlugin } from "./limit-ranger.ts";
import { NamespaceLifecyclePlugin } from "./namespace-lifecycle.ts";
import { NodeRestrictionPlugin } from "./node-restriction.ts";
import { PersistentVolumeClaimResizePlugin } from "./persistent-volume-claim-resize.ts";
import { PodSecurityPlugin } from "./pod-security.ts";
import { PriorityPlugin } from "./priority.ts";
import { PackedIsolatesPlugin } from "./packed-isolates.ts";
import { RuntimeClassPlugin } from "./runtime-class.ts";
import { ServiceAccountPlugin } from "./service-account.ts";
import { TaintNodesByConditionPlugin } from "./taint-nodes-by-condition.ts";

const clock = new FakeClock();
const ann: User = { name: "ann", groups: [] };
const node1: User = { name: "system:node:n1", groups: ["system:nodes"] };

type Write = {
  readonly object?: object;
  readonly oldObject?: object;
  readonly user?: User;
  readonly operation?: AdmissionAttributes["operation"];
  readonly name?: string;
};

function write(
  resource: string,
  { object, oldObject, user = ann, operation = "CREATE", name = "" }: Write,
): AdmissionAttributes {
  const [path = "", apiGroup = ""] = resource.split("@");
  const [plural = "", subresource = ""] = path.split("/");
  return deepFreeze({
    request: {
      isResourceRequest: true,
      path: "",
      verb: "create",
      apiGroup,
      apiVersion: "v1",
      namespace: "default",
      resource: plural,
      subresource,
      name,
    },
    operation,
    user,
    dryRun: false,
    kind: { group: apiGroup, version: "v1", kind: "" },
    object: object as KubeObject | undefined,
    oldObject: oldObject as KubeObject | undefined,
    options: undefined,
  });
}

async function admit<T>(plugin: AdmissionPlugin, attributes: AdmissionAttributes): Promise<T> {
  if (!plugin.handles(attributes)) return attributes.object as T;
  const object = (await plugin.mutate?.(attributes)) ?? attributes.object;
  await plugin.validate?.({ ...attributes, object });
  return object as T;
}

function emptyClient() {
  return createClient(new FakeTransport({ clock }));
}

function serviceAccountPlugin(...accounts: readonly ServiceAccount[]) {
  const serviceAccounts = new FakeInformer(accounts);
  return {
    serviceAccounts,
    plugin: new ServiceAccountPlugin({ client: emptyClient(), serviceAccounts, clock, random: () => 0 }),
  };
}

const defaultAccount: ServiceAccount = {
  metadata: { name: "default", namespace: "default" },
  imagePullSecrets: [{ name: "pull" }],
};
const plainPod = { metadata: { name: "web" }, spec: { initContainers: [{ name: "i" }], containers: [{ name: "c" }] } };

test("a pod gets the default service account, its pull secrets and the volume with its token", async () => {
  const { plugin } = serviceAccountPlugin(defaultAccount);

  const { spec } = await admit<Pod>(plugin, write("pods", { object: plainPod }));

  const mount = {
    name: "kube-api-access-bbbbb",
    readOnly: true,
    mountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
  };
  assert.equal(spec?.serviceAccountName, "default");
  assert.deepEqual(spec?.imagePullSecrets, [{ name: "pull" }]);
  assert.deepEqual(spec?.containers[0]?.volumeMounts, [mount]);
  assert.deepEqual(spec?.initContainers?.[0]?.volumeMounts, [mount]);
  assert.deepEqual(spec?.volumes, [
    {
      name: "kube-api-access-bbbbb",
      projected: {
        defaultMode: 420,
        sources: [
          { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
          { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
          {
            downwardAPI: {
              items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
            },
          },
        ],
      },
    },
  ]);
});

test("a pod or its account may want no token, and the pod's word counts more", async () => {
  const { plugin } = serviceAccountPlugin({ ...defaultAccount, automountServiceAccountToken: false });
  const wants = { ...plainPod, spec: { ...plainPod.spec, automountServiceAccountToken: true } };

  assert.equal((await admit<Pod>(plugin, write("pods", { object: plainPod }))).spec?.volumes, undefined);
  assert.equal((await admit<Pod>(plugin, write("pods", { object: wants }))).spec?.volumes?.length, 1);
});

test("a pod of an unknown account is refused, one that comes before its default account waits for it", async () => {
  const { plugin, serviceAccounts } = serviceAccountPlugin();
  const unknown = { ...plainPod, spec: { ...plainPod.spec, serviceAccountName: "gone" } };

  await assert.rejects(admit(plugin, write("pods", { object: unknown })), {
    message: 'pods "web" is forbidden: error looking up service account default/gone: serviceaccount "gone" not found',
  });
  const waiting = admit<Pod>(plugin, write("pods", { object: plainPod }));
  await clock.advance(100);
  serviceAccounts.put(defaultAccount);
  assert.equal((await waiting).spec?.serviceAccountName, "default");
});

test("nothing is made in a namespace that is ending or not there, and the system's own cannot be deleted", async () => {
  const namespaces = new FakeInformer<Namespace>([
    { metadata: { name: "default" }, status: { phase: "Terminating" } },
    { metadata: { name: "other" }, status: { phase: "Active" } },
  ]);
  const plugin = new NamespaceLifecyclePlugin({ client: emptyClient(), namespaces, clock });
  const inNamespace = (namespace: string) => {
    const attributes = write("pods", { object: plainPod });
    return { ...attributes, request: { ...attributes.request, namespace } };
  };

  await admit(plugin, inNamespace("other"));
  await assert.rejects(admit(plugin, inNamespace("default")), {
    message:
      'pods "web" is forbidden: unable to create new content in namespace default because it is being terminated',
    details: {
      name: "web",
      kind: "pods",
      causes: [
        {
          reason: "NamespaceTerminating",
          message: "namespace default is being terminated",
          field: "metadata.namespace",
        },
      ],
    },
  });
  await assert.rejects(admit(plugin, inNamespace("gone")), { message: 'namespaces "gone" not found' });
  await assert.rejects(admit(plugin, write("namespaces", { operation: "DELETE", name: "kube-system" })), {
    message: 'namespaces "kube-system" is forbidden: this namespace may not be deleted',
  });
});

test("a pod gets the number of its priority class, or of the default one", async () => {
  const priorityClasses = new FakeInformer<PriorityClass>([{ metadata: { name: "high" }, value: 1000 }]);
  const plugin = new PriorityPlugin({ client: emptyClient(), priorityClasses });
  const pod = (spec: object) => write("pods", { object: { metadata: { name: "web" }, spec } });

  assert.deepEqual((await admit<Pod>(plugin, pod({}))).spec, { priority: 0, preemptionPolicy: "PreemptLowerPriority" });
  assert.equal((await admit<Pod>(plugin, pod({ priorityClassName: "high" }))).spec?.priority, 1000);
  await assert.rejects(admit(plugin, pod({ priorityClassName: "none" })), {
    message: 'pods "web" is forbidden: no PriorityClass with name none was found',
  });
  await assert.rejects(admit(plugin, pod({ priority: 5 })), {
    message:
      /the integer value of priority \(5\) must not be provided in pod spec; priority admission controller computed 0/,
  });
  priorityClasses.put({ metadata: { name: "usual" }, value: 7, globalDefault: true, preemptionPolicy: "Never" });
  assert.deepEqual((await admit<Pod>(plugin, pod({}))).spec, {
    priorityClassName: "usual",
    priority: 7,
    preemptionPolicy: "Never",
  });
  await assert.rejects(
    admit(
      plugin,
      write("priorityclasses@scheduling.k8s.io", {
        object: { metadata: { name: "two" }, value: 1, globalDefault: true },
      }),
    ),
    {
      message: /PriorityClass usual is already marked as default. Only one default can exist/,
    },
  );
});

test("a runtime class brings overhead, selector and tolerations", async () => {
  const runtimeClasses = new FakeInformer<RuntimeClass>([
    {
      metadata: { name: "vm" },
      handler: "vm",
      overhead: { podFixed: { memory: "64Mi" } },
      scheduling: { nodeSelector: { vm: "yes" } },
    },
  ]);
  const plugin = new RuntimeClassPlugin({ client: emptyClient(), runtimeClasses });
  const pod = (spec: object) => write("pods", { object: { metadata: { name: "web" }, spec } });

  const { spec } = await admit<Pod>(plugin, pod({ runtimeClassName: "vm" }));

  assert.deepEqual(spec, {
    runtimeClassName: "vm",
    overhead: { memory: "64Mi" },
    nodeSelector: { vm: "yes" },
  } as object);
  await assert.rejects(admit(plugin, pod({ runtimeClassName: "no" })), {
    message: /pod rejected: RuntimeClass "no" not found/,
  });
  await assert.rejects(admit(plugin, pod({ overhead: { cpu: "1" } })), {
    message: /Pod Overhead set without corresponding RuntimeClass defined Overhead/,
  });
});

test("containers get the namespace's defaults and stay within its bounds", async () => {
  const limits = [{ type: "Container", default: { cpu: "500m" }, defaultRequest: { cpu: "100m" }, max: { cpu: "1" } }];
  const range: LimitRange = { metadata: { name: "l", namespace: "default" }, spec: { limits } };
  const plugin = new LimitRangerPlugin(new FakeInformer([range]));
  const pod = (resources: object) =>
    write("pods", { object: { metadata: { name: "web" }, spec: { containers: [{ name: "c", resources }] } } });

  const admitted = await admit<Pod>(plugin, pod({}));

  assert.deepEqual(admitted.spec?.containers[0]?.resources, { requests: { cpu: "100m" }, limits: { cpu: "500m" } });
  assert.equal(
    admitted.metadata?.annotations?.["kubernetes.io/limit-ranger"],
    "LimitRanger plugin set: cpu request for container c; cpu limit for container c",
  );
  await assert.rejects(admit(plugin, pod({ limits: { cpu: "2" } })), {
    message: 'pods "web" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
  });
});

test("claims without a class get the newest default one, nodes begin unready, pods tolerate that for a while", async () => {
  const annotations = { "storageclass.kubernetes.io/is-default-class": "true" };
  const storageClasses = new FakeInformer<StorageClass>([
    { metadata: { name: "old", creationTimestamp: "2025-01-01T00:00:00Z", annotations }, provisioner: "p" },
    { metadata: { name: "new", creationTimestamp: "2026-01-01T00:00:00Z", annotations }, provisioner: "p" },
  ]);
  const claim = (spec: object) => write("persistentvolumeclaims", { object: { metadata: { name: "c" }, spec } });
  const plugin = new DefaultStorageClassPlugin(storageClasses);

  assert.equal((await admit<PersistentVolumeClaim>(plugin, claim({}))).spec?.storageClassName, "new");
  assert.equal(
    (await admit<PersistentVolumeClaim>(plugin, claim({ storageClassName: "" }))).spec?.storageClassName,
    "",
  );
  const made = await admit<Node>(
    new TaintNodesByConditionPlugin(),
    write("nodes", { object: { metadata: { name: "n" }, spec: {} } }),
  );
  assert.deepEqual(made.spec?.taints, [{ key: "node.kubernetes.io/not-ready", effect: "NoSchedule" }]);
  const pod = await admit<Pod>(
    new DefaultTolerationSecondsPlugin(),
    write("pods", { object: { spec: { tolerations: [{ key: "node.kubernetes.io/not-ready" }] } } }),
  );
  assert.deepEqual(pod.spec?.tolerations?.[1], {
    key: "node.kubernetes.io/unreachable",
    operator: "Exists",
    effect: "NoExecute",
    tolerationSeconds: 300,
  });
});

function nodeRestriction(...pods: readonly Pod[]) {
  return new NodeRestrictionPlugin({
    client: emptyClient(),
    pods: new FakeInformer(pods),
    nodes: new FakeInformer(),
    persistentVolumeClaims: new FakeInformer(),
    persistentVolumes: new FakeInformer(),
    csiDrivers: new FakeInformer(),
    authorizer: { authorize: async () => ({ allowed: false, reason: "" }) },
  });
}

test("a node writes its own node without steering workloads, and no other", async () => {
  const plugin = nodeRestriction();
  const update = (name: string, after: object, before: object = {}) =>
    admit(
      plugin,
      write("nodes", {
        user: node1,
        operation: "UPDATE",
        name,
        object: { metadata: { name }, ...after },
        oldObject: { metadata: { name }, ...before },
      }),
    );

  await update("n1", { metadata: { name: "n1", labels: { "topology.kubernetes.io/zone": "a", mine: "yes" } } });
  await assert.rejects(update("n2", {}), {
    message: 'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
  });
  await assert.rejects(
    update("n1", { metadata: { name: "n1", labels: { "node-restriction.kubernetes.io/secret": "yes" } } }),
    {
      message: /is not allowed to modify labels: node-restriction\.kubernetes\.io\/secret/,
    },
  );
  await assert.rejects(
    update("n1", { spec: { taints: [] } }, { spec: { taints: [{ key: "a", effect: "NoSchedule" }] } }),
    {
      message: /node "n1" is not allowed to modify taints/,
    },
  );
});

test("a node writes the status of its pods and asks for their tokens, of no others", async () => {
  const pod = (name: string, nodeName: string): Pod => ({
    metadata: { name, namespace: "default", uid: name },
    spec: {
      nodeName,
      containers: [],
      volumes: [{ name: "t", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }],
    },
  });
  const plugin = nodeRestriction(pod("mine", "n1"), pod("other", "n2"));
  const status = (name: string, nodeName: string) =>
    admit(
      plugin,
      write("pods/status", {
        user: node1,
        operation: "UPDATE",
        name,
        object: pod(name, nodeName),
        oldObject: pod(name, nodeName),
      }),
    );
  const token = (ref: object, audiences: readonly string[] = []) =>
    admit(
      plugin,
      write("serviceaccounts/token", {
        user: node1,
        name: "runner",
        object: { spec: { boundObjectRef: ref, audiences } },
      }),
    );
  const ref = (name: string) => ({ apiVersion: "v1", kind: "Pod", name, uid: name });

  await status("mine", "n1");
  await assert.rejects(status("other", "n2"), {
    message: /can only update pod status for pods with spec.nodeName set to itself/,
  });
  await token(ref("mine"));
  await assert.rejects(token(ref("other")), {
    message: /node requested token bound to a pod scheduled on a different node/,
  });
  await assert.rejects(token({}), { message: /node requested token not bound to a pod/ });
  await assert.rejects(token(ref("mine"), ["vault"]), { message: /audience "vault" not found in pod spec volume/ });
});

test("a namespace's label holds its pods to a security standard, and warns of templates", async () => {
  const labels = { "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "baseline" };
  const namespaces = new FakeInformer<Namespace>([{ metadata: { name: "default", labels } }]);
  const plugin = new PodSecurityPlugin({ client: emptyClient(), namespaces });
  const good = {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    containers: [{ name: "c", securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } } }],
  };
  const pod = (spec: object) => write("pods", { object: { metadata: { name: "web" }, spec } });

  await admit(plugin, pod(good));
  await assert.rejects(admit(plugin, pod({ containers: [{ name: "c" }] })), {
    message:
      'pods "web" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), ' +
      'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), ' +
      'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  });
  const warnings: string[] = [];
  const spec = {
    template: {
      spec: {
        hostNetwork: true,
        containers: [{ name: "c", securityContext: { privileged: true } }],
        volumes: [{ name: "v", hostPath: { path: "/" } }],
      },
    },
  };
  await admit(plugin, {
    ...write("deployments@apps", { object: { metadata: { name: "web" }, spec } }),
    warn: (text) => void warnings.push(text),
  });
  assert.deepEqual(warnings, [
    'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true), hostPath volumes (volume "v"), privileged (container "c" must not set securityContext.privileged=true)',
  ]);
});

test("an ingress without a class gets the default one, a claim grows only where its class can", async () => {
  const annotations = { "ingressclass.kubernetes.io/is-default-class": "true" };
  const ingressClasses = new FakeInformer<IngressClass>([{ metadata: { name: "usual", annotations } }]);
  const ingress = write("ingresses@networking.k8s.io", { object: { metadata: { name: "i" }, spec: {} } });
  const storageClasses = new FakeInformer<StorageClass>([
    { metadata: { name: "grows" }, provisioner: "p", allowVolumeExpansion: true },
    { metadata: { name: "stays" }, provisioner: "p" },
  ]);
  const plugin = new PersistentVolumeClaimResizePlugin(storageClasses);
  const grow = (storageClassName: string) => {
    const claim = (storage: string) => ({
      metadata: { name: "c" },
      spec: { storageClassName, resources: { requests: { storage } } },
      status: { phase: "Bound" },
    });
    return admit(
      plugin,
      write("persistentvolumeclaims", { operation: "UPDATE", object: claim("2Gi"), oldObject: claim("1Gi") }),
    );
  };

  assert.equal(
    (await admit<Ingress>(new DefaultIngressClassPlugin(ingressClasses), ingress)).spec?.ingressClassName,
    "usual",
  );
  await grow("grows");
  await assert.rejects(grow("stays"), {
    message:
      /only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize/,
  });
});

test("isolates are packed where their namespace asks for it, but for those that want to be alone", async () => {
  const namespaces = new FakeInformer<Namespace>([
    { metadata: { name: "default", labels: { "nodeless.dev/isolates": "packed" } } },
    { metadata: { name: "plain" } },
  ]);
  const runtimeClasses = new FakeInformer<RuntimeClass>([{ metadata: { name: "isolate-packed" }, handler: "" }]);
  const plugin = new PackedIsolatesPlugin({ client: emptyClient(), namespaces, runtimeClasses });
  const className = async (namespace: string, spec: object, labels = {}) => {
    const attributes = write("pods", { object: { metadata: { name: "web", labels }, spec } });
    const request = { ...attributes.request, namespace };
    return (await admit<Pod>(plugin, { ...attributes, request })).spec?.runtimeClassName;
  };
  const one = { runtimeClassName: "isolate", containers: [{ name: "c" }] };

  assert.equal(await className("default", one), "isolate-packed");
  assert.equal(await className("default", one, { "nodeless.dev/isolates": "alone" }), "isolate");
  assert.equal(await className("default", { ...one, runtimeClassName: "vm" }), "vm");
  assert.equal(await className("plain", one), "isolate");
  assert.equal(await className("plain", { ...one, runtimeClassName: "isolate-packed" }), "isolate-packed");
});

test("a packed isolate that asks for what its pack would have to share is refused by name", async () => {
  const plugin = new PackedIsolatesPlugin({
    client: emptyClient(),
    namespaces: new FakeInformer<Namespace>([]),
    runtimeClasses: new FakeInformer<RuntimeClass>([]),
  });
  const pod = (spec: object) =>
    write("pods", {
      object: {
        metadata: { name: "web" },
        spec: { runtimeClassName: "isolate-packed", containers: [{ name: "c" }], ...spec },
      },
    });

  await admit(plugin, pod({ dnsPolicy: "ClusterFirst" }));
  const refusals: readonly [object, RegExp][] = [
    [{ containers: [{ name: "c" }, { name: "d" }] }, /cannot have more than one container/],
    [{ initContainers: [{ name: "i" }] }, /cannot have initContainers/],
    [{ hostAliases: [{ ip: "1.2.3.4" }] }, /cannot have hostAliases/],
    [{ dnsConfig: {} }, /cannot have dnsConfig/],
    [{ dnsPolicy: "Default" }, /cannot have dnsPolicy Default/],
    [{ securityContext: { sysctls: [{ name: "a", value: "1" }] } }, /cannot have sysctls/],
  ];
  for (const [spec, message] of refusals) await assert.rejects(admit(plugin, pod(spec)), { message });
});

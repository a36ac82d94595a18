import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { strategyOf } from "#api/strategies.ts";
import type { Draft } from "#api/strategy.ts";
import type { FieldError } from "#apimachinery/field-error.ts";

/** A pod with defaults, with changes to its spec and its only container. */
function pod(spec: Draft = {}, container: Draft = {}): Pod {
  const containers = [{ name: "c", image: "nginx", ...container }];
  const draft: Draft = {
    metadata: { name: "web", namespace: "default" },
    spec: { serviceAccountName: "default", containers, ...spec },
  };
  strategyOf("", "Pod").applyDefaults?.(draft);
  return draft as Pod;
}

function show(errors: readonly FieldError[] = []): readonly string[] {
  return errors.map(({ field, message }) => `${field}: ${message}`);
}

function created(spec: Draft = {}, container: Draft = {}): readonly string[] {
  return show(strategyOf("", "Pod").validate?.(pod(spec, container)));
}

function updated(after: Pod, before: Pod): readonly string[] {
  return show(strategyOf("", "Pod").validateUpdate?.(after, before));
}

test("a pod with all that pods usually have is good", () => {
  const spec = {
    initContainers: [{ name: "i", image: "b", restartPolicy: "Always", readinessProbe: { tcpSocket: { port: 80 } } }],
    volumes: [
      { name: "a", emptyDir: { sizeLimit: "1Gi" } },
      { name: "b", configMap: { name: "cm", items: [{ key: "k", path: "p/q" }] } },
      { name: "s", secret: { secretName: "s" } },
      { name: "h", hostPath: { path: "/tmp" } },
      {
        name: "d",
        downwardAPI: {
          items: [
            { path: "l", fieldRef: { fieldPath: "metadata.labels['app']" } },
            { path: "m", resourceFieldRef: { containerName: "c", resource: "limits.memory", divisor: "1Mi" } },
          ],
        },
      },
      {
        name: "p",
        projected: {
          sources: [{ serviceAccountToken: { path: "token", expirationSeconds: 3607 } }, { configMap: { name: "x" } }],
        },
      },
      {
        name: "e",
        ephemeral: {
          volumeClaimTemplate: {
            spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
          },
        },
      },
      { name: "n", nfs: { server: "s", path: "/x" } },
      { name: "csi", csi: { driver: "d.example.com" } },
    ],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: "a", operator: "In", values: ["b"] }] }],
        },
      },
      podAntiAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          {
            weight: 1,
            podAffinityTerm: { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { a: "b" } } },
          },
        ],
      },
    },
    tolerations: [
      { operator: "Exists" },
      { key: "a", operator: "Equal", value: "b", effect: "NoExecute", tolerationSeconds: 3 },
    ],
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule", labelSelector: {} },
    ],
    dnsConfig: { nameservers: ["1.1.1.1"], searches: ["a.b", "_tcp.c."], options: [{ name: "ndots", value: "2" }] },
    hostAliases: [{ ip: "127.0.0.1", hostnames: ["foo"] }],
    securityContext: {
      runAsUser: 1000,
      fsGroup: 1000,
      sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
      seccompProfile: { type: "RuntimeDefault" },
    },
    hostname: "web",
    subdomain: "sub",
    activeDeadlineSeconds: 10,
    priorityClassName: "high",
    runtimeClassName: "isolate",
  };
  const container = {
    ports: [
      { name: "http", containerPort: 80 },
      { name: "dns", containerPort: 53, protocol: "UDP" },
    ],
    env: [
      { name: "A", value: "1" },
      { name: "B", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "C", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
    ],
    envFrom: [{ prefix: "P_", configMapRef: { name: "cm" } }],
    volumeMounts: [
      { name: "a", mountPath: "/a" },
      { name: "b", mountPath: "/b", subPath: "p" },
    ],
    resources: { limits: { cpu: "1", memory: "1Gi", "example.com/gpu": "1" }, requests: { cpu: "500m" } },
    livenessProbe: { httpGet: { port: "http" } },
    lifecycle: { preStop: { sleep: { seconds: 3 } } },
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] } },
  };

  assert.deepEqual(created(spec, container), []);
});

test("containers must be named, distinct, and of an image", () => {
  assert.deepEqual(created({ containers: [] }), ["spec.containers: Required value"]);
  assert.deepEqual(created({}, { image: "" }), ["spec.containers[0].image: Required value"]);
  assert.deepEqual(created({ initContainers: [{ name: "c", image: "x" }] }), [
    'spec.initContainers[0].name: Duplicate value: "c"',
  ]);
  assert.match(
    created({}, { name: "A_b" })[0] ?? "",
    /^spec\.containers\[0\]\.name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of/,
  );
  assert.deepEqual(created({}, { imagePullPolicy: "Sometimes" }), [
    'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
  ]);
});

test("mounts need a volume, volumes a source, and only one", () => {
  assert.deepEqual(created({}, { volumeMounts: [{ name: "v", mountPath: "/v" }] }), [
    'spec.containers[0].volumeMounts[0].name: Not found: "v"',
  ]);
  assert.deepEqual(created({ volumes: [{ name: "v", emptyDir: {}, hostPath: { path: "/x" } }] }), [
    "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
  ]);
  assert.deepEqual(created({ volumes: [{ name: "v", hostPath: { path: "/a/../b" } }] }), [
    "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
  ]);
  assert.deepEqual(created({ volumes: [{ name: "v", secret: {} }] }), [
    "spec.volumes[0].secret.secretName: Required value",
  ]);
  assert.deepEqual(created({ volumes: [{ name: "v" }, { name: "v" }] }), [
    'spec.volumes[1].name: Duplicate value: "v"',
  ]);
});

test("probes, ports, environment and resources are checked with upstream's words", () => {
  const of = (container: Draft) => created({}, container);

  assert.deepEqual(of({ livenessProbe: {} }), [
    "spec.containers[0].livenessProbe: Required value: must specify a handler type",
  ]);
  assert.deepEqual(of({ livenessProbe: { exec: { command: ["x"] }, successThreshold: 2 } }), [
    "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
  ]);
  assert.deepEqual(of({ ports: [{ containerPort: 70_000 }] }), [
    "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
  ]);
  assert.deepEqual(of({ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "metadata.labels" } } }] }), [
    'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
  ]);
  assert.deepEqual(of({ resources: { limits: { cpu: "1" }, requests: { cpu: "2" } } }), [
    'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
  ]);
  assert.deepEqual(of({ resources: { limits: { cpu: "-1" } } }), [
    'spec.containers[0].resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
    'spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0',
  ]);
  assert.deepEqual(of({ resources: { requests: { disk: "1" } } }), [
    'spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource type or fully qualified',
    'spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource for containers',
  ]);
  assert.deepEqual(of({ securityContext: { allowPrivilegeEscalation: false, privileged: true } }), [
    'spec.containers[0].securityContext: Invalid value: {"allowPrivilegeEscalation":false,"privileged":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
  ]);
});

test("what steers a pod is checked", () => {
  assert.deepEqual(created({ restartPolicy: "Maybe" }), [
    'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"',
  ]);
  assert.deepEqual(created({ dnsPolicy: "None" }), [
    "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
  ]);
  assert.deepEqual(created({ tolerations: [{ key: "a", operator: "Exists", value: "b" }] }), [
    "spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
  ]);
  assert.deepEqual(created({ nodeName: "n1", schedulingGates: [{ name: "a" }] }), [
    "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
  ]);
  assert.deepEqual(created({ ephemeralContainers: [{ name: "e", image: "x" }] }), [
    "spec.ephemeralContainers: Forbidden: cannot be set on create",
  ]);
  assert.deepEqual(created({ activeDeadlineSeconds: 0 }), [
    "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
  ]);
});

test("of a pod's spec only little may change", () => {
  const before = pod({ tolerations: [{ key: "a", operator: "Exists" }] });

  assert.deepEqual(
    updated(
      pod({ tolerations: [{ key: "a", operator: "Exists" }] }, { image: "nginx:2", imagePullPolicy: "Always" }),
      before,
    ),
    [],
  );
  assert.deepEqual(
    updated(
      pod({
        tolerations: [
          { key: "a", operator: "Exists" },
          { key: "b", operator: "Exists" },
        ],
      }),
      before,
    ),
    [],
  );
  assert.deepEqual(updated(pod(), before), [
    "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
  ]);
  const [error, ...more] = updated(pod({ hostname: "x", tolerations: before.spec?.tolerations }), before);
  assert.deepEqual(more, []);
  assert.equal(
    error,
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`," +
      "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n" +
      '+ hostname: "x"',
  );
  assert.deepEqual(
    updated(
      pod({
        containers: [
          { name: "c", image: "nginx" },
          { name: "d", image: "nginx" },
        ],
      }),
      before,
    ),
    ["spec.containers: Forbidden: pod updates may not add or remove containers"],
  );
});

test("a container that ended for good does not run again", () => {
  const before = {
    ...pod({ restartPolicy: "Never" }),
    status: { containerStatuses: [{ name: "c", state: { terminated: { exitCode: 1 } } }] },
  } as unknown as Pod;
  const after = { ...before, status: { containerStatuses: [{ name: "c", state: { running: {} } }] } } as unknown as Pod;

  assert.deepEqual(show(strategyOf("", "Pod").validateStatusUpdate?.(after, before)), [
    "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
  ]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { strategyOf } from "#api/strategies.ts";
import type { Draft } from "#api/strategy.ts";
import type { FieldError } from "#apimachinery/field-error.ts";
import type { KubeObject } from "#apimachinery/meta.ts";

function made(kind: string, object: Draft): KubeObject {
  const draft: Draft = { metadata: { name: "x", namespace: "default" }, ...structuredClone(object) };
  strategyOf("", kind).applyDefaults?.(draft);
  return draft as KubeObject;
}

function show(errors: readonly FieldError[] = []): readonly string[] {
  return errors.map(({ field, message }) => `${field}: ${message}`);
}

function created(kind: string, object: Draft): readonly string[] {
  return show(strategyOf("", kind).validate?.(made(kind, object)));
}

function updated(kind: string, after: Draft, before: Draft): readonly string[] {
  return show(strategyOf("", kind).validateUpdate?.(made(kind, after), made(kind, before)));
}

test("services of all types are good as people write them", () => {
  const ports = [{ port: 80, targetPort: "http" }];
  assert.deepEqual(created("Service", { spec: { ports, selector: { app: "web" } } }), []);
  assert.deepEqual(
    created("Service", {
      spec: { ports, clusterIP: "None", clusterIPs: ["None"], ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack" },
    }),
    [],
  );
  assert.deepEqual(
    created("Service", {
      spec: {
        type: "NodePort",
        ports: [
          { name: "a", port: 80, nodePort: 30_080 },
          { name: "b", port: 81 },
        ],
      },
    }),
    [],
  );
  assert.deepEqual(
    created("Service", {
      spec: { type: "LoadBalancer", ports, externalTrafficPolicy: "Local", healthCheckNodePort: 30_000 },
    }),
    [],
  );
  assert.deepEqual(created("Service", { spec: { type: "ExternalName", externalName: "example.com." } }), []);
});

test("services are checked with upstream's words", () => {
  assert.deepEqual(created("Service", { spec: {} }), ["spec.ports: Required value"]);
  assert.deepEqual(created("Service", { spec: { ports: [{ port: 80 }, { port: 81 }] } }), [
    "spec.ports[0].name: Required value",
    "spec.ports[1].name: Required value",
  ]);
  assert.deepEqual(created("Service", { spec: { ports: [{ port: 80, nodePort: 30_000 }] } }), [
    "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
  ]);
  assert.deepEqual(created("Service", { spec: { type: "Magic", ports: [{ port: 80 }] } }), [
    'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
  ]);
  const spec = { ports: [{ port: 80 }], clusterIP: "10.0.0.1", clusterIPs: ["10.0.0.1"] };
  assert.deepEqual(
    updated("Service", { spec: { ...spec, clusterIP: "10.0.0.2", clusterIPs: ["10.0.0.2"] } }, { spec }),
    ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'],
  );
});

test("immutable config maps and secrets stay, secrets keep their type", () => {
  assert.deepEqual(created("ConfigMap", { data: { "a b": "x" } }).length, 1);
  assert.deepEqual(updated("ConfigMap", { immutable: true, data: { a: "2" } }, { immutable: true, data: { a: "1" } }), [
    "data: Forbidden: field is immutable when `immutable` is set",
  ]);
  assert.deepEqual(updated("ConfigMap", { data: { a: "1" } }, { immutable: true, data: { a: "1" } }), [
    "immutable: Forbidden: field is immutable when `immutable` is set",
  ]);
  assert.deepEqual(updated("Secret", { type: "other" }, {}), ['type: Invalid value: "other": field is immutable']);
  assert.deepEqual(created("Secret", { type: "kubernetes.io/tls", data: { "tls.crt": "eA==" } }), [
    "data[tls.key]: Required value",
  ]);
});

test("volumes, claims, quotas and nodes are checked", () => {
  const claim = { spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } };
  assert.deepEqual(created("PersistentVolumeClaim", claim), []);
  assert.deepEqual(updated("PersistentVolumeClaim", { spec: { ...claim.spec, volumeName: "pv" } }, claim), []);
  assert.deepEqual(
    updated("PersistentVolumeClaim", { spec: { ...claim.spec, accessModes: ["ReadOnlyMany"] } }, claim),
    [
      "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    ],
  );
  assert.deepEqual(
    created("PersistentVolume", {
      spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, hostPath: { path: "/x" } },
    }),
    [],
  );
  assert.deepEqual(
    created("PersistentVolume", { spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" } } }),
    ["spec: Required value: must specify a volume type"],
  );
  assert.deepEqual(created("ResourceQuota", { spec: { hard: { pods: "1.5" } } }), [
    'spec.hard[pods]: Invalid value: "1500m": must be an integer',
  ]);
  assert.deepEqual(
    created("LimitRange", { spec: { limits: [{ type: "Container", min: { cpu: "2" }, max: { cpu: "1" } }] } })[0],
    'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
  );
  assert.deepEqual(created("Node", { spec: { taints: [{ key: "a", effect: "No" }] } }), [
    'metadata.taints[0].effect: Unsupported value: "No": supported values: "NoExecute", "NoSchedule", "PreferNoSchedule"',
  ]);
});

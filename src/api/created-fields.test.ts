/**
 * The quick way to the fields of a new object against the general one, on kinds with all sorts of lists, maps and zero values.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readObject } from "#apimachinery/codecs/object-reader.ts";
import type { JsonObject } from "#apimachinery/json.ts";
import { sortedSet, union } from "#apimachinery/managed-fields/field-set.ts";
import { compareObjects } from "#apimachinery/managed-fields/typed-compare.ts";
import { createdFields } from "#apimachinery/managed-fields/typed-create.ts";
import { loadKindFacts } from "./kind-facts-table.ts";
import { strategyOf } from "./strategies.ts";

const facts = loadKindFacts();

const containers = [
  {
    name: "b",
    image: "x",
    args: ["1", "2"],
    env: [
      { name: "B", value: "" },
      { name: "A", value: "1" },
      { name: "B", value: "twice" },
    ],
    ports: [{ containerPort: 80 }, { containerPort: 80, protocol: "UDP" }, { containerPort: 443, name: "https" }],
    resources: { requests: { cpu: "1", memory: "1Gi" }, limits: {} },
    readinessProbe: { httpGet: { path: "/", port: "https" }, periodSeconds: 0 },
    securityContext: {},
    stdin: false,
  },
  {
    name: "a",
    image: "y",
    volumeMounts: [{ name: "v", mountPath: "/v" }],
    lifecycle: { preStop: { sleep: { seconds: 1 } } },
  },
];
const podSpec = {
  containers,
  nodeSelector: {},
  hostNetwork: false,
  tolerations: [{ operator: "Exists" }],
  volumes: [
    { name: "v", emptyDir: {} },
    { name: "c", configMap: { name: "", items: [] } },
  ],
  topologySpreadConstraints: [
    { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule", labelSelector: {} },
  ],
};
const metadata = {
  name: "x",
  namespace: "default",
  uid: "u",
  labels: { z: "1", "app.kubernetes.io/name": "", "<&>": "odd" },
  annotations: {},
  finalizers: ["b/x", "a/y"],
  ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "n", uid: "1" }],
};

const objects: readonly (readonly [group: string, version: string, kind: string, rest: JsonObject])[] = [
  ["", "v1", "Pod", { spec: podSpec, status: { phase: "Pending", conditions: [{ type: "Ready", status: "False" }] } }],
  [
    "apps",
    "v1",
    "Deployment",
    {
      spec: {
        replicas: 0,
        selector: { matchLabels: { a: "b" } },
        template: { metadata: { labels: { a: "b" } }, spec: podSpec },
        strategy: {},
      },
    },
  ],
  [
    "",
    "v1",
    "Service",
    {
      spec: {
        ports: [
          { port: 80, targetPort: 0 },
          { port: 53, protocol: "UDP", name: "dns" },
        ],
        selector: { a: "" },
        externalIPs: [],
      },
    },
  ],
  ["", "v1", "ConfigMap", { data: { b: "", a: "1" }, binaryData: {}, immutable: false }],
  ["", "v1", "Secret", { data: { a: "YQ==" }, type: "" }],
  ["", "v1", "Node", { spec: { taints: [{ key: "k", effect: "NoSchedule" }] }, status: { capacity: { cpu: "1" } } }],
  ["rbac.authorization.k8s.io", "v1", "ClusterRole", { rules: [], aggregationRule: { clusterRoleSelectors: [{}] } }],
  ["", "v1", "Namespace", {}],
];

for (const [group, version, kind, rest] of objects) {
  test(`the fields of a new ${kind} are those in which it differs from nothing, in order`, () => {
    const schema = facts.schemaOf(group, version, kind);
    assert.ok(schema);
    const apiVersion = group === "" ? version : `${group}/${version}`;
    const { object } = readObject(schema, { apiVersion, kind, metadata, ...rest });

    const raw = object as JsonObject;
    check(raw, schema);
    strategyOf(group, kind).applyDefaults?.(object as never);
    check(object as JsonObject, schema);
    check({ ...raw, undeclared: { b: [], a: null }, metadata: { ...metadata, odd: 1 } }, schema);
  });
}

function check(object: JsonObject, schema: Parameters<typeof createdFields>[1]): void {
  const { added, removed, modified } = compareObjects({}, object, schema);

  const set = createdFields(object, schema);

  assert.deepEqual(removed, {});
  assert.equal(JSON.stringify(set, undefined, 1), JSON.stringify(sortedSet(union(modified, added)), undefined, 1));
}

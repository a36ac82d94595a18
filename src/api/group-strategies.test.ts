/**
 * Defaults and validation of the kinds beyond core, apps, batch and rbac.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { loadKindFacts } from "./kind-facts-table.ts";
import { strategyOf } from "./strategies.ts";
import type { Draft } from "./strategy.ts";
import { parseCidr, validateImmutable } from "./validation.ts";

test("every strategy copes with objects without any values, and defaults are idempotent", () => {
  const facts = loadKindFacts();
  const codec = new ProtobufCodec();

  for (const { group, version, kind } of facts.resources) {
    const schema = facts.schemaOf(group, version, kind);
    assert(schema);
    const strategy = strategyOf(group, kind);
    for (const empty of [{ metadata: { name: "a" } }, codec.decode(schema, new Uint8Array())]) {
      const draft: Draft = structuredClone(empty);
      strategy.applyDefaults?.(draft);
      const once = structuredClone(draft);
      strategy.applyDefaults?.(draft);
      assert.deepEqual(draft, once, kind);
      strategy.validate?.(draft as KubeObject);
      strategy.validateUpdate?.(draft as KubeObject, once as KubeObject);
      strategy.validateStatusUpdate?.(draft as KubeObject, once as KubeObject);
      strategy.selectableFields?.(draft as KubeObject);
    }
  }
});

test("what clients leave out is filled in as upstream does", () => {
  const policy = defaulted("networking.k8s.io", "NetworkPolicy", { spec: { egress: [{ ports: [{ port: 53 }] }] } });
  assert.deepEqual(policy["spec"].policyTypes, ["Ingress", "Egress"]);
  assert.equal(policy["spec"].egress[0].ports[0].protocol, "TCP");
  const storageClass = defaulted("storage.k8s.io", "StorageClass", { provisioner: "x.io/y" });
  assert.deepEqual([storageClass["reclaimPolicy"], storageClass["volumeBindingMode"]], ["Delete", "Immediate"]);
  const webhooks = defaulted("admissionregistration.k8s.io", "MutatingWebhookConfiguration", {
    webhooks: [{ rules: [{}] }],
  });
  assert.deepEqual(webhooks["webhooks"][0], {
    failurePolicy: "Fail",
    matchPolicy: "Equivalent",
    namespaceSelector: {},
    objectSelector: {},
    timeoutSeconds: 10,
    reinvocationPolicy: "Never",
    rules: [{ scope: "*" }],
  });
  const behavior = { scaleDown: { stabilizationWindowSeconds: 60 } };
  const autoscaler = defaulted("autoscaling", "HorizontalPodAutoscaler", {
    apiVersion: "autoscaling/v2",
    spec: { behavior },
  });
  assert.equal(autoscaler["spec"].minReplicas, 1);
  assert.equal(autoscaler["spec"].metrics[0].resource.target.averageUtilization, 80);
  assert.equal(autoscaler["spec"].behavior.scaleUp.policies.length, 2);
  assert.equal(autoscaler["spec"].behavior.scaleDown.stabilizationWindowSeconds, 60);
});

test("wrong objects are told with upstream's fields and messages", () => {
  const cases: [string, string, object, string[]][] = [
    [
      "networking.k8s.io",
      "Ingress",
      { spec: {} },
      ["spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"],
    ],
    [
      "networking.k8s.io",
      "Ingress",
      {
        spec: {
          rules: [
            {
              http: {
                paths: [{ path: "a", pathType: "Prefix", backend: { service: { name: "s", port: { number: 80 } } } }],
              },
            },
          ],
        },
      },
      ['spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path'],
    ],
    [
      "networking.k8s.io",
      "NetworkPolicy",
      { spec: { ingress: [{ from: [{}, { ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/16"] } }] }] } },
      [
        "spec.ingress[0].from[0]: Required value: must specify a peer",
        'spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
      ],
    ],
    [
      "policy",
      "PodDisruptionBudget",
      { spec: { minAvailable: "120%" } },
      ['spec.minAvailable: Invalid value: "120%": must not be greater than 100%'],
    ],
    [
      "scheduling.k8s.io",
      "PriorityClass",
      { metadata: { name: "a" }, value: 1_000_000_001 },
      ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ],
    [
      "coordination.k8s.io",
      "Lease",
      { spec: { leaseDurationSeconds: 0 } },
      ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    ],
    [
      "discovery.k8s.io",
      "EndpointSlice",
      { addressType: "IPv4", endpoints: [{ addresses: ["::1"] }] },
      ['endpoints[0].addresses: Invalid value: "::1": must be an IPv4 address'],
    ],
    [
      "autoscaling",
      "HorizontalPodAutoscaler",
      {
        spec: {
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "a" },
          minReplicas: 3,
          maxReplicas: 2,
        },
      },
      ["spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"],
    ],
  ];

  for (const [group, kind, object, expected] of cases) {
    const errors = strategyOf(group, kind).validate?.(object as KubeObject) ?? [];
    assert.deepEqual(
      errors.map(({ field, message }) => `${field}: ${message}`),
      expected,
      kind,
    );
  }
});

test("what may not change is told", () => {
  const old = { provisioner: "a.io/b", parameters: {} } as KubeObject;
  const changed = { provisioner: "a.io/c" } as KubeObject;

  const errors = strategyOf("storage.k8s.io", "StorageClass").validateUpdate?.(changed, old) ?? [];

  assert.deepEqual(
    errors.map(({ field, message }) => `${field}: ${message}`),
    ['provisioner: Invalid value: "a.io/c": field is immutable'],
  );
  assert.deepEqual(validateImmutable("x", { a: [1, { b: 2 }], c: {} }, { a: [1, { b: 2 }] }), []);
  assert.equal(validateImmutable("x", { a: [1] }, { a: { 0: 1 } }).length, 1);
});

test("CIDRs of both families are read", () => {
  assert.deepEqual(parseCidr("10.1.2.3/8"), { isV4: true, network: 10n << 24n, prefix: 8 });
  assert.deepEqual(parseCidr("2001:db8::1/32"), { isV4: false, network: 0x20010db8n << 96n, prefix: 32 });
  assert.equal(parseCidr("::ffff:1.2.3.4/128")?.network, 0xffff01020304n);
  for (const text of ["10.0.0.0", "10.0.0.0/33", "x/8", "::/129"]) assert.equal(parseCidr(text), undefined, text);
});

function defaulted(group: string, kind: string, object: object): Draft {
  const draft: Draft = structuredClone(object);
  strategyOf(group, kind).applyDefaults?.(draft);
  return draft;
}

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
      [
        'endpoints[0].addresses: Invalid value: "::1": must be an IPv4 address',
        'endpoints[0].addresses[0]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
      ],
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
    [
      "autoscaling",
      "HorizontalPodAutoscaler",
      {
        spec: {
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "a" },
          minReplicas: 0,
          maxReplicas: 2,
          metrics: [{ type: "X" }],
        },
      },
      [
        "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        'spec.metrics[0].type: Unsupported value: "X": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
        "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
      ],
    ],
    [
      "admissionregistration.k8s.io",
      "ValidatingWebhookConfiguration",
      {
        webhooks: [
          {
            name: "a.b.c",
            sideEffects: "None",
            clientConfig: {},
            admissionReviewVersions: ["v9"],
            rules: [
              {
                operations: ["*", "X"],
                apiVersions: ["*", ""],
                resources: ["pods/*", "pods/status", "*/scale", "jobs/scale", "*", "pods"],
                scope: "x",
              },
            ],
          },
        ],
      },
      [
        `webhooks[0].rules[0].operations: Invalid value: ["*","X"]: if '*' is present, must not specify other operations`,
        'webhooks[0].rules[0].operations[1]: Unsupported value: "X": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
        "webhooks[0].rules[0].apiGroups: Required value",
        `webhooks[0].rules[0].apiVersions: Invalid value: ["*",""]: if '*' is present, must not specify other API versions`,
        "webhooks[0].rules[0].apiVersions[1]: Required value",
        `webhooks[0].rules[0].resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status`,
        `webhooks[0].rules[0].resources[3]: Invalid value: "jobs/scale": if '*/scale' is present, must not specify jobs/scale`,
        `webhooks[0].rules[0].resources: Invalid value: ["pods/*","pods/status","*/scale","jobs/scale","*","pods"]: if '*' is present, must not specify other resources without subresources`,
        'webhooks[0].rules[0].scope: Unsupported value: "x": supported values: "*", "Cluster", "Namespaced"',
        "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        'webhooks[0].admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1',
      ],
    ],
    [
      "",
      "Endpoints",
      {
        subsets: [
          {
            ports: [
              { port: 80, protocol: "TCP" },
              { name: "b", port: 0, protocol: "X" },
            ],
          },
          { addresses: [{ ip: "169.254.1.1", hostname: "A" }], notReadyAddresses: [{ ip: "224.0.0.1" }] },
        ],
      },
      [
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
        "subsets[0].ports[0].name: Required value",
        "subsets[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        'subsets[0].ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
        'subsets[1].addresses[0].ip: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
        `subsets[1].addresses[0].hostname: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
        'subsets[1].notReadyAddresses[0].ip: Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
      ],
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

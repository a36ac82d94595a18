import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBindingSpec,
  ValidatingAdmissionPolicySpec,
} from "#api/generated/types/admissionregistration-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeInformer } from "#client/testing/fake-informer.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { FakeClock } from "#component-base/clock.ts";
import { ValidatingAdmissionPolicyPlugin } from "./validating-admission-policy.ts";

const deployments = { apiGroups: ["apps"], apiVersions: ["v1"], resources: ["deployments"], operations: ["CREATE"] };

/** A write of a Deployment under one policy and its binding: gives the refusal, and the warnings. */
async function admit(
  spec: ValidatingAdmissionPolicySpec,
  object: object,
  binding: Partial<ValidatingAdmissionPolicyBindingSpec> = {},
): Promise<{ readonly refusal: StatusError | undefined; readonly warnings: readonly string[] }> {
  const policy: ValidatingAdmissionPolicy = {
    metadata: { name: "p" },
    spec: { matchConstraints: { resourceRules: [deployments] }, ...spec },
  };
  const plugin = new ValidatingAdmissionPolicyPlugin({
    client: createClient(new FakeTransport({ clock: new FakeClock() })),
    policies: new FakeInformer([policy]),
    bindings: new FakeInformer([
      { metadata: { name: "b" }, spec: { policyName: "p", validationActions: ["Deny"], ...binding } },
    ]),
    namespaces: new FakeInformer([{ metadata: { name: "default", labels: { team: "a" } } }]),
  });
  const warnings: string[] = [];
  const attributes: AdmissionAttributes = {
    request: {
      isResourceRequest: true,
      path: "",
      verb: "create",
      apiGroup: "apps",
      apiVersion: "v1",
      namespace: "default",
      resource: "deployments",
      subresource: "",
      name: "",
    },
    operation: "CREATE",
    user: { name: "ann", groups: ["dev"] },
    dryRun: false,
    kind: { group: "apps", version: "v1", kind: "Deployment" },
    object: { metadata: { name: "web", namespace: "default" }, ...object } as KubeObject,
    oldObject: undefined,
    options: undefined,
    warn: (text) => warnings.push(text),
  };
  assert.ok(plugin.handles(attributes));
  try {
    await plugin.validate(attributes);
    return { refusal: undefined, warnings };
  } catch (error) {
    assert.ok(error instanceof StatusError);
    return { refusal: error, warnings };
  }
}

const moreThanOne = { validations: [{ expression: "object.spec.replicas > 1" }] };

test("a write that breaks a policy is refused with its expression", async () => {
  const { refusal } = await admit(moreThanOne, { spec: { replicas: 1 } });
  const why =
    "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.spec.replicas > 1";
  assert.equal(refusal?.message, `deployments.apps "web" is forbidden: ${why}`);
  assert.equal(refusal?.reason, "Invalid");
  assert.equal(refusal?.code, 422);
  assert.equal((await admit(moreThanOne, { spec: { replicas: 2 } })).refusal, undefined);
});

test("a policy may say why in its own words and with its own reason", async () => {
  const validation = {
    expression: "false",
    messageExpression: "'no, ' + request.userInfo.username",
    reason: "Forbidden",
  };
  const { refusal } = await admit({ validations: [validation] }, {});
  assert.match(refusal?.message ?? "", /denied request: no, ann$/);
  assert.equal(refusal?.code, 403);
});

test("variables build on each other", async () => {
  const spec = {
    variables: [
      { name: "replicas", expression: "object.spec.replicas" },
      { name: "isOdd", expression: "variables.replicas % 2 == 1" },
    ],
    validations: [{ expression: "variables.replicas > 1 && variables.isOdd" }],
  };
  assert.equal((await admit(spec, { spec: { replicas: 3 } })).refusal, undefined);
  assert.ok((await admit(spec, { spec: { replicas: 2 } })).refusal);
});

test("expressions see the namespace; conditions keep a policy out", async () => {
  const spec = { validations: [{ expression: "namespaceObject.metadata.labels.team == 'b'" }] };
  assert.ok((await admit(spec, {})).refusal);
  const conditions = { matchConditions: [{ name: "not-ann", expression: "request.userInfo.username != 'ann'" }] };
  assert.equal((await admit({ ...spec, ...conditions }, {})).refusal, undefined);
});

test("rules and selectors say which writes are meant", async () => {
  const other = { matchConstraints: { resourceRules: [{ ...deployments, resources: ["replicasets"] }] } };
  assert.equal((await admit({ ...moreThanOne, ...other }, { spec: { replicas: 1 } })).refusal, undefined);
  const selector = { matchResources: { namespaceSelector: { matchLabels: { team: "b" } } } };
  assert.equal((await admit(moreThanOne, { spec: { replicas: 1 } }, selector)).refusal, undefined);
});

test("an expression that fails refuses, unless the policy says to ignore that", async () => {
  const { refusal } = await admit(moreThanOne, {});
  assert.match(refusal?.message ?? "", /expression 'object.spec.replicas > 1' resulted in error: no such key: spec/);
  assert.equal((await admit({ ...moreThanOne, failurePolicy: "Ignore" }, {})).refusal, undefined);
  const broken = await admit({ validations: [{ expression: "foo(" }] }, {});
  assert.match(broken.refusal?.message ?? "", /compilation failed: ERROR: <input>:1:5: Syntax error/);
});

test("a binding that only warns lets the write pass", async () => {
  const { refusal, warnings } = await admit(moreThanOne, { spec: { replicas: 1 } }, { validationActions: ["Warn"] });
  assert.equal(refusal, undefined);
  assert.deepEqual(warnings, [
    "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: object.spec.replicas > 1",
  ]);
});

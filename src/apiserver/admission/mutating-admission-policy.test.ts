import assert from "node:assert/strict";
import { test } from "node:test";
import type { MutatingAdmissionPolicySpec, Mutation } from "#api/generated/types/admissionregistration-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeInformer } from "#client/testing/fake-informer.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { FakeClock } from "#component-base/clock.ts";
import { MutatingAdmissionPolicyPlugin } from "./mutating-admission-policy.ts";

const attributes: AdmissionAttributes = {
  request: {
    isResourceRequest: true,
    path: "",
    verb: "create",
    apiGroup: "",
    apiVersion: "v1",
    namespace: "default",
    resource: "configmaps",
    subresource: "",
    name: "",
  },
  operation: "CREATE",
  user: { name: "ann", groups: [] },
  dryRun: false,
  kind: { group: "", version: "v1", kind: "ConfigMap" },
  object: { metadata: { name: "web" }, data: { a: "1" } } as KubeObject,
  oldObject: undefined,
  options: undefined,
  merge: (object, applied) => ({ ...object, ...applied }),
};

async function mutated(mutation: Mutation, spec: MutatingAdmissionPolicySpec = {}): Promise<KubeObject | undefined> {
  const plugin = new MutatingAdmissionPolicyPlugin({
    client: createClient(new FakeTransport({ clock: new FakeClock() })),
    policies: new FakeInformer([{ metadata: { name: "p" }, spec: { mutations: [mutation], ...spec } }]),
    bindings: new FakeInformer([{ metadata: { name: "b" }, spec: { policyName: "p" } }]),
    namespaces: new FakeInformer([{ metadata: { name: "default" } }]),
  });
  assert.ok(plugin.handles(attributes));
  return await plugin.mutate(attributes);
}

test("an expression gives the operations of a JSON patch", async () => {
  const expression = "[JSONPatch{op: 'add', path: '/data/b', value: object.data.a + '2'}]";
  const object = await mutated({ patchType: "JSONPatch", jsonPatch: { expression } });
  assert.deepEqual(object, { metadata: { name: "web" }, data: { a: "1", b: "12" } });
});

test("an expression gives the fields that are to be merged", async () => {
  const expression = "Object{data: Object.data{b: variables.who}}";
  const spec = { variables: [{ name: "who", expression: "request.userInfo.username" }] };
  const object = await mutated({ patchType: "ApplyConfiguration", applyConfiguration: { expression } }, spec);
  assert.deepEqual(object, { metadata: { name: "web" }, data: { b: "ann" } });
});

test("an expression that fails refuses the write, unless the policy says to ignore that", async () => {
  const mutation = { patchType: "JSONPatch", jsonPatch: { expression: "[object.none]" } };
  await assert.rejects(mutated(mutation), {
    message: /MutatingAdmissionPolicy 'p' with binding 'b' denied request: .*no such key: none/,
  });
  assert.deepEqual(await mutated(mutation, { failurePolicy: "Ignore" }), attributes.object);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { StoredOnlyWarnings } from "./stored-only.ts";

async function warningsOf(kind: string, more: { readonly operation?: string; readonly subresource?: string } = {}) {
  const { operation = "CREATE", subresource = "" } = more;
  const [group = "", name = ""] = kind.split("/");
  const said: string[] = [];
  const attributes = {
    operation,
    request: { subresource },
    kind: { group, version: "v1", kind: name },
    warn: (text: string) => said.push(text),
  } as unknown as AdmissionAttributes;
  const plugin = new StoredOnlyWarnings();
  if (plugin.handles(attributes)) await plugin.validate(attributes);
  return said;
}

test("whoever writes what nothing acts on is told so, other writes are silent", async () => {
  const policy = "networking.k8s.io/NetworkPolicy";
  const told = ["NetworkPolicy is stored but not enforced yet: see SCOPE.md of nodeless"];
  assert.deepEqual(await warningsOf(policy), told);
  assert.deepEqual(await warningsOf(policy, { operation: "UPDATE" }), told);
  assert.match((await warningsOf("/PersistentVolumeClaim")).join(), /^PersistentVolumeClaim .* stay Pending: see/);

  assert.deepEqual(await warningsOf("apps/Deployment"), []);
  assert.deepEqual(await warningsOf(policy, { operation: "DELETE" }), []);
  assert.deepEqual(await warningsOf(policy, { operation: "UPDATE", subresource: "status" }), []);
});

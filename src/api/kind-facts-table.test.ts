import assert from "node:assert/strict";
import { test } from "node:test";
import type { Schema } from "#apimachinery/schema.ts";
import { loadKindFacts } from "./kind-facts-table.ts";

const facts = loadKindFacts();

test("discovery's facts of a resource are all there", () => {
  const pods = facts.findResource("", "v1", "pods");

  assert.equal(pods?.kind, "Pod");
  assert.equal(pods?.singular, "pod");
  assert.deepEqual(pods?.shortNames, ["po"]);
  assert.deepEqual(pods?.categories, ["all"]);
  assert.equal(pods?.isNamespaced, true);
  const eviction = pods?.subresources.find((subresource) => subresource.name === "eviction");
  assert.deepEqual(eviction, { name: "eviction", group: "policy", version: "v1", kind: "Eviction", verbs: ["create"] });
});

test("a kind of several versions is stored in the one that upstream prefers", () => {
  assert.equal(facts.findResource("autoscaling", "v1", "horizontalpodautoscalers")?.storageVersion, "v2");
  assert.equal(facts.findResource("resource.k8s.io", "v1beta1", "resourceclaims")?.storageVersion, "v1");
  assert.equal(facts.findResource("resource.k8s.io", "v1beta1", "resourceclaims")?.isEnabledByDefault, false);
});

test("fields carry numbers, merge keys, list types and defaults", () => {
  const containers = field("", "v1", "Pod", "spec", "containers");
  const protocol = field("", "v1", "Pod", "spec", "containers", "ports", "protocol");
  const secret = field("", "v1", "Pod", "spec", "volumes", "secret");

  assert.equal(containers.protobufNumber, 2);
  assert.equal(containers.isRequired, true);
  assert(containers.schema.kind === "list");
  assert.equal(containers.schema.listType, "map");
  assert.equal(containers.schema.patchMergeKey, "name");
  assert.equal(protocol.default, "TCP");
  assert.deepEqual(protocol.schema, {
    kind: "scalar",
    type: "string",
    enum: ["TCP", "UDP", "SCTP"],
    goType: "v1.Protocol",
  });
  assert.deepEqual([secret.protobufPath, secret.protobufNumber, secret.isPointer], [[2], 6, true]);
});

test("a field may say that its type's merging differs: claimRef of a PersistentVolume is granular", () => {
  const claimRef = field("", "v1", "PersistentVolume", "spec", "claimRef").schema;

  assert(claimRef.kind === "struct");
  assert.equal(claimRef.mapType, "granular");
  assert.equal(facts.structOf("io.k8s.api.core.v1.ObjectReference")?.mapType, "atomic");
});

test("every resource and subresource has a schema, and so have the kinds that all groups share", () => {
  for (const resource of facts.resources) {
    assert(facts.schemaOf(resource.group, resource.version, resource.kind), resource.kind);
    for (const { group, version, kind } of resource.subresources) assert(facts.schemaOf(group, version, kind), kind);
  }
  assert.equal(
    facts.schemaOf("apps", "v1", "DeleteOptions")?.name,
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
  );
  assert.equal(facts.schemaOf("apps", "v1", "Nonsense"), undefined);
});

test("every line of the table can be parsed", () => {
  const seen = new Set<Schema>();
  const walk = (schema: Schema | undefined): void => {
    if (schema === undefined || seen.has(schema)) return;
    seen.add(schema);
    if (schema.kind === "struct") for (const each of schema.fields.values()) walk(each.schema);
    if (schema.kind === "list") walk(schema.items);
    if (schema.kind === "map") walk(schema.values);
  };

  for (const resource of facts.resources) walk(facts.schemaOf(resource.group, resource.version, resource.kind));

  assert(seen.size > 2000);
});

function field(group: string, version: string, kind: string, ...path: readonly string[]) {
  let schema: Schema | undefined = facts.schemaOf(group, version, kind);
  let found = undefined;
  for (const name of path) {
    if (schema?.kind === "list") schema = schema.items;
    assert(schema?.kind === "struct");
    found = schema.fields.get(name);
    schema = found?.schema;
  }
  assert(found, path.join("."));
  return found;
}

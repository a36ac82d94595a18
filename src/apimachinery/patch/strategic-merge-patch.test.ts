import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "#apimachinery/json.ts";
import type { FieldSchema, ListSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { applyStrategicMergePatch } from "./strategic-merge-patch.ts";

const text: Schema = { kind: "scalar", type: "string" };
const labels: Schema = { kind: "map", values: text, mapType: "granular", patchStrategy: [] };

function list(items: Schema, patchMergeKey?: string, patchStrategy: readonly string[] = []): ListSchema {
  const base = { kind: "list", items, listType: "atomic", mapKeys: [], patchStrategy } as const;
  return patchMergeKey === undefined ? base : { ...base, patchMergeKey };
}

function struct(name: string, fields: Readonly<Record<string, Schema | readonly [Schema, string]>>): StructSchema {
  const entries = Object.entries(fields).map(([key, value]): [string, FieldSchema] => {
    const [schema, strategy] = "kind" in value ? [value, undefined] : value;
    const own = strategy?.split(",") ?? ("patchStrategy" in schema ? schema.patchStrategy : []);
    return [key, { name: key, schema, patchStrategy: own, isRequired: false, omitEmpty: true }];
  });
  return { kind: "struct", name, fields: new Map(entries), mapType: "granular", preservesUnknownFields: false };
}

const env = struct("EnvVar", { name: text, value: text });
const container = struct("Container", {
  name: text,
  image: text,
  args: list(text),
  env: list(env, "name", ["merge"]),
});
const strategy = struct("Strategy", { type: text, rollingUpdate: struct("Rolling", { maxSurge: text }) });
const schema = struct("Deployment", {
  labels,
  finalizers: list(text, undefined, ["merge"]),
  containers: list(container, "name", ["merge"]),
  strategy: [strategy, "retainKeys"],
});

const web = {
  labels: { app: "web", old: "1" },
  finalizers: ["a", "b"],
  containers: [
    { name: "web", image: "nginx:1", env: [{ name: "A", value: "1" }], args: ["x"] },
    { name: "log", image: "fluent" },
  ],
  strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "1" } },
};

function patched(patch: unknown): JsonObject {
  const before = JSON.stringify([web, patch]);
  const result = applyStrategicMergePatch(web, patch, schema);
  assert.equal(JSON.stringify([web, patch]), before, "inputs must not change");
  return result;
}

test("lists with a merge key are merged by it, other lists are replaced", () => {
  const result = patched({
    containers: [{ name: "web", image: "nginx:2", args: ["y"], env: [{ name: "B", value: "2" }] }],
  });
  assert.deepEqual(result["containers"], [
    {
      name: "web",
      image: "nginx:2",
      env: [
        { name: "B", value: "2" },
        { name: "A", value: "1" },
      ],
      args: ["y"],
    },
    { name: "log", image: "fluent" },
  ]);
});

test("what does not change is shared with the input", () => {
  const result = patched({ labels: { app: "db" } });
  assert.equal(result["containers"], web.containers);
  assert.deepEqual(result["labels"], { app: "db", old: "1" });
});

test("null deletes, also through $patch: delete in a list", () => {
  const result = patched({ labels: { old: null }, containers: [{ name: "log", $patch: "delete" }] });
  assert.deepEqual(result["labels"], { app: "web" });
  assert.deepEqual(result["containers"], [web.containers[0]]);
});

test("$patch: replace replaces objects and lists", () => {
  const result = patched({
    labels: { $patch: "replace", only: "me" },
    containers: [{ $patch: "replace" }, { name: "new", image: "x" }],
  });
  assert.deepEqual(result["labels"], { only: "me" });
  assert.deepEqual(result["containers"], [{ name: "new", image: "x" }]);
});

test("$retainKeys drops what it does not name", () => {
  const result = patched({ strategy: { $retainKeys: ["type"], type: "Recreate" } });
  assert.deepEqual(result["strategy"], { type: "Recreate" });
  assert.throws(() => patched({ strategy: { $retainKeys: ["rollingUpdate"], type: "Recreate" } }), {
    code: 400,
    message: "invalid patch format of retainKeys",
  });
});

test("scalars are added to merged lists and deleted by $deleteFromPrimitiveList", () => {
  const result = patched({ finalizers: ["c"], "$deleteFromPrimitiveList/finalizers": ["a"] });
  assert.deepEqual(result["finalizers"], ["c", "b"]);
});

test("$setElementOrder orders the result and must fit the patch", () => {
  const order = [{ name: "log" }, { name: "web" }];
  const result = patched({ "$setElementOrder/containers": order });
  assert.deepEqual(
    (result["containers"] as { name: string }[]).map((item) => item.name),
    ["log", "web"],
  );
  assert.throws(
    () => patched({ "$setElementOrder/containers": order, containers: [{ name: "web" }, { name: "log" }] }),
    /doesn't match \$setElementOrder list/,
  );
});

test("elements that the patch deletes make room for new ones in the server's order", () => {
  const document = { containers: [{ name: "1" }, { name: "2" }, { name: "4" }] };
  const patch = {
    "$setElementOrder/containers": [{ name: "2" }, { name: "3" }],
    containers: [{ name: "3" }, { name: "1", $patch: "delete" }],
  };
  assert.deepEqual(applyStrategicMergePatch(document, patch, schema), {
    containers: [{ name: "2" }, { name: "4" }, { name: "3" }],
  });
});

test("directives and nulls do not end up in new objects", () => {
  const added = { name: "new", image: null, "$setElementOrder/env": [{ name: "A" }], env: [{ name: "A", value: "1" }] };
  const result = patched({ containers: [added] });
  assert.deepEqual((result["containers"] as JsonObject[])[0], { name: "new", env: [{ name: "A", value: "1" }] });
});

test("elements without their merge key are refused in upstream's words", () => {
  assert.throws(() => patched({ containers: [{ image: "x" }] }), {
    code: 500,
    message: "map: map[image:x] does not contain declared merge key: name",
  });
});

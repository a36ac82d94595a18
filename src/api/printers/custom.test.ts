import assert from "node:assert/strict";
import { test } from "node:test";
import { customTablePrinter } from "./custom.ts";
import { compileJsonPath } from "./json-path.ts";

const now = Date.parse("2026-01-01T01:00:00Z");
const object = {
  metadata: { name: "a", creationTimestamp: "2026-01-01T00:00:00Z", labels: { "app.kubernetes.io/name": "x" } },
  spec: {
    replicas: 3,
    ratio: 0.5,
    on: true,
    items: ["a", "b", "c"],
    ports: [
      { name: "http", port: 80 },
      { name: "x", port: 8080 },
    ],
  },
  status: {
    conditions: [
      { type: "Synced", status: "False" },
      { type: "Ready", status: "True" },
    ],
  },
};

test("columns of a definition are found by their paths and shown by their types", () => {
  const printer = customTablePrinter([
    { name: "Replicas", type: "integer", jsonPath: ".spec.replicas" },
    { name: "Ratio", type: "number", jsonPath: ".spec.ratio" },
    { name: "On", type: "boolean", jsonPath: ".spec.on", priority: 1 },
    { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: "Items", type: "string", jsonPath: ".spec.items" },
    { name: "Missing", type: "string", jsonPath: ".spec.nothing.here" },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ]);

  assert.deepEqual(printer.row(object, now), ["a", 3, 0.5, true, "True", '["a","b","c"]', null, "60m"]);
  assert.equal(printer.columns[3]?.priority, 1);
});

test("without columns the age is shown", () => {
  const printer = customTablePrinter(undefined);

  assert.deepEqual(
    printer.columns.map(({ name }) => name),
    ["Name", "Age"],
  );
  assert.deepEqual(printer.row(object, now), ["a", "60m"]);
});

test("paths may quote, escape, index, slice, descend and filter", () => {
  const cases: [string, unknown[]][] = [
    [".metadata.labels.app\\.kubernetes\\.io/name", ["x"]],
    [".metadata.labels['app\\.kubernetes\\.io/name']", ["x"]],
    [".metadata.labels['app.kubernetes.io/name']", ["x"]],
    [".spec.items[1]", ["b"]],
    [".spec.items[-1]", ["c"]],
    [".spec.items[0:2]", ["a", "b"]],
    [".spec.items[*]", ["a", "b", "c"]],
    [".spec.ports[*].port", [80, 8080]],
    [".spec.ports[?(@.port>80)].name", ["x"]],
    [".spec.ports[?(@.name!='http')].port", [8080]],
    ["..port", [80, 8080]],
    ["spec.replicas", [3]],
    [".__proto__", []],
    [".spec.constructor", []],
  ];

  for (const [path, expected] of cases) assert.deepEqual(compileJsonPath(path)(object), expected, path);
});

test("paths that cannot be read are refused", () => {
  for (const path of [".spec[", ".spec[abc]", ".spec.items[?(@.a==1)"]) {
    assert.throws(() => compileJsonPath(path), { kind: "JsonPathError" }, path);
  }
});

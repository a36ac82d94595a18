/** What other servers have in /openapi/v2: as kube-openapi's pkg/aggregator merges it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Slices } from "#apiserver/negotiation/slices.ts";
import { mergeSpecs, specBelow } from "./merge-openapi-v2.ts";

const meta = { type: "object", properties: { name: { type: "string" } } };
const kind = (group: string) => ({ group, version: "v1", kind: "DeleteOptions" });
const reference = (name: string) => ({ $ref: `#/definitions/${name}` });
const own = {
  swagger: "2.0",
  info: { title: "Kubernetes" },
  paths: { "/apis/apps/v1/a": { get: { responses: {} } } },
  definitions: {
    Meta: meta,
    Options: { type: "object", "x-kubernetes-group-version-kind": [kind("apps")] },
    Shared: { type: "string" },
  },
};

function documentOf(changes: object = {}): object {
  return {
    swagger: "2.0",
    paths: {
      "/apis/wardle/v1/flunders": {
        parameters: [{ $ref: "#/parameters/pretty" }],
        get: {
          parameters: [{ name: "body", in: "body", schema: reference("Options") }],
          responses: { 200: { schema: reference("Flunder") } },
        },
      },
      "/apis/other/v1/things": { get: { responses: { 200: { schema: reference("Thing") } } } },
    },
    parameters: { pretty: { name: "pretty", in: "query", type: "string" } },
    definitions: {
      Flunder: { properties: { metadata: reference("Meta"), shared: reference("Shared") } },
      Meta: { ...meta, description: "words make no other definition of it" },
      Options: { type: "object", "x-kubernetes-group-version-kind": [kind("wardle")] },
      Shared: { type: "integer" },
      Thing: { type: "object" },
      Unused: { type: "object" },
    },
    ...changes,
  };
}

test("of another server's document the paths of its group and version are taken, and the definitions that they need", () => {
  const { paths, definitions } = specBelow(documentOf(), "/apis/wardle/v1/");

  assert.deepEqual(Object.keys(paths), ["/apis/wardle/v1/flunders"]);
  assert.deepEqual(Object.keys(definitions), ["Flunder", "Meta", "Options", "Shared", "Unused"]);
  assert.deepEqual((paths["/apis/wardle/v1/flunders"] as { parameters: unknown }).parameters, [
    { name: "pretty", in: "query", type: "string" },
  ]);
});

test("what is defined here already is used from here, and what is defined otherwise gets a name of its own", async () => {
  const merged = await mergeSpecs(own, [specBelow(documentOf(), "/apis/wardle/v1/")], new Slices());
  const definitions = merged["definitions"] as Record<string, unknown>;

  assert.deepEqual(Object.keys(merged["paths"] as object), ["/apis/apps/v1/a", "/apis/wardle/v1/flunders"]);
  assert.deepEqual(definitions["Meta"], meta);
  assert.deepEqual(definitions["Shared"], { type: "string" });
  assert.deepEqual(definitions["Shared_v2"], { type: "integer" });
  assert.deepEqual(definitions["Flunder"], {
    properties: { metadata: reference("Meta"), shared: reference("Shared_v2") },
  });
  assert.deepEqual(definitions["Options"], {
    type: "object",
    "x-kubernetes-group-version-kind": [kind("apps"), kind("wardle")],
  });
  assert.deepEqual(own.definitions.Options["x-kubernetes-group-version-kind"], [kind("apps")]);
});

test("two servers that define the same differently from here share the second name; others get a third", async () => {
  const second = specBelow(
    documentOf({ paths: { "/apis/x/v1/a": { get: { schema: reference("Shared") } } } }),
    "/apis/x/v1/",
  );
  const definitions = { Shared: { type: "boolean" } };
  const third = specBelow(
    documentOf({ paths: { "/apis/y/v1/a": { get: { schema: reference("Shared") } } }, definitions }),
    "/apis/y/v1/",
  );
  const first = specBelow(documentOf(), "/apis/wardle/v1/");

  const merged = await mergeSpecs(own, [first, second, third], new Slices());

  const paths = merged["paths"] as Record<string, unknown>;
  assert.deepEqual(paths["/apis/x/v1/a"], { get: { schema: reference("Shared_v2") } });
  assert.deepEqual(paths["/apis/y/v1/a"], { get: { schema: reference("Shared_v3") } });
  assert.deepEqual((merged["definitions"] as Record<string, unknown>)["Shared_v3"], { type: "boolean" });
});

test("paths that are there already stay, and nothing else comes with those that are not taken", async () => {
  const other = specBelow(documentOf(), "/apis/wardle/v1/");

  assert.deepEqual(await mergeSpecs({ ...own, paths: other.paths }, [other], new Slices()), {
    ...own,
    paths: other.paths,
  });
});

test("what is no OpenAPI v2, or nested without end, is refused", () => {
  const deep = JSON.parse(`${'{"a":'.repeat(600)}1${"}".repeat(600)}`);

  assert.throws(() => specBelow({ openapi: "3.0.0" }, "/"));
  assert.throws(() => specBelow([], "/"));
  assert.throws(() => specBelow(documentOf({ paths: { "/a": null } }), "/"));
  assert.throws(() => specBelow(documentOf({ definitions: { Deep: deep } }), "/"), /nested too deeply/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import type { ResourceFacts } from "#api/kind-facts.ts";
import { ProtobufReader } from "#apimachinery/codecs/protobuf-reader.ts";
import { OpenApi } from "./openapi.ts";
import type { OpenApiResource } from "./operations.ts";

const facts = loadKindFacts();
const builtIn = facts.resources.map((resource): OpenApiResource => ({ facts: resource }));
const openApi = new OpenApi({ facts, resources: [...builtIn, widget()], version: "v1.36.3" });
const deployments = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}";
const widgets = "/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}";

test("the index names a document per group and version, with a hash that changes with its content", async () => {
  const index = JSON.parse(openApi.index().body.toString());
  const other = new OpenApi({ facts, resources: builtIn, version: "v1.36.4" });

  assert.match(index.paths["apis/apps/v1"].serverRelativeURL, /^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]{128}$/);
  assert(index.paths["api/v1"]);
  assert(index.paths["apis/stable.example.com/v1"]);
  assert.notDeepEqual(JSON.parse(other.index().body.toString()).paths["api/v1"], index.paths["api/v1"]);
  assert.equal(openApi.v3("apis/nothing/v1"), undefined);
});

test("version 3 tells kubectl of strategic merge and field validation, for built-in kinds only", async () => {
  const patch = (await v3("apis/apps/v1")).paths[deployments].patch;
  const customPatch = (await v3("apis/stable.example.com/v1")).paths[widgets].patch;

  assert.deepEqual(patch["x-kubernetes-group-version-kind"], { group: "apps", version: "v1", kind: "Deployment" });
  assert(patch.requestBody.content["application/strategic-merge-patch+json"]);
  assert(patch.parameters.some((parameter: { name: string }) => parameter.name === "fieldValidation"));
  assert.equal(customPatch.requestBody.content["application/strategic-merge-patch+json"], undefined);
  assert(customPatch.requestBody.content["application/apply-patch+yaml"]);
  assert(customPatch.parameters.some((parameter: { name: string }) => parameter.name === "fieldValidation"));
});

test("version 3 shows merge keys, list types, required fields and defaults as upstream", async () => {
  const schemas = (await v3("apis/apps/v1")).components.schemas;

  assert.deepEqual(schemas["io.k8s.api.core.v1.PodSpec"].properties.containers, {
    type: "array",
    items: { allOf: [{ $ref: "#/components/schemas/io.k8s.api.core.v1.Container" }], default: {} },
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "x-kubernetes-patch-merge-key": "name",
    "x-kubernetes-patch-strategy": "merge",
  });
  const port = schemas["io.k8s.api.core.v1.ContainerPort"];
  assert.deepEqual(port.required, ["containerPort"]);
  assert.deepEqual(port.properties.protocol, { type: "string", enum: ["SCTP", "TCP", "UDP"], default: "TCP" });
  assert.deepEqual(schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"], [
    { group: "apps", version: "v1", kind: "Deployment" },
  ]);
});

test("documents of what stays the same are carried over when something else changes", async () => {
  const resources = [...builtIn, widget()];
  const before = new OpenApi({ facts, resources, version: "v1.36.3" });
  const apps = await before.v3("apis/apps/v1");
  const widgetsBefore = await before.v3("apis/stable.example.com/v1");

  const after = new OpenApi({ facts, resources: [...builtIn, widget()], version: "v1.36.3", previous: before });

  assert.equal(await after.v3("apis/apps/v1"), apps);
  assert.notEqual(await after.v3("apis/stable.example.com/v1"), widgetsBefore);
  assert.equal(after.urlOf("apis/apps/v1"), before.urlOf("apis/apps/v1"));
});

test("what other servers have is in version 2, in both forms; the document is made again when that changes", async () => {
  const parameters = [{ name: "Accept", in: "header", type: "string", description: "a header of theirs" }];
  const definition = { type: ["string", "null"], items: [{ type: "string", description: "an item of theirs" }] };
  const other = {
    paths: { "/apis/wardle/v1/flunders": { get: { parameters } } },
    definitions: { Flunder: definition },
  };

  const json = await openApi.v2Json([other]);
  const protobuf = (await openApi.v2Protobuf([other])).body.toString("latin1");

  assert.deepEqual(JSON.parse(json.body.toString()).definitions.Flunder, definition);
  for (const text of ["/apis/wardle/v1/flunders", "a header of theirs", "an item of theirs"])
    assert(protobuf.includes(text));
  assert.equal(await openApi.v2Json([other]), json);
  assert.notEqual((await openApi.v2Json([])).etag, json.etag);
});

test("all references lead to a definition", async () => {
  for (const path of Object.keys(JSON.parse(openApi.index().body.toString()).paths)) {
    const text = (await openApi.v3(path))?.body.toString() ?? "";
    const { schemas } = JSON.parse(text).components;
    for (const [, name = ""] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) assert(schemas[name], name);
  }
  const v2 = (await openApi.v2Json()).body.toString();
  const { definitions } = JSON.parse(v2);
  for (const [, name = ""] of v2.matchAll(/"#\/definitions\/([^"]+)"/g)) assert(definitions[name], name);
});

test("a custom kind is defined under its reversed group, with metadata and what its schema says", async () => {
  const schemas = (await v3("apis/stable.example.com/v1")).components.schemas;
  const definition = schemas["com.example.stable.v1.Widget"];

  assert.equal(definition.description, "A widget");
  assert.match(definition.properties.apiVersion.description, /^APIVersion defines/);
  assert.deepEqual(definition.properties.metadata.allOf, [
    { $ref: "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" },
  ]);
  assert.equal(definition.properties.spec.properties.size.nullable, true);
  assert.deepEqual(definition["x-kubernetes-group-version-kind"], [
    { group: "stable.example.com", version: "v1", kind: "Widget" },
  ]);
  assert.deepEqual(schemas["com.example.stable.v1.WidgetList"].properties.items.items, {
    $ref: "#/components/schemas/com.example.stable.v1.Widget",
  });
});

test("version 2 leaves out of a custom kind what it does not know", async () => {
  const { definitions } = JSON.parse((await openApi.v2Json()).body.toString());
  const spec = definitions["com.example.stable.v1.Widget"].properties.spec;

  assert.deepEqual(spec, {
    type: "object",
    required: ["name"],
    properties: {
      name: { type: "string" },
      size: { description: "How big" },
      free: { "x-kubernetes-preserve-unknown-fields": true },
    },
  });
});

test("version 2 in protobuf holds the paths and definitions of the JSON", async () => {
  const json = JSON.parse((await openApi.v2Json()).body.toString());
  const reader = new ProtobufReader((await openApi.v2Protobuf()).body);
  const counts: Record<number, number> = {};

  while (reader.hasMore) {
    const number = reader.tag() >>> 3;
    if (number !== 8 && number !== 9) {
      reader.bytes();
      continue;
    }
    const outerEnd = reader.enter();
    for (; reader.hasMore; reader.bytes()) {
      reader.tag();
      counts[number] = (counts[number] ?? 0) + 1;
    }
    reader.leave(outerEnd);
  }

  assert.deepEqual(counts, { 8: Object.keys(json.paths).length, 9: Object.keys(json.definitions).length });
});

// oxlint-disable-next-line typescript/no-explicit-any -- walks a JSON document
async function v3(path: string): Promise<any> {
  return JSON.parse((await openApi.v3(path))?.body.toString() ?? "{}");
}

function widget(): OpenApiResource {
  const resource: ResourceFacts = {
    group: "stable.example.com",
    version: "v1",
    resource: "widgets",
    singular: "widget",
    kind: "Widget",
    isNamespaced: true,
    verbs: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    shortNames: [],
    categories: [],
    subresources: [],
    storageVersion: "v1",
    isEnabledByDefault: true,
  };
  const spec = {
    type: "object",
    required: ["name", "size"],
    oneOf: [{ required: ["name"] }],
    properties: {
      name: { type: "string" },
      size: { type: "integer", nullable: true, description: "How big" },
      free: { type: "object", "x-kubernetes-preserve-unknown-fields": true, properties: { a: { type: "string" } } },
    },
  };
  const schema = { type: "object", description: "A widget", properties: { spec } };
  return { facts: resource, custom: { listKind: "WidgetList", schema } };
}

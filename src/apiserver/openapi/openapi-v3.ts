/**
 * OpenAPI 3.0, a document per group and version, as kubectl and client generators load it from /openapi/v3.
 */
import type { KindFacts } from "#api/kind-facts.ts";
import type { Slices } from "#apiserver/negotiation/slices.ts";
import { addCustomKind } from "./custom-definitions.ts";
import { Definitions, type JsonObject } from "./definitions.ts";
import { type OpenApiResource, type Operation, Operations } from "./operations.ts";
import type { Words } from "./words.ts";

const statusTexts = { 200: "OK", 201: "Created", 202: "Accepted" } as const;

/** The document of one group and version. `version` is the server's, "v1.36.3". Long: it makes room for others between slices. */
export async function buildOpenApiV3(
  facts: KindFacts,
  resources: readonly OpenApiResource[],
  version: string,
  slices: Slices,
  words: Words,
): Promise<JsonObject> {
  const definitions = new Definitions(facts, "v3", words);
  for (const { facts: resource, custom } of resources) {
    if (custom !== undefined) addCustomKind(definitions, "v3", resource, custom);
  }
  const operations = new Operations(facts);
  const paths: Paths = {};
  for (const resource of resources) {
    addPaths(paths, operations.of(resource), definitions);
    if (slices.isOver()) await slices.next();
  }
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version },
    paths,
    components: {
      schemas: await definitions.finish(slices),
      securitySchemes: {
        BearerToken: { type: "apiKey", description: "Bearer token", name: "authorization", in: "header" },
      },
    },
  };
}

type Paths = Record<string, Record<string, unknown>>;

function addPaths(paths: Paths, operations: readonly Operation[], definitions: Definitions): void {
  for (const operation of operations) {
    const path = (paths[operation.path] ??= { parameters: pathParameters(operation.path) });
    path[operation.method] = buildOperation(operation, definitions);
  }
}

function pathParameters(path: string): JsonObject[] {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "");
  return [
    ...names.map((name) => ({ name, in: "path", required: true, schema: { type: "string", uniqueItems: true } })),
    { name: "pretty", in: "query", schema: { type: "string", uniqueItems: true } },
  ];
}

function buildOperation(operation: Operation, definitions: Definitions): JsonObject {
  const { body, response } = operation;
  const schema = response === undefined ? { type: "string" } : definitions.referenceTo(response);
  const content = Object.fromEntries(operation.produces.map((mediaType) => [mediaType, { schema }]));
  const responses = operation.statusCodes.map((code) => [code, { description: statusTexts[code], content }]);
  return {
    tags: [operation.tag],
    operationId: operation.id,
    ...(operation.query.length === 0 ? {} : { parameters: operation.query.map(queryParameter) }),
    ...(body === undefined ? {} : { requestBody: requestBody(body, definitions) }),
    responses: { ...Object.fromEntries(responses), 401: { description: "Unauthorized" } },
    "x-kubernetes-action": operation.action,
    "x-kubernetes-group-version-kind": operation.kind,
  };
}

function queryParameter({ name, type }: Operation["query"][number]): JsonObject {
  return { name, in: "query", schema: { type, uniqueItems: true } };
}

function requestBody(body: NonNullable<Operation["body"]>, definitions: Definitions): JsonObject {
  const schema = definitions.referenceTo(body.definition);
  return {
    content: Object.fromEntries(body.mediaTypes.map((mediaType) => [mediaType, { schema }])),
    ...(body.isRequired ? { required: true } : {}),
  };
}

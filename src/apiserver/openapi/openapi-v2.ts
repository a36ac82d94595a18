/**
 * OpenAPI 2.0 (Swagger), one document for everything, as older clients load it from /openapi/v2.
 */
import type { KindFacts } from "#api/kind-facts.ts";
import type { Slices } from "#apiserver/negotiation/slices.ts";
import { addCustomKind } from "./custom-definitions.ts";
import { Definitions, type JsonObject } from "./definitions.ts";
import { type OpenApiResource, type Operation, Operations } from "./operations.ts";
import type { Words } from "./words.ts";

const statusTexts = { 200: "OK", 201: "Created", 202: "Accepted" } as const;

/** The document. `version` is the server's, "v1.36.3". Long: it makes room for others between slices. */
export async function buildOpenApiV2(
  facts: KindFacts,
  resources: readonly OpenApiResource[],
  version: string,
  slices: Slices,
  words: Words,
): Promise<JsonObject> {
  const definitions = new Definitions(facts, "v2", words);
  for (const { facts: resource, custom } of resources) {
    if (custom !== undefined) addCustomKind(definitions, "v2", resource, custom);
  }
  const operations = new Operations(facts);
  const paths: Paths = {};
  for (const resource of resources) {
    addPaths(paths, operations.of(resource), definitions);
    if (slices.isOver()) await slices.next();
  }
  return {
    swagger: "2.0",
    info: { title: "Kubernetes", version },
    paths,
    definitions: await definitions.finish(slices),
    securityDefinitions: {
      BearerToken: { description: "Bearer token", type: "apiKey", name: "authorization", in: "header" },
    },
    security: [{ BearerToken: [] }],
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
    ...names.map((name) => ({ uniqueItems: true, type: "string", name, in: "path", required: true })),
    { uniqueItems: true, type: "string", name: "pretty", in: "query" },
  ];
}

function buildOperation(operation: Operation, definitions: Definitions): JsonObject {
  const { body, response } = operation;
  const schema = response === undefined ? { type: "string" } : definitions.referenceTo(response);
  const responses = operation.statusCodes.map((code) => [code, { description: statusTexts[code], schema }]);
  const parameters = [
    ...(body === undefined
      ? []
      : [
          {
            name: "body",
            in: "body",
            ...(body.isRequired ? { required: true } : {}),
            schema: definitions.referenceTo(body.definition),
          },
        ]),
    ...operation.query.map(({ name, type }) => ({ uniqueItems: true, type, name, in: "query" })),
  ];
  return {
    consumes: body?.mediaTypes ?? ["*/*"],
    produces: operation.produces,
    schemes: ["https"],
    tags: [operation.tag],
    operationId: operation.id,
    ...(parameters.length === 0 ? {} : { parameters }),
    responses: { ...Object.fromEntries(responses), 401: { description: "Unauthorized" } },
    "x-kubernetes-action": operation.action,
    "x-kubernetes-group-version-kind": operation.kind,
  };
}

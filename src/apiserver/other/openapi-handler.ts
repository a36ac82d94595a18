/**
 * /openapi/v2 and /openapi/v3. The documents' builders are loaded with the first request: a start does not need them.
 */
import type { KindFacts } from "#api/kind-facts.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import type { RemoteSpec } from "#apiserver/openapi/merge-openapi-v2.ts";
import type { OpenApi, OpenApiDocument } from "#apiserver/openapi/openapi.ts";
import type { Words } from "#apiserver/openapi/words.ts";
import type { ResourceTable } from "#apiserver/registry/served-resource.ts";
import { pathNotFound } from "#apiserver/registry/errors.ts";
import type { NonResourceHandler } from "./non-resource.ts";
import { KUBERNETES_VERSION } from "./version.ts";

const V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const V2_PROTOBUF_ANSWER = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const YEAR_SECONDS = 31_536_000;

/** Documents that other servers have: hash by path. `generation` is raised with every change. */
export type RemoteOpenApi = {
  readonly generation: number;
  openApiHashes(): ReadonlyMap<string, string>;
  /** For version 2, which is one document for all. */
  openApiV2(): Promise<readonly RemoteSpec[]>;
};

/** Serves OpenAPI of what the table holds at the moment. */
export function createOpenApiHandler(
  table: ResourceTable,
  facts: KindFacts,
  remote?: RemoteOpenApi,
): NonResourceHandler {
  let made: { readonly generation: string; readonly openApi: OpenApi } | undefined;
  let words: Promise<Words> | undefined;
  const current = async (): Promise<OpenApi> => {
    const { OpenApi } = await import("#apiserver/openapi/openapi.ts");
    words ??= import("#apiserver/openapi/words.ts").then(({ loadWords }) => loadWords());
    const found = await words;
    const generation = `${table.generation} ${remote?.generation}`;
    if (made?.generation !== generation) {
      const remoteHashes = remote?.openApiHashes() ?? new Map<string, string>();
      const resources = [...table.all()].map((resource) => ({
        facts: resource.facts,
        ...(resource.openApi === undefined ? {} : { custom: resource.openApi }),
      }));
      const version = KUBERNETES_VERSION.gitVersion;
      const previous = made === undefined ? {} : { previous: made.openApi };
      made = {
        generation,
        openApi: new OpenApi({ facts, resources, version, remoteHashes, words: found, ...previous }),
      };
    }
    return made.openApi;
  };
  return {
    handle(context) {
      const { path } = context.info;
      if (path === "/openapi/v2") return v2(current(), remote, context);
      if (path === "/openapi/v3" || path === "/openapi/v3/") {
        return current().then((openApi) => document(openApi.index(), "application/json", context));
      }
      if (!path.startsWith("/openapi/v3/")) return undefined;
      return current().then((openApi) => v3(openApi, path.slice("/openapi/v3/".length), context));
    },
  };
}

async function v2(
  current: Promise<OpenApi>,
  remote: RemoteOpenApi | undefined,
  context: RequestContext,
): Promise<ApiResult> {
  const [openApi, others = []] = await Promise.all([current, remote?.openApiV2()]);
  const { accept } = context.request.headers;
  const text = typeof accept === "string" ? accept : "";
  if (text.includes(V2_PROTOBUF) || text.includes(V2_PROTOBUF_ANSWER)) {
    return document(await openApi.v2Protobuf(others), V2_PROTOBUF_ANSWER, context);
  }
  if (text === "" || /application\/json|application\/\*|\*\/\*/.test(text)) {
    return document(await openApi.v2Json(others), "application/json", context);
  }
  throw new StatusError({ reason: "NotAcceptable", code: 406, message: "only JSON and protobuf are served" });
}

async function v3(openApi: OpenApi, path: string, context: RequestContext): Promise<ApiResult> {
  const found = await openApi.v3(path);
  if (found === undefined) throw pathNotFound();
  const asked = context.request.query.get("hash");
  const entry = openApi.urlOf(path);
  if (asked === undefined) return document(found, "application/json", context);
  if (!entry.endsWith(`hash=${asked}`)) {
    return { type: "bytes", status: 301, contentType: "text/plain", body: "", headers: { location: entry } };
  }
  const expires = new Date(Date.now() + YEAR_SECONDS * 1000).toUTCString();
  return document(found, "application/json", context, { "cache-control": "public, immutable", expires });
}

function document(
  found: OpenApiDocument,
  contentType: string,
  context: RequestContext,
  headers: Readonly<Record<string, string>> = {},
): ApiResult {
  const all = { vary: "Accept", etag: found.etag, ...headers };
  const isKnown = context.request.headers["if-none-match"] === found.etag;
  return { type: "bytes", status: isKnown ? 304 : 200, contentType, body: isKnown ? "" : found.body, headers: all };
}

/**
 * The OpenAPI documents of one list of resources, each made when first asked for and then kept. Make a new one when what is served changes; documents of groups
 * that stay the same may be carried over.
 */
import { createHash } from "node:crypto";
import type { KindFacts } from "#api/kind-facts.ts";
import { formatApiVersion } from "#apimachinery/meta.ts";
import type { JsonObject } from "./definitions.ts";
import { buildOpenApiV2 } from "./openapi-v2.ts";
import { encodeOpenApiV2 } from "./openapi-v2-protobuf.ts";
import { buildOpenApiV3 } from "./openapi-v3.ts";
import type { OpenApiResource } from "./operations.ts";

/** A document as it is sent. `etag` has quotes. */
export type OpenApiDocument = { readonly body: Buffer; readonly etag: string };

/** What the documents are made of. */
export type OpenApiInit = {
  readonly facts: KindFacts;
  readonly resources: readonly OpenApiResource[];
  /** The server's version: "v1.36.3". */
  readonly version: string;
  /** Documents of aggregated API servers: hash by path ("apis/metrics.k8s.io/v1beta1"). */
  readonly remoteHashes?: ReadonlyMap<string, string>;
};

/** Gives documents by path. */
export class OpenApi {
  readonly #init: OpenApiInit;
  readonly #byPath = new Map<string, OpenApiResource[]>();
  readonly #v3 = new Map<string, OpenApiDocument>();
  #v2: JsonObject | undefined;
  #v2Json: OpenApiDocument | undefined;
  #v2Protobuf: OpenApiDocument | undefined;
  #index: OpenApiDocument | undefined;

  constructor(init: OpenApiInit) {
    this.#init = init;
    for (const resource of init.resources) {
      const path = v3Path(resource.facts);
      this.#byPath.set(path, [...(this.#byPath.get(path) ?? []), resource]);
    }
  }

  /** /openapi/v3: where the documents are. The hash in a document's URL is its content's, so that clients may keep it for good. */
  index(): OpenApiDocument {
    if (this.#index !== undefined) return this.#index;
    const hashes = [...this.#byPath.keys()].map((path) => [path, this.#hashOf(path)] as const);
    const remote = [...(this.#init.remoteHashes ?? [])];
    const entries = [...hashes, ...remote].map(([path, hash]) => [
      path,
      { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` },
    ]);
    this.#index = toDocument(JSON.stringify({ paths: Object.fromEntries(entries) }));
    return this.#index;
  }

  /** Where the index says that the document of a path is: `/openapi/v3/PATH?hash=…`. */
  urlOf(path: string): string {
    return `/openapi/v3/${path}?hash=${this.#hashOf(path)}`;
  }

  /** /openapi/v3/PATH, for instance "api/v1" or "apis/apps/v1"; undefined for what is not served here. */
  v3(path: string): OpenApiDocument | undefined {
    const known = this.#v3.get(path);
    if (known !== undefined) return known;
    const resources = this.#byPath.get(path);
    if (resources === undefined) return undefined;
    const { facts, version } = this.#init;
    const document = toDocument(JSON.stringify(buildOpenApiV3(facts, resources, version)));
    this.#v3.set(path, document);
    return document;
  }

  /** /openapi/v2 as JSON. */
  v2Json(): OpenApiDocument {
    this.#v2Json ??= toDocument(JSON.stringify(this.#buildV2()));
    return this.#v2Json;
  }

  /** /openapi/v2 as application/com.github.proto-openapi.spec.v2@v1.0+protobuf. */
  v2Protobuf(): OpenApiDocument {
    this.#v2Protobuf ??= toDocument(encodeOpenApiV2(this.#buildV2()));
    return this.#v2Protobuf;
  }

  /** A name for a document's content, without making the document: kubectl reads the index at every start, and few documents after it. */
  #hashOf(path: string): string {
    const resources = this.#byPath.get(path) ?? [];
    const content = JSON.stringify([this.#init.version, generation, resources]);
    return createHash("sha512").update(content).digest("hex").toUpperCase();
  }

  #buildV2(): JsonObject {
    this.#v2 ??= buildOpenApiV2(this.#init.facts, this.#init.resources, this.#init.version);
    return this.#v2;
  }
}

/** Raised whenever the builders' output changes, so that clients do not go on with what an older nodeless gave them. */
const generation = 1;

function v3Path(facts: { readonly group: string; readonly version: string }): string {
  return `${facts.group === "" ? "api" : "apis"}/${formatApiVersion(facts)}`;
}

function toDocument(content: string | Buffer): OpenApiDocument {
  const body = typeof content === "string" ? Buffer.from(content) : content;
  return { body, etag: `"${createHash("sha512").update(body).digest("hex").toUpperCase()}"` };
}

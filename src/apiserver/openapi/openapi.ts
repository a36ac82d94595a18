/**
 * The OpenAPI documents of one list of resources, each made when first asked for and then kept. Make a new one when what is served changes, and hand in the one
 * before: documents of groups and versions that stay the same are carried over.
 */
import { createHash } from "node:crypto";
import type { KindFacts } from "#api/kind-facts.ts";
import { formatApiVersion } from "#apimachinery/meta.ts";
import { Slices } from "#apiserver/negotiation/slices.ts";
import type { JsonObject } from "./definitions.ts";
import { sizeOfOwnWords } from "./descriptions.ts";
import { mergeSpecs, type RemoteSpec } from "./merge-openapi-v2.ts";
import { buildOpenApiV2 } from "./openapi-v2.ts";
import { encodeOpenApiV2 } from "./openapi-v2-protobuf.ts";
import { buildOpenApiV3 } from "./openapi-v3.ts";
import type { OpenApiResource } from "./operations.ts";
import { Words } from "./words.ts";

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
  /** What is said of kinds and fields. Default: the few words of our own. */
  readonly words?: Words;
  /** What was served before. */
  readonly previous?: OpenApi;
};

/** What is known of the document of one group and version. */
type V3Entry = {
  readonly resources: OpenApiResource[];
  hash?: string;
  document?: Promise<OpenApiDocument>;
};

/** A document of version 2 and what it has of other servers. */
type V2Entry = { readonly others: readonly RemoteSpec[]; readonly document: Promise<OpenApiDocument> };

/** Gives documents by path. */
export class OpenApi {
  readonly #init: Omit<OpenApiInit, "previous">;
  readonly #byPath = new Map<string, V3Entry>();
  readonly #words: Words;
  #v2Json: V2Entry | undefined;
  #v2Protobuf: V2Entry | undefined;
  #index: OpenApiDocument | undefined;

  constructor({ previous, ...init }: OpenApiInit) {
    this.#init = init;
    this.#words = init.words ?? new Words({});
    for (const resource of init.resources) {
      const path = v3Path(resource.facts);
      const entry = this.#byPath.get(path);
      if (entry === undefined) this.#byPath.set(path, { resources: [resource] });
      else entry.resources.push(resource);
    }
    if (previous !== undefined) this.#carryOver(previous);
  }

  /** /openapi/v3: where the documents are. The hash in a document's URL is its content's, so that clients may keep it for good. */
  index(): OpenApiDocument {
    if (this.#index !== undefined) return this.#index;
    const own = [...this.#byPath.keys()].map((path) => [path, this.urlOf(path)] as const);
    const remote = [...(this.#init.remoteHashes ?? [])].map(
      ([path, hash]) => [path, `/openapi/v3/${path}?hash=${hash}`] as const,
    );
    const paths = Object.fromEntries(
      [...own, ...remote].map(([path, serverRelativeURL]) => [path, { serverRelativeURL }]),
    );
    this.#index = toDocument(Buffer.from(JSON.stringify({ paths })));
    return this.#index;
  }

  /** Where the index says that the document of a path is: `/openapi/v3/PATH?hash=…`. */
  urlOf(path: string): string {
    return `/openapi/v3/${path}?hash=${this.#hashOf(path)}`;
  }

  /** /openapi/v3/PATH, for instance "api/v1" or "apis/apps/v1"; undefined for what is not served here. */
  v3(path: string): Promise<OpenApiDocument> | undefined {
    const entry = this.#byPath.get(path);
    if (entry === undefined) return undefined;
    entry.document ??= this.#buildV3(entry.resources);
    return entry.document;
  }

  /** /openapi/v2 as JSON, with what other servers have. */
  v2Json(others: readonly RemoteSpec[] = []): Promise<OpenApiDocument> {
    if (!hasSame(this.#v2Json, others)) this.#v2Json = { others, document: this.#buildV2Json(others) };
    return this.#v2Json.document;
  }

  /** /openapi/v2 as application/com.github.proto-openapi.spec.v2@v1.0+protobuf. */
  v2Protobuf(others: readonly RemoteSpec[] = []): Promise<OpenApiDocument> {
    if (!hasSame(this.#v2Protobuf, others)) this.#v2Protobuf = { others, document: this.#buildV2Protobuf(others) };
    return this.#v2Protobuf.document;
  }

  #carryOver(previous: OpenApi): void {
    if (previous.#init.version !== this.#init.version) return;
    for (const [path, entry] of this.#byPath) {
      const before = previous.#byPath.get(path);
      if (before === undefined || !isSame(before.resources, entry.resources)) continue;
      if (before.hash !== undefined) entry.hash = before.hash;
      if (before.document !== undefined) entry.document = before.document;
    }
  }

  /** A name for a document's content, without making the document: kubectl reads the index at every start, and few documents after it. */
  #hashOf(path: string): string {
    const entry = this.#byPath.get(path);
    if (entry === undefined) return "";
    entry.hash ??= hashOf(
      JSON.stringify([this.#init.version, generation, this.#words.size, sizeOfOwnWords(), entry.resources]),
    );
    return entry.hash;
  }

  async #buildV3(resources: readonly OpenApiResource[]): Promise<OpenApiDocument> {
    const slices = new Slices();
    const document = await buildOpenApiV3(this.#init.facts, resources, this.#init.version, slices, this.#words);
    return toDocument(await stringify(document, 3, slices));
  }

  /** Not kept: as objects the document takes ten times the room of its bytes, and hardly anybody asks for both forms. */
  async #buildV2(others: readonly RemoteSpec[], slices: Slices): Promise<JsonObject> {
    const { facts, resources, version } = this.#init;
    // Without words: nobody reads them there, and old clients load it at every start.
    const own = await buildOpenApiV2(facts, resources, version, slices, new Words({}));
    return others.length === 0 ? own : mergeSpecs(own, others, slices);
  }

  async #buildV2Json(others: readonly RemoteSpec[]): Promise<OpenApiDocument> {
    const slices = new Slices();
    return toDocument(await stringify(await this.#buildV2(others, slices), 2, slices));
  }

  async #buildV2Protobuf(others: readonly RemoteSpec[]): Promise<OpenApiDocument> {
    const slices = new Slices();
    return toDocument(await encodeOpenApiV2(await this.#buildV2(others, slices), slices));
  }
}

/** Raised whenever the builders' output changes, so that clients do not go on with what an older nodeless gave them. */
const generation = 2;

function hasSame(entry: V2Entry | undefined, others: readonly RemoteSpec[]): entry is V2Entry {
  return entry?.others.length === others.length && others.every((other, index) => other === entry.others[index]);
}

function v3Path(facts: { readonly group: string; readonly version: string }): string {
  return `${facts.group === "" ? "api" : "apis"}/${formatApiVersion(facts)}`;
}

function isSame(before: readonly OpenApiResource[], now: readonly OpenApiResource[]): boolean {
  if (before.length !== now.length) return false;
  return before.every(({ facts, custom }, index) => facts === now[index]?.facts && custom === now[index]?.custom);
}

/** JSON, with room for others between the members of the first `levels` levels. */
async function stringify(value: unknown, levels: number, slices: Slices): Promise<Buffer> {
  const parts: string[] = [];
  const write = async (each: unknown, level: number): Promise<void> => {
    if (level === 0 || typeof each !== "object" || each === null || Array.isArray(each)) {
      parts.push(JSON.stringify(each));
      return;
    }
    let separator = "{";
    for (const [key, member] of Object.entries(each)) {
      parts.push(separator, JSON.stringify(key), ":");
      await write(member, level - 1);
      separator = ",";
      if (slices.isOver()) await slices.next();
    }
    parts.push(separator === "{" ? "{}" : "}");
  };
  await write(value, levels);
  return Buffer.from(parts.join(""));
}

function toDocument(body: Buffer): OpenApiDocument {
  return { body, etag: `"${hashOf(body)}"` };
}

function hashOf(content: string | Buffer): string {
  return createHash("sha512").update(content).digest("hex").toUpperCase();
}

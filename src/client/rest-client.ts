/**
 * The client's verbs as requests: paths, queries, bodies and media types as the API conventions have them. Knows nothing of how requests travel.
 */
import type { KubeList, KubeObject } from "#apimachinery/meta.ts";
import type {
  Client,
  DeleteOptions,
  GetOptions,
  ListOptions,
  PatchOptions,
  PatchType,
  ResourceRef,
  WatchOptions,
  WriteOptions,
} from "./client.ts";
import { pathOf } from "./resource-path.ts";
import type { Transport, TransportRequest, WatchEvent } from "./transport.ts";

const patchMediaTypes: Readonly<Record<PatchType, string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  // JSON is YAML, and this is the media type that servers before 1.32 know too.
  apply: "application/apply-patch+yaml",
};

/** A client whose requests go over `transport`, as the user that the transport speaks for. */
export function createClient(transport: Transport): Client {
  async function send(request: TransportRequest): Promise<KubeObject> {
    return (await transport.request(request)).body as KubeObject;
  }
  return {
    transport,
    get: async <T extends KubeObject>(ref: ResourceRef, options: GetOptions = {}) =>
      (await send({ method: "GET", path: pathOf(ref), ...readParts(options, "PartialObjectMetadata") })) as T,
    list: async <T extends KubeObject>(ref: ResourceRef, options: ListOptions = {}) =>
      withItems(
        (await send({
          method: "GET",
          path: pathOf(ref),
          ...readParts(options, "PartialObjectMetadataList"),
        })) as KubeList<T>,
      ),
    watch: async <T extends KubeObject>(ref: ResourceRef, options: WatchOptions = {}) =>
      (await transport.watch({
        method: "GET",
        path: pathOf(ref),
        ...readParts(options, "PartialObjectMetadata"),
      })) as AsyncIterable<WatchEvent<T>>,
    create: async <T extends KubeObject>(ref: ResourceRef, object: T, options: WriteOptions = {}) =>
      (await send({ method: "POST", path: pathOf(ref), body: object, ...writeParts(options) })) as T,
    update: async <T extends KubeObject>(ref: ResourceRef, object: T, options: WriteOptions = {}) =>
      (await send({ method: "PUT", path: pathOf(ref), body: object, ...writeParts(options) })) as T,
    patch: async <T extends KubeObject>(
      ref: ResourceRef,
      patch: { readonly type: PatchType; readonly body: unknown },
      options: PatchOptions = {},
    ) =>
      (await send({
        method: "PATCH",
        path: pathOf(ref),
        body: patch.body,
        contentType: patchMediaTypes[patch.type],
        ...writeParts(options),
      })) as T,
    delete: (ref, options = {}) => send({ method: "DELETE", path: pathOf(ref), ...deleteParts(options) }),
    deleteCollection: async (ref, list, options = {}) => {
      const query = queryOf({ labelSelector: list.labelSelector, fieldSelector: list.fieldSelector });
      await send({ method: "DELETE", path: pathOf(ref), ...query, ...deleteParts(options) });
    },
  };
}

/** Items of built-in kinds do not say their kind over HTTPS, since their list does; and servers in Go may say null where a list is empty. */
function withItems<T extends KubeObject>(list: KubeList<T>): KubeList<T> {
  const items = (list.items as readonly T[] | null | undefined) ?? [];
  if (list.items === items && (list.kind === undefined || items[0]?.kind !== undefined)) return list;
  const { apiVersion, kind } = list;
  const named = { ...(apiVersion !== undefined && { apiVersion }), ...(kind && { kind: kind.replace(/List$/, "") }) };
  return {
    ...list,
    items: items.map((item) => (item.kind === undefined ? Object.freeze({ ...named, ...item }) : item)),
  };
}

type Parts = Pick<TransportRequest, "query" | "accept" | "signal" | "body">;

function readParts(options: GetOptions & WatchOptions, metadataKind: string): Parts {
  return {
    ...queryOf({
      labelSelector: options.labelSelector,
      fieldSelector: options.fieldSelector,
      resourceVersion: options.resourceVersion,
      resourceVersionMatch: options.resourceVersionMatch,
      limit: options.limit,
      continue: options.continue,
      allowWatchBookmarks: options.allowWatchBookmarks,
      sendInitialEvents: options.sendInitialEvents,
      timeoutSeconds: options.timeoutSeconds,
    }),
    ...(options.metadataOnly
      ? { accept: `application/json;as=${metadataKind};g=meta.k8s.io;v=v1,application/json` }
      : {}),
    ...signalOf(options),
  };
}

function writeParts(options: PatchOptions): Parts {
  return {
    ...queryOf({
      dryRun: options.dryRun ? "All" : undefined,
      fieldManager: options.fieldManager,
      fieldValidation: options.fieldValidation,
      force: options.force,
    }),
    ...signalOf(options),
  };
}

function deleteParts(options: DeleteOptions): Parts {
  const { gracePeriodSeconds, propagationPolicy, preconditions, dryRun, signal } = options;
  const body = {
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
    ...(preconditions === undefined ? {} : { preconditions }),
    ...(dryRun ? { dryRun: ["All"] } : {}),
  };
  const hasBody = Object.keys(body).length > 0;
  return {
    ...(hasBody ? { body: { kind: "DeleteOptions", apiVersion: "v1", ...body } } : {}),
    ...(signal === undefined ? {} : { signal }),
  };
}

function signalOf(options: { readonly signal?: AbortSignal }): Pick<Parts, "signal"> {
  return options.signal === undefined ? {} : { signal: options.signal };
}

function queryOf(values: Readonly<Record<string, string | number | boolean | undefined>>): Pick<Parts, "query"> {
  const query: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== "" && value !== false) query[name] = String(value);
  }
  return Object.keys(query).length === 0 ? {} : { query };
}

/**
 * The client's transport without HTTP: the same filters, handlers and registry, but objects are handed over parsed and frozen, not encoded and decoded again. A part cannot tell it from HTTPS.
 */
import { deepFreeze } from "#apimachinery/freeze.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { StatusError, type Status } from "#apimachinery/status-error.ts";
import type { Transport, TransportRequest, TransportResponse, ObjectSource, WatchEvent } from "#client/transport.ts";
import type { ApiRequest, ApiResult, ListPage, WatchStream } from "./api-request.ts";
import { type ChainParts, runRequest } from "./filters/chain.ts";
import { type MediaForm, negotiate } from "./negotiation/accept.ts";
import { metadataOnly } from "./negotiation/object-forms.ts";
import { Slices } from "./negotiation/slices.ts";
import { tableOf } from "./negotiation/table.ts";
import { served } from "./registry/update.ts";
import type { ServedResource } from "./registry/served-resource.ts";
import type { User } from "./request.ts";
import { queryOf } from "./server/query.ts";
import type { StoredObject } from "./storage/stored-object.ts";

/** A transport into a server in this process, as `user`. */
export function createInProcessTransport(chain: ChainParts, user: User, userAgent = "nodeless"): Transport {
  let isClosed = false;
  const ended = new AbortController();
  return {
    async request(request) {
      if (isClosed) throw closed();
      request.signal?.throwIfAborted();
      const turn = chain.turns.take();
      if (turn !== undefined) await turn;
      const { result } = await runRequest(chain, toApiRequest(request, { user, userAgent, ended: ended.signal }));
      return await toResponse(result, formOf(request));
    },
    async watch(request) {
      if (isClosed) throw closed();
      const query = { ...request.query, watch: "1" };
      const { result } = await runRequest(
        chain,
        toApiRequest({ ...request, query }, { user, userAgent, ended: ended.signal }),
      );
      if (result.type === "events") return result.events;
      if (result.type !== "watch") throw new StatusError({ reason: "BadRequest", code: 400, message: "not a watch" });
      const signals = request.signal === undefined ? [ended.signal] : [ended.signal, request.signal];
      return watchEvents(chain, result.stream, { form: formOf(request), signal: AbortSignal.any(signals) });
    },
    async close() {
      isClosed = true;
      ended.abort();
    },
  };
}

function toApiRequest(
  request: TransportRequest,
  origin: { readonly user: User; readonly userAgent: string; readonly ended: AbortSignal },
): ApiRequest {
  const mediaType = request.contentType ?? "application/json";
  return {
    method: request.method,
    path: request.path,
    query: queryOf(request.query),
    headers: {
      accept: request.accept ?? "application/json",
      "content-type": mediaType,
      "user-agent": origin.userAgent,
    },
    user: origin.user,
    remoteAddress: "",
    readBody: async () => ({ form: "value", mediaType, value: request.body }),
    signal: () => (request.signal === undefined ? origin.ended : AbortSignal.any([request.signal, origin.ended])),
  };
}

function formOf(request: TransportRequest): MediaForm {
  return negotiate(request.accept, { hasProtobuf: false, hasTransforms: true });
}

async function toResponse(result: ApiResult, form: MediaForm): Promise<TransportResponse> {
  switch (result.type) {
    case "stored":
      return { status: result.status, body: await shaped(result.resource, result.object, form) };
    case "object":
      return { status: result.status, body: deepFreeze(result.object) };
    case "status":
      return { status: 200, body: deepFreeze(result.status) as unknown as KubeObject };
    case "list":
      return { status: 200, body: await listBody(result.page, form) };
    case "bytes": {
      const text = typeof result.body === "string" ? result.body : Buffer.from(result.body).toString();
      const isJson = result.contentType.startsWith("application/json");
      return { status: result.status, body: isJson ? deepFreeze(JSON.parse(text) as KubeObject) : text };
    }
    case "events":
      throw new StatusError({ reason: "BadRequest", code: 400, message: "a watch was asked for by request()" });
    case "watch":
      result.stream.stop();
      throw new StatusError({ reason: "BadRequest", code: 400, message: "a watch was asked for by request()" });
  }
}

/** True for the version that is stored. */
function isStored(resource: ServedResource): boolean {
  return resource.conversion === undefined && resource.apiVersion === resource.stored.apiVersion;
}

// The version that is stored needs no promise: lists are long.
function shaped(resource: ServedResource, stored: StoredObject, form: MediaForm): KubeObject | Promise<KubeObject> {
  if (isStored(resource)) {
    return inForm(resource, stored.object, form);
  }
  return served(resource, stored).then((object) => inForm(resource, object, form));
}

function inForm(resource: ServedResource, object: KubeObject, form: MediaForm): KubeObject | Promise<KubeObject> {
  if (form.as === undefined) return deepFreeze(object);
  const { version } = form.as;
  if (form.as.kind === "PartialObjectMetadata") return deepFreeze(metadataOnly(object, version));
  const options = { includeObject: "Metadata", hasColumns: true } as const;
  return tableOf(resource, { objects: [object], version, options, nowMs: Date.now() }).then(deepFreeze);
}

/** Where what a watch hands over can be had again: the stored object, or its metadata. */
function sourceOf(resource: ServedResource, { as }: MediaForm): (stored: StoredObject) => { source?: ObjectSource } {
  if (!isStored(resource)) return () => ({});
  if (as === undefined) return (stored) => ({ source: stored });
  const { kind, version } = as;
  return kind === "PartialObjectMetadata" ? (stored) => ({ source: new MetadataSource(stored, version) }) : () => ({});
}

class MetadataSource implements ObjectSource {
  readonly #stored: StoredObject;
  readonly #version: string;

  constructor(stored: StoredObject, version: string) {
    this.#stored = stored;
    this.#version = version;
  }

  get object(): KubeObject {
    return deepFreeze(metadataOnly(this.#stored.object, this.#version));
  }
}

async function listBody(page: ListPage, form: MediaForm): Promise<KubeObject> {
  const slices = new Slices();
  const items: KubeObject[] = [];
  const isTable = form.as?.kind === "Table";
  for (const stored of page.objects) {
    const item = isTable ? served(page.resource, stored) : shaped(page.resource, stored, form);
    items.push(item instanceof Promise ? await item : item);
    if (slices.isOver()) await slices.next();
  }
  if (isTable && form.as !== undefined) {
    const options = { includeObject: "Metadata", hasColumns: true } as const;
    const { version } = form.as;
    return deepFreeze(
      await tableOf(page.resource, { objects: items, version, options, nowMs: Date.now(), metadata: page.metadata }),
    );
  }
  const kind = form.as === undefined ? `${page.resource.kind}List` : "PartialObjectMetadataList";
  const apiVersion = form.as === undefined ? page.resource.apiVersion : `meta.k8s.io/${form.as.version}`;
  return Object.freeze({
    kind,
    apiVersion,
    metadata: Object.freeze(page.metadata),
    items: Object.freeze(items),
  }) as KubeObject;
}

type WatchSetup = { readonly form: MediaForm; readonly signal: AbortSignal };

async function* watchEvents(
  chain: ChainParts,
  stream: WatchStream,
  { form, signal }: WatchSetup,
): AsyncGenerator<WatchEvent, void, undefined> {
  let wake = (): void => {};
  let isOver = signal.aborted;
  const end = (): void => {
    isOver = true;
    wake();
  };
  signal.addEventListener("abort", end, { once: true });
  const timer = chain.clock.setTimer(stream.timeoutMs, end);
  stream.watcher.onReady(() => wake());
  try {
    const withSource = sourceOf(stream.resource, form);
    for (const stored of stream.initial) {
      yield { type: "ADDED", object: await shaped(stream.resource, stored, form), ...withSource(stored) };
    }
    if (stream.marksInitialEventsEnd) yield await bookmark(stream, form);
    while (!isOver) {
      for (const event of stream.watcher.take()) {
        if (isOver) return;
        const object = shaped(stream.resource, event.object, form);
        yield {
          type: event.type,
          object: object instanceof Promise ? await object : object,
          ...withSource(event.object),
        };
      }
      if (stream.watcher.isEnded && !stream.watcher.hasEvents) return yield lost();
      if (stream.watcher.hasEvents || isOver) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    timer.clear();
    signal.removeEventListener("abort", end);
    stream.stop();
  }
}

async function bookmark(stream: WatchStream, form: MediaForm): Promise<WatchEvent> {
  const annotations = { "k8s.io/initial-events-end": "true" };
  const { kind, apiVersion } = stream.resource;
  const object = { kind, apiVersion, metadata: { resourceVersion: String(stream.initialRevision), annotations } };
  return { type: "BOOKMARK", object: await inForm(stream.resource, object, form) };
}

function lost(): WatchEvent {
  const message = "The watch was too slow, or its history was lost: start again.";
  const status: Status = new StatusError({ reason: "Expired", code: 410, message }).toStatus();
  return { type: "ERROR", object: deepFreeze(status) as unknown as KubeObject };
}

function closed(): StatusError {
  return new StatusError({ reason: "ServiceUnavailable", code: 503, message: "the transport was closed" });
}

/**
 * How the client reaches an API server: one contract, two ways. `http-transport.ts` speaks HTTPS; the in-process one is made by the API server and runs the same
 * authentication → authorization → admission → registry path without HTTP. A part cannot tell which one it has.
 */
import type { Json, KubeObject } from "#apimachinery/meta.ts";

/** One request, as HTTP would carry it. */
export type TransportRequest = {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path without query: "/api/v1/namespaces/default/pods/web". */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[]>>;
  /** JSON body. Given away: the caller must not change it afterwards. */
  readonly body?: unknown;
  /** Media type of the body. Default "application/json"; patches name theirs. */
  readonly contentType?: string;
  /** Media types wanted. Default "application/json". Metadata-only lists ask with `as=PartialObjectMetadataList`. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
};

/** A decoded answer. `body` is deeply frozen, or the text of a body that is not JSON. */
export type TransportResponse = { readonly status: number; readonly body: Json | KubeObject | string };

/** One event of a watch. `object` is deeply frozen. ERROR carries a Status, BOOKMARK an object with only metadata.resourceVersion and annotations. */
export type WatchEvent<T extends KubeObject = KubeObject> = {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: T;
  /** Where the same object can be had again later, for those who follow many and look at few: with it they need not keep them. Absent where that would mean a request. */
  readonly source?: ObjectSource<T>;
};

/** Gives an equal object each time, deeply frozen, for as long as anybody holds the source. */
export type ObjectSource<T extends KubeObject = KubeObject> = { readonly object: T };

/** Carries requests to an API server, as one user. */
export interface Transport {
  /** Sends a request and gives its answer. Throws StatusError for every Status failure, with reason ServiceUnavailable (503) when the server is not reached. */
  request(request: TransportRequest): Promise<TransportResponse>;
  /**
   * Starts a watch (`watch=1` is set by this method). Resolves when the server accepted it; then events come one by one until the server ends the watch
   * (the iteration ends), the signal aborts (it ends too) or the connection breaks (it throws). Returning early from the iteration cancels the watch.
   */
  watch(request: TransportRequest): Promise<AsyncIterable<WatchEvent>>;
  /** Frees connections. Requests under way fail. May be called twice. */
  close(): Promise<void>;
}

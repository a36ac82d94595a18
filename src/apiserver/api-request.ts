/**
 * A request as the filters and handlers see it, whichever way it came: HTTP/1.1, HTTP/2 or in-process. And what they give back: results that are not encoded yet, so that HTTP sends
 * stored bytes and the in-process transport hands out parsed objects.
 */
import type { TakeSteps } from "#apimachinery/steps.ts";
import type { KubeObject, ListMeta } from "#apimachinery/meta.ts";
import type { Status } from "#apimachinery/status-error.ts";
import type { StoredObject } from "./storage/stored-object.ts";
import type { Credentials, RequestInfo, User } from "./request.ts";
import type { ServedResource } from "./registry/served-resource.ts";
import type { WatchEvent } from "#client/transport.ts";
import type { Flow } from "./flowcontrol/flow-control.ts";
import type { Watcher } from "./watch-cache/watcher.ts";

/** Query parameters, decoded. */
export interface Query {
  /** The first value of a parameter; undefined when it is absent. */
  get(name: string): string | undefined;
  /** All values of a parameter. */
  getAll(name: string): readonly string[];
  /** What stands behind the "?", as it was sent; rebuilt for in-process requests. */
  readonly text: string;
  /** True when there is no parameter at all. */
  readonly isEmpty: boolean;
}

/** What a request carries: bytes with their media type, or (in-process) a value that is decoded already and given away. */
export type RequestBody =
  | { readonly form: "bytes"; readonly mediaType: string; readonly bytes: Buffer }
  | { readonly form: "value"; readonly mediaType: string; readonly value: unknown };

/** One request. */
export type ApiRequest = {
  readonly method: string;
  /** Decoded per segment only where it is parsed: this is the raw path, without query. */
  readonly path: string;
  readonly query: Query;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Absent in-process, where {@link ApiRequest.user} is known. */
  readonly credentials?: Credentials;
  readonly user?: User;
  readonly remoteAddress: string;
  /** Reads the body. Throws StatusError RequestEntityTooLarge (413) above the limit. Called at most once. */
  readonly readBody: (limitBytes: number) => Promise<RequestBody>;
  /** Aborts when the client goes away or the server stops. Made when first asked for. */
  readonly signal: () => AbortSignal;
  /** Where flow control put it, once it did. */
  flow?: Flow | undefined;
  /** What it is warned of so far. An answer that is an error carries it, too. */
  warnings?: readonly string[];
};

/** What handlers know of a request, after the filters. */
export type RequestContext = {
  readonly request: ApiRequest;
  readonly info: RequestInfo;
  readonly user: User;
  /** Sent as `Warning: 299` headers. */
  readonly warnings: string[];
  /** For work that is too much for one turn of the event loop. */
  readonly takeSteps: TakeSteps;
  /** Size of the body, once it was read. */
  bodyBytes?: number;
};

/** A page of a list. `objects` may be walked once, in slices; they are all of `revision`. */
export type ListPage = {
  readonly resource: ServedResource;
  readonly metadata: ListMeta;
  readonly objects: Iterable<StoredObject>;
};

/** A watch that was accepted. Whoever writes it out calls `stop` at the end. */
export type WatchStream = {
  readonly resource: ServedResource;
  /** State to begin with, as ADDED events. */
  readonly initial: Iterable<StoredObject>;
  readonly watcher: Watcher;
  /** After the initial state send a bookmark annotated `k8s.io/initial-events-end`. */
  readonly marksInitialEventsEnd: boolean;
  readonly initialRevision: number;
  readonly sendsBookmarks: boolean;
  readonly timeoutMs: number;
  readonly stop: () => void;
};

/** The Status of a request that went well carries no code. */
export type SuccessStatus = Omit<Status, "code"> & { readonly status: "Success" };

/** What a request is answered with, before it is encoded. */
export type ApiResult =
  | {
      readonly type: "stored";
      readonly status: number;
      readonly resource: ServedResource;
      readonly object: StoredObject;
    }
  /** An object that is not in the store: a Scale, a TokenReview, a dry run. */
  | {
      readonly type: "object";
      readonly status: number;
      readonly object: KubeObject;
      readonly resource?: ServedResource;
    }
  | { readonly type: "status"; readonly status: Status | SuccessStatus }
  | { readonly type: "list"; readonly page: ListPage }
  | { readonly type: "watch"; readonly stream: WatchStream }
  /** A watch that another server serves; only for parts in this process. */
  | { readonly type: "events"; readonly events: AsyncIterable<WatchEvent> }
  /** Ready bytes: health, metrics, discovery, OpenAPI. */
  | {
      readonly type: "bytes";
      readonly status: number;
      readonly contentType: string;
      readonly body: string | Uint8Array;
      readonly headers?: Readonly<Record<string, string>>;
    };

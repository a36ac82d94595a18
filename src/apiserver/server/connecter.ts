/**
 * Where streaming subresources plug in (exec, attach, port-forward, log, proxy): a table of connecters by resource and subresource. They get the authorized request and either the open HTTP
 * exchange or the upgraded socket, and do all the rest.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { ApiRequest, RequestContext } from "#apiserver/api-request.ts";
import { parseRequestInfo } from "#apiserver/filters/request-info.ts";
import type { Exchange } from "./exchange.ts";

/** One request for a connecter: a plain exchange, or an HTTP/1.1 upgrade whose socket is the connecter's from then on. */
export type Connection =
  | { readonly type: "http"; readonly exchange: Exchange; readonly context: RequestContext }
  | {
      readonly type: "upgrade";
      readonly message: IncomingMessage;
      readonly socket: Duplex;
      readonly head: Buffer;
      readonly context: RequestContext;
    };

/** Serves one streaming subresource. */
export interface Connecter {
  /** Serves a connection to its end. Throws StatusError as long as nothing was sent; afterwards it closes the connection itself. */
  serve(connection: Connection): Promise<void>;
}

/** Connecters by "pods/exec", "services/proxy", … */
export class Connecters {
  readonly #table: ReadonlyMap<string, Connecter>;
  readonly #subresources: readonly string[];
  readonly #findRemote: (path: string) => Connecter | undefined;

  /** `findRemote` knows the paths that another server serves. */
  constructor(
    table: ReadonlyMap<string, Connecter>,
    findRemote: (path: string) => Connecter | undefined = () => undefined,
  ) {
    this.#table = table;
    this.#findRemote = findRemote;
    this.#subresources = [...new Set([...table.keys()].map((key) => `/${key.slice(key.indexOf("/") + 1)}`))];
  }

  /** The connecter for a request, or undefined for ordinary ones. */
  find(request: ApiRequest): Connecter | undefined {
    const remote = this.#findRemote(request.path);
    if (remote !== undefined) return remote;
    // Most requests are ordinary: a look at the path spares parsing it twice.
    if (!this.#subresources.some((subresource) => request.path.includes(subresource))) return undefined;
    const { resource, subresource, isResourceRequest } = parseRequestInfo(request.method, request.path, request.query);
    return isResourceRequest ? this.#table.get(`${resource}/${subresource}`) : undefined;
  }
}

/**
 * The transport over HTTPS: HTTP/2 with keep-alive, a client certificate or a bearer token, JSON bodies, watches as streams of JSON lines. The token may stand in
 * a file that is replaced while we run, as bound service account tokens are.
 */
import { readFile, stat } from "node:fs/promises";
import { constants } from "node:http2";
import { PassThrough, pipeline } from "node:stream";
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { Clock } from "#component-base/clock.ts";
import { systemClock } from "#component-base/clock.ts";
import { deepFreeze } from "#apimachinery/freeze.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import type { Status } from "#apimachinery/status-error.ts";
import type { Json } from "#apimachinery/meta.ts";
import { SessionPool } from "./http-session.ts";
import type { Lease } from "./http-session.ts";
import { parseJsonLines } from "./line-stream.ts";
import type { Transport, TransportRequest, TransportResponse, WatchEvent } from "./transport.ts";

/** PEM. */
export type ClientCertificate = { readonly certificate: string; readonly key: string };

/** Which server, and who we are to it: a client certificate, a token, or neither. */
export type HttpTransportOptions = {
  /** "https://127.0.0.1:6443". */
  readonly server: string;
  /** PEM of the authorities that the server's certificate may come from. Default: the machine's. */
  readonly ca?: string;
  /** A function is asked again for each new connection, so that a renewed certificate is used. */
  readonly clientCertificate?: ClientCertificate | (() => Promise<ClientCertificate>);
  readonly bearerToken?: string;
  /** Path of a file with the token; read again when it changes. */
  readonly tokenFile?: string;
  /** Acts as this user, with his rights only. Needs the right to impersonate him. */
  readonly impersonate?: string;
  /** Name to expect in the server's certificate, where it differs from the address. */
  readonly serverName?: string;
  /** Default false. */
  readonly insecureSkipTlsVerify?: boolean;
  readonly userAgent?: string;
  /** Hears what the server wants people to know: the texts of `Warning: 299` headers. */
  readonly onWarning?: (text: string) => void;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
};

/** Longest wait for the answer to a request that is not a watch. As client-go's users set it. */
const requestTimeoutMs = 60_000;
/** How long a token file is trusted before its modification time is looked at again. */
const tokenFreshMs = 10_000;
/** How often a request is sent again because the server asked for it (429 with Retry-After). As client-go. */
const maxRetries = 10;

/** A transport that can be told that the server it is connected to has died: all that is under way fails at once, and what comes next connects anew. */
export interface HttpTransport extends Transport {
  /** Closes every connection to the server; requests under way fail. May be called at any time. */
  reconnect(): void;
}

/** A transport to `options.server`. Connects when first used. */
export function createHttpTransport(options: HttpTransportOptions): HttpTransport {
  const clock = options.clock ?? systemClock;
  const pool = new SessionPool({
    server: options.server,
    credentials: async () => {
      const { clientCertificate: given, ca } = options;
      return { ...(ca === undefined ? {} : { ca }), ...(typeof given === "function" ? await given() : given) };
    },
    insecureSkipTlsVerify: options.insecureSkipTlsVerify ?? false,
    serverName: options.serverName,
    clock,
  });
  const { userAgent = "nodeless", impersonate } = options;
  const fixed = { "user-agent": userAgent, ...(impersonate === undefined ? {} : { "impersonate-user": impersonate }) };
  const exchange = new Exchange(pool, createTokenSource(options, clock), fixed, options.server);
  return {
    request: (request) => requestWithRetry(exchange, request, clock, options.onWarning),
    watch: (request) => startWatch(exchange, request),
    close: async () => pool.close(),
    reconnect: () => pool.reconnect(),
  };
}

async function requestWithRetry(
  exchange: Exchange,
  request: TransportRequest,
  clock: Clock,
  onWarning: HttpTransportOptions["onWarning"],
): Promise<TransportResponse> {
  for (let attempt = 0; ; attempt++) {
    const { status, headers, body } = await sendOnce(exchange, request, clock);
    if (onWarning !== undefined) for (const text of warningsOf(headers)) onWarning(text);
    if (status < 400) return { status, body: deepFreeze(parseBody(body, headers)) };
    const retryAfterSeconds = Number(headers["retry-after"]);
    if (attempt >= maxRetries || !(retryAfterSeconds > 0) || (status !== 429 && status < 500))
      throw errorOf(status, body);
    await clock.sleep(retryAfterSeconds * 1000, request.signal);
  }
}

/** Several stand in one header, with commas between: `299 - "text", 299 - "text"`. */
function warningsOf({ warning = [] }: Headers): string[] {
  const values = [warning].flat().join(", ");
  return [...values.matchAll(/\b299 \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, text = ""]) => text.replace(/\\(.)/g, "$1"));
}

type Answer = { readonly status: number; readonly headers: Headers; readonly body: Buffer };
type Headers = Readonly<Record<string, string | string[] | undefined>>;

async function sendOnce(exchange: Exchange, request: TransportRequest, clock: Clock): Promise<Answer> {
  const opened = await exchange.open(request);
  const timer = clock.setTimer(requestTimeoutMs, () =>
    opened.cancel(new Error(`no answer within ${requestTimeoutMs} ms`)),
  );
  try {
    const [headers, body] = await Promise.all([opened.headers, readBody(opened.stream)]);
    opened.throwIfBroken();
    return { status: Number(headers[":status"]), headers, body };
  } catch (error) {
    throw opened.explain(error);
  } finally {
    timer.clear();
    opened.end();
  }
}

/** Listens from the first moment on: a short answer may be whole, and its stream gone, before a reader who waits for the headers first begins. */
function readBody(stream: ClientHttp2Stream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("end", () => resolve(Buffer.concat(chunks)));
    stream.once("error", reject);
    stream.once("close", () => reject(new Error("the connection was closed")));
  });
}

async function startWatch(exchange: Exchange, request: TransportRequest): Promise<AsyncIterable<WatchEvent>> {
  const opened = await exchange.open({ ...request, query: { ...request.query, watch: "1" } });
  // As in readBody: an answer of one packet would be lost.
  const body = new PassThrough();
  pipeline(opened.stream, body, () => {}); // its failure is body's too
  try {
    const headers = await opened.headers;
    const status = Number(headers[":status"]);
    if (status < 400) return watchEvents(opened, body, request.signal);
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk as Buffer);
    throw errorOf(status, Buffer.concat(chunks));
  } catch (error) {
    opened.end();
    throw opened.explain(error);
  }
}

async function* watchEvents(
  opened: OpenedStream,
  body: PassThrough,
  signal: AbortSignal | undefined,
): AsyncGenerator<WatchEvent, void, void> {
  try {
    for await (const event of parseJsonLines(body)) yield deepFreeze(event) as WatchEvent;
    opened.throwIfBroken();
  } catch (error) {
    if (!signal?.aborted) throw opened.explain(error);
  } finally {
    opened.end();
  }
}

/** One request's stream. */
type OpenedStream = {
  readonly stream: ClientHttp2Stream;
  readonly headers: Promise<Headers>;
  /** Ends the stream early; `explain` gives the reason then. */
  readonly cancel: (reason: unknown) => void;
  /** Frees the stream; harmless after its end. */
  readonly end: () => void;
  /** Throws when the stream ended otherwise than by the server's will. */
  readonly throwIfBroken: () => void;
  /** What to throw for an error that the stream met. */
  readonly explain: (error: unknown) => unknown;
};

/** Opens streams with the right headers. */
class Exchange {
  readonly #pool: SessionPool;
  readonly #token: () => Promise<string | undefined>;
  /** Of every request. */
  readonly #fixed: OutgoingHttpHeaders;
  readonly #server: string;

  constructor(pool: SessionPool, token: () => Promise<string | undefined>, fixed: OutgoingHttpHeaders, server: string) {
    this.#pool = pool;
    this.#token = token;
    this.#fixed = fixed;
    this.#server = server;
  }

  async open(request: TransportRequest): Promise<OpenedStream> {
    request.signal?.throwIfAborted();
    const headers = await this.#headersOf(request).catch((error: unknown) => {
      throw unreachable(this.#server, error);
    });
    const lease = await this.#lease(request.signal);
    try {
      const stream = lease.session.request(headers, { endStream: request.body === undefined });
      const opened = track(stream, lease, request.signal, this.#server);
      if (request.body !== undefined) stream.end(JSON.stringify(request.body));
      return opened;
    } catch (error) {
      lease.release();
      throw unreachable(this.#server, error);
    }
  }

  async #lease(signal: AbortSignal | undefined): Promise<Lease> {
    try {
      const lease = await this.#pool.lease();
      if (signal?.aborted) lease.release();
      signal?.throwIfAborted();
      return lease;
    } catch (error) {
      throw signal?.aborted ? signal.reason : unreachable(this.#server, error);
    }
  }

  async #headersOf(request: TransportRequest): Promise<OutgoingHttpHeaders> {
    const token = await this.#token();
    return {
      ":method": request.method,
      ":path": request.path + queryString(request.query),
      accept: request.accept ?? "application/json",
      ...this.#fixed,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(request.body === undefined ? {} : { "content-type": request.contentType ?? "application/json" }),
    };
  }
}

function track(stream: ClientHttp2Stream, lease: Lease, signal: AbortSignal | undefined, server: string): OpenedStream {
  let reason: unknown;
  let hasFailed = false;
  const cancel = (why: unknown) => {
    hasFailed = true;
    reason ??= why;
    stream.close(constants.NGHTTP2_CANCEL);
    stream.destroy();
  };
  const onAbort = () => cancel(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  stream.on("error", (error) => {
    hasFailed = true;
    reason ??= error;
  });
  stream.once("close", () => {
    signal?.removeEventListener("abort", onAbort);
    lease.release();
  });
  const headers = new Promise<Headers>((resolve, reject) => {
    stream.once("response", (given) => resolve(given as Headers));
    stream.once("close", () => reject(reason ?? new Error("the connection was closed")));
  });
  // Whoever asks for the headers sees the failure; nobody may have asked yet.
  headers.catch(() => {});
  const isBroken = () => hasFailed || stream.aborted || (stream.rstCode ?? 0) !== constants.NGHTTP2_NO_ERROR;
  return {
    stream,
    headers,
    cancel,
    end: () => {
      if (!stream.readableEnded && !stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
      stream.destroy();
    },
    throwIfBroken: () => {
      if (isBroken()) throw reason ?? new Error(`the stream was reset with code ${stream.rstCode}`);
    },
    explain: (error) => {
      if (signal?.aborted) return signal.reason;
      return error instanceof StatusError ? error : unreachable(server, reason ?? error);
    },
  };
}

/** The token to send: none, the given one, or what the file says now. */
function createTokenSource(options: HttpTransportOptions, clock: Clock): () => Promise<string | undefined> {
  const { tokenFile, bearerToken } = options;
  if (tokenFile === undefined) return async () => bearerToken;
  let token: string | undefined;
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  let modifiedMs = -1;
  return async () => {
    if (clock.now() - lookedAtMs < tokenFreshMs) return token;
    lookedAtMs = clock.now();
    const { mtimeMs } = await stat(tokenFile);
    if (mtimeMs === modifiedMs) return token;
    token = (await readFile(tokenFile, "utf8")).trim();
    modifiedMs = mtimeMs;
    return token;
  };
}

function queryString(query: TransportRequest["query"]): string {
  if (query === undefined) return "";
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of typeof value === "string" ? [value] : value) parameters.append(name, one);
  }
  return `?${parameters.toString()}`;
}

function parseBody(body: Buffer, headers: Headers): Json | string {
  const text = body.toString("utf8");
  const isJson = String(headers["content-type"] ?? "").includes("json");
  return isJson ? (JSON.parse(text) as Json) : text;
}

function errorOf(status: number, body: Buffer): StatusError {
  const text = body.toString("utf8");
  try {
    const parsed = JSON.parse(text) as Partial<Status>;
    if (parsed?.kind === "Status") return StatusError.fromStatus({ code: status, ...parsed });
  } catch {
    // Not a Status: something between us and the server answered.
  }
  const reason =
    status === 401 ? "Unauthorized" : status === 403 ? "Forbidden" : status === 404 ? "NotFound" : "Unknown";
  return new StatusError({ reason, code: status, message: text.trim() || `the server answered with status ${status}` });
}

function unreachable(server: string, cause: unknown): StatusError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new StatusError({
    reason: "ServiceUnavailable",
    code: 503,
    message: `Unable to connect to the server ${server}: ${why}`,
    cause,
  });
}

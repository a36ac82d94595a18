/**
 * Carries an upgraded connection on to another server: its answer is passed on only when it is a verified 101, and bytes flow only after that (CVE-2018-1002105).
 * Redirects are never followed (CVE-2018-1002102).
 */
import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { StatusError, type Status } from "#apimachinery/status-error.ts";

/** Where to carry it. */
export type TunnelTarget = {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** PEM; absent: plain HTTP. */
  readonly tls?: {
    readonly certificate?: string;
    readonly key?: string;
    readonly ca?: string;
    readonly insecure?: boolean;
    /** Name that the server's certificate must have, when it is not reached under it. */
    readonly serverName?: string;
  };
  /** Sent beside the client's own. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
};

/** The client's side. */
export type TunnelClient = { readonly message: IncomingMessage; readonly socket: Duplex; readonly head: Buffer };

/** Headers that are between the client and us. */
const ownHeaders = new Set(["authorization", "host", "content-length", "transfer-encoding"]);

/** Headers that are about one connection. */
export const hopHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Joins the two sides until one ends. Throws StatusError while the client has not been answered. */
export async function tunnel(client: TunnelClient, target: TunnelTarget): Promise<void> {
  const { response, socket, head } = await openUpgrade(client.message, target);
  client.socket.write(rawHead(response));
  if (head.length > 0) client.socket.write(head);
  if (client.head.length > 0) socket.write(client.head);
  await join(client.socket, socket);
}

type Upgraded = { readonly response: IncomingMessage; readonly socket: Duplex; readonly head: Buffer };

function openUpgrade(message: IncomingMessage, target: TunnelTarget): Promise<Upgraded> {
  const { host, port, path, tls } = target;
  const options = {
    host,
    port,
    path,
    method: message.method ?? "GET",
    headers: {
      ...forwardedHeaders(message.headers),
      ...(target.headers as Record<string, string | string[]> | undefined),
    },
    agent: false,
  } as const;
  return new Promise((resolve, reject) => {
    const outgoing =
      tls === undefined
        ? httpRequest(options)
        : httpsRequest({
            ...options,
            ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
            ...(tls.key === undefined ? {} : { key: tls.key }),
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
            ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
            rejectUnauthorized: tls.insecure !== true,
          });
    outgoing.on("error", (cause) => reject(unreachable(target, cause)));
    outgoing.on("upgrade", (response, socket, head) => {
      if (response.statusCode === 101) resolve({ response, socket, head });
      else {
        socket.destroy();
        reject(unreachable(target, new Error(`it answered ${response.statusCode}`)));
      }
    });
    outgoing.on("response", (response) => void readFailure(response).then(reject));
    outgoing.end();
  });
}

/** Headers to send on: all but those that are ours and credentials. */
export function forwardedHeaders(
  headers: IncomingHttpHeaders | Readonly<Record<string, string | readonly string[] | undefined>>,
): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !ownHeaders.has(name) && !/^(:|impersonate-|x-remote-)/.test(name))
      kept[name] = value as string | string[];
  }
  return kept;
}

async function readFailure(response: IncomingMessage): Promise<StatusError> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) if (chunks.length < 64) chunks.push(chunk as Buffer);
  return failureOf(response.statusCode ?? 500, Buffer.concat(chunks).toString());
}

/** A failure of another server as our own: its Status, or its text. */
export function failureOf(code: number, text: string): StatusError {
  try {
    const status = JSON.parse(text) as Partial<Status>;
    if (status.reason !== undefined || status.message !== undefined) return StatusError.fromStatus({ code, ...status });
  } catch {
    // plain text
  }
  const reason = { 400: "BadRequest", 403: "Forbidden", 404: "NotFound" }[code] as
    | "BadRequest"
    | "Forbidden"
    | "NotFound"
    | undefined;
  return new StatusError({ reason: reason ?? "InternalError", code: code >= 400 ? code : 500, message: text.trim() });
}

/** 503 for a server that is not reached. */
export function unreachable(
  { host, port }: { readonly host: string; readonly port: number },
  cause: Error,
): StatusError {
  const message = `error dialing backend: ${host}:${port}: ${cause.message}`;
  return new StatusError({ reason: "ServiceUnavailable", code: 503, message, cause });
}

function rawHead(response: IncomingMessage): string {
  const lines: string[] = [];
  for (let index = 0; index < response.rawHeaders.length; index += 2)
    lines.push(`${response.rawHeaders[index]}: ${response.rawHeaders[index + 1]}`);
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.join("\r\n")}\r\n\r\n`;
}

function join(a: Duplex, b: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      a.destroy();
      b.destroy();
      resolve();
    };
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.on("error", end);
      from.on("close", end);
      from.pipe(to);
    }
  });
}

/**
 * Accepting upgrades of HTTP/1.1 connections: to SPDY/3.1 and to WebSockets with Kubernetes' sub-protocols.
 */
import type { IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";

/** An upgrade request whose socket is ours. */
export type UpgradeRequest = { readonly request: IncomingMessage; readonly socket: Duplex; readonly head: Buffer };

/** What the client wants to speak; undefined when it is neither. */
export function wantedUpgrade({ headers }: IncomingMessage): "websocket" | "spdy" | undefined {
  const upgrade = (headers.upgrade ?? "").toLowerCase();
  if (upgrade === "websocket") return "websocket";
  return upgrade === "spdy/3.1" ? "spdy" : undefined;
}

/** Accepts SPDY with the first of our protocols that the client offers too. Undefined, and the request answered, when there is none. */
export function acceptSpdy(upgrade: UpgradeRequest, protocols: readonly string[]): string | undefined {
  const offered = listOf(upgrade.request.headers["x-stream-protocol-version"]);
  // The oldest clients name no protocol.
  const chosen =
    offered.length === 0 ? (protocols.at(-1) ?? "") : protocols.find((protocol) => offered.includes(protocol));
  if (chosen === undefined) {
    refuse(
      upgrade.socket,
      403,
      `unable to negotiate protocol: client supports [${offered.join(" ")}], server accepts [${protocols.join(" ")}]`,
    );
    return undefined;
  }
  const version = offered.length === 0 ? "" : `X-Stream-Protocol-Version: ${chosen}\r\n`;
  upgrade.socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n${version}\r\n`,
  );
  if (upgrade.head.length > 0) upgrade.socket.unshift(upgrade.head);
  return chosen;
}

/** What RFC 6455 lets a sub-protocol be. */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * Accepts a WebSocket with the first of our protocols that the client offers too; a client that offers none gets none. Undefined, and the request answered, when they share none.
 * The WebSocket's `protocol` stays empty for one that is no token.
 */
export function acceptWebSocket(upgrade: UpgradeRequest, protocols: readonly string[]): Promise<WebSocket | undefined> {
  const offered = listOf(upgrade.request.headers["sec-websocket-protocol"]);
  const chosen = protocols.find((protocol) => offered.includes(protocol));
  if (offered.length > 0 && chosen === undefined) {
    refuse(
      upgrade.socket,
      400,
      `unable to negotiate a sub-protocol: client supports [${offered.join(" ")}], server accepts [${protocols.join(" ")}]`,
    );
    return Promise.resolve(undefined);
  }
  const { WebSocketServer } = createRequire(import.meta.url)("ws") as typeof import("ws");
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: 1 << 24,
    handleProtocols: () => chosen ?? false,
  });
  if (chosen !== undefined && !token.test(chosen)) {
    // ws refuses offers that are no tokens, and SPDY/3.1+portforward.k8s.io is none.
    delete upgrade.request.headers["sec-websocket-protocol"];
    server.on("headers", (headers) => headers.push(`Sec-WebSocket-Protocol: ${chosen}`));
  }
  return new Promise((resolve) => {
    upgrade.socket.once("close", () => resolve(undefined));
    server.handleUpgrade(upgrade.request, upgrade.socket, upgrade.head, (webSocket) => resolve(webSocket));
  });
}

/** Answers a request that will not be upgraded. */
export function refuse(socket: Duplex, code: number, message: string): void {
  const body = `${message}\n`;
  const reasons: Readonly<Record<number, string>> = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    500: "Internal Server Error",
  };
  const head = `HTTP/1.1 ${code} ${reasons[code] ?? "Error"}\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`;
  socket.end(head + body);
}

function listOf(header: string | readonly string[] | undefined): string[] {
  const lines = typeof header === "string" ? [header] : (header ?? []);
  return lines
    .flatMap((line) => line.split(","))
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

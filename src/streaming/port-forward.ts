/**
 * Port-forward: for each connection that the client takes it opens a pair of SPDY streams, "error" and "data", with the same requestID and the port. Newer clients tunnel the
 * same SPDY through a WebSocket (sub-protocol SPDY/3.1+portforward.k8s.io); those in other languages know the channels of port-forward-channels.ts.
 */
import type { Duplex } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { channelProtocols, type OpenPort, servePortChannels } from "./port-forward-channels.ts";
import { SpdyConnection, type SpdyStream } from "./spdy/spdy-connection.ts";
import { acceptSpdy, acceptWebSocket, refuse, type UpgradeRequest, wantedUpgrade } from "./upgrade.ts";

const spdyProtocol = "portforward.k8s.io";
/** How long the client may go on sending when the port has ended: kubectl up to 1.27 waits for our end, and would wait for ever. As containerd. */
const lingerMs = 500;
const tunnelProtocol = "SPDY/3.1+portforward.k8s.io";

/** Serves one client to its end; never rejects. */
export async function servePortForward(
  upgrade: UpgradeRequest,
  ports: readonly number[],
  open: OpenPort,
): Promise<void> {
  const wanted = wantedUpgrade(upgrade.request);
  if (wanted === "spdy") {
    if (acceptSpdy(upgrade, [spdyProtocol]) !== undefined) await servePairs(upgrade.socket, open);
  } else if (wanted === "websocket") {
    const isTunnel = upgrade.request.headers["sec-websocket-protocol"]?.includes(tunnelProtocol) === true;
    const webSocket = await acceptWebSocket(upgrade, isTunnel ? [tunnelProtocol] : channelProtocols);
    if (!webSocket) return;
    if (!isTunnel) return await servePortChannels(webSocket, ports, open);
    const { createWebSocketStream } = await import("ws");
    await servePairs(createWebSocketStream(webSocket), open);
  } else refuse(upgrade.socket, 400, "port-forward needs an upgrade to SPDY/3.1 or a WebSocket");
}

type Pair = { error?: SpdyStream; data?: SpdyStream };

async function servePairs(socket: Duplex, open: OpenPort): Promise<void> {
  const abort = new AbortController();
  const pairs = new Map<string, Pair>();
  socket.on("error", () => {}); // the connection's end is seen by run()
  const connection = new SpdyConnection(socket, (stream) => {
    const id = stream.headers.get("requestid") ?? "";
    const type = stream.headers.get("streamtype");
    const pair = pairs.get(id) ?? {};
    pairs.set(id, pair);
    if (type === "error") pair.error = stream;
    else if (type === "data") pair.data = stream;
    if (!pair.error || !pair.data) return;
    pairs.delete(id);
    void forward(pair.data, pair.error, open, abort.signal); // never rejects
  });
  await connection.run();
  abort.abort(new Error("the client has gone"));
}

async function forward(data: SpdyStream, error: SpdyStream, open: OpenPort, signal: AbortSignal): Promise<void> {
  const port = Number(data.headers.get("port"));
  try {
    if (!Number.isInteger(port) || port < 1 || port > 65_535)
      throw new Error(`"${data.headers.get("port")}" is no port`);
    const socket = await open(port, signal);
    const close = () => socket.destroy();
    signal.addEventListener("abort", close, { once: true });
    try {
      const back = pumpBack(socket, data);
      await Promise.race([Promise.all([pump(data, socket), back]), back.then(() => setTimeout(lingerMs))]);
    } finally {
      signal.removeEventListener("abort", close);
      socket.destroy();
    }
  } catch (cause) {
    const message = `error forwarding port ${port}: ${cause instanceof Error ? cause.message : String(cause)}`;
    await error.write(Buffer.from(message)).catch(() => {}); // the client has gone
    data.reset();
  }
  await Promise.all([data.end(), error.end()]);
  data.reset(); // what the client still sends is for nobody
}

async function pump(from: AsyncIterable<Uint8Array>, to: Duplex): Promise<void> {
  for await (const chunk of from) {
    if (to.destroyed) return;
    await new Promise<void>((resolve) => to.write(chunk, () => resolve()));
  }
  to.end();
}

async function pumpBack(from: Duplex, to: SpdyStream): Promise<void> {
  for await (const chunk of from) await to.write(chunk as Buffer);
  await to.end();
}

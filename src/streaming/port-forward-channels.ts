/**
 * Port-forward as clients in other languages speak it: one WebSocket with two channels for each port, data and errors, in the order of the request's ports. Each channel begins with its
 * port in two bytes, low one first. As kubelet's v4.channel.k8s.io.
 */
import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";

/** Opens a connection to a port of the pod's own 127.0.0.1. */
export type OpenPort = (port: number, signal: AbortSignal) => Promise<Duplex>;

/** Sub-protocols of this kind; a client that names none means the first. */
export const channelProtocols: readonly string[] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

type Forwarded = { readonly socket: Duplex | undefined };

/** Serves the ports to their end; never rejects. */
export async function servePortChannels(webSocket: WebSocket, ports: readonly number[], open: OpenPort): Promise<void> {
  const abort = new AbortController();
  const isText = webSocket.protocol.includes("base64.");
  const gone = new Promise<void>((resolve) => webSocket.on("close", resolve));
  webSocket.on("error", () => webSocket.terminate());
  void gone.then(() => abort.abort(new Error("the client has gone")));
  // Nothing of what the client sends at once is lost while the ports are opened.
  webSocket.pause();
  const opened = await Promise.all(
    ports.map((port, index) => begin({ webSocket, isText, index, port }, open, abort.signal)),
  );
  webSocket.on("message", (data: RawData) => {
    const { channel, payload } = split(data as Buffer, isText);
    const socket = channel % 2 === 0 ? opened[channel / 2]?.socket : undefined;
    if (socket?.writable !== true || socket.write(payload)) return;
    webSocket.pause();
    socket.once("drain", () => webSocket.resume());
  });
  webSocket.resume();
  await gone;
  for (const { socket } of opened) socket?.destroy();
}

type Channel = {
  readonly webSocket: WebSocket;
  readonly isText: boolean;
  readonly index: number;
  readonly port: number;
};

async function begin(channel: Channel, open: OpenPort, signal: AbortSignal): Promise<Forwarded> {
  const { index, port } = channel;
  const name = Buffer.alloc(2);
  name.writeUInt16LE(port);
  await Promise.all([send(channel, index * 2, name), send(channel, index * 2 + 1, name)]);
  try {
    const socket = await open(port, signal);
    void pumpBack(socket, channel);
    return { socket };
  } catch (error) {
    const why = `error forwarding port ${port}: ${error instanceof Error ? error.message : String(error)}`;
    await send(channel, index * 2 + 1, Buffer.from(why));
    return { socket: undefined };
  }
}

// The connection ends when the server at the port ends it: these channels cannot be closed one by one.
async function pumpBack(socket: Duplex, channel: Channel): Promise<void> {
  try {
    for await (const chunk of socket) await send(channel, channel.index * 2, chunk as Buffer);
  } catch {
    // the server broke off, or the client has gone
  }
  channel.webSocket.close(1000);
}

function send({ webSocket, isText }: Channel, number: number, bytes: Buffer): Promise<void> {
  const message = isText ? `${number}${bytes.toString("base64")}` : Buffer.concat([Buffer.from([number]), bytes]);
  return new Promise((resolve) => {
    webSocket.send(message, { binary: !isText }, () => resolve()); // a client that has gone is heard of by "close"
  });
}

function split(data: Buffer, isText: boolean): { readonly channel: number; readonly payload: Buffer } {
  if (!isText) return { channel: data[0] ?? -1, payload: data.subarray(1) };
  return { channel: (data[0] ?? 0) - 48, payload: Buffer.from(data.subarray(1).toString(), "base64") };
}

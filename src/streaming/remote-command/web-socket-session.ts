/**
 * exec and attach over a WebSocket: each message begins with the number of its channel. 0 stdin, 1 stdout, 2 stderr, 3 error, 4 terminal size; in version 5 also 255, which closes
 * the channel that is named behind it. Protocols with "base64." carry text: the channel as a digit, then base64.
 */
import type { RawData, WebSocket } from "ws";
import { ByteQueue } from "#streaming/byte-queue.ts";
import { acceptWebSocket, type UpgradeRequest } from "#streaming/upgrade.ts";
import {
  type CommandStreams,
  formatEnd,
  parseSize,
  type RunCommand,
  runToEnd,
  type TerminalSize,
  type WantedStreams,
} from "./session.ts";

const protocols = [
  "v5.channel.k8s.io",
  "v4.channel.k8s.io",
  "v3.channel.k8s.io",
  "v2.channel.k8s.io",
  "channel.k8s.io",
  "v4.base64.channel.k8s.io",
  "base64.channel.k8s.io",
];
const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** Serves one connection to its end; never rejects. */
export async function serveWebSocketCommand(
  upgrade: UpgradeRequest,
  wanted: WantedStreams,
  run: RunCommand,
): Promise<void> {
  const webSocket = await acceptWebSocket(upgrade, protocols);
  if (!webSocket) return;
  const abort = new AbortController();
  const stdin = new ByteQueue();
  const resize = new ByteQueue<TerminalSize>();
  const isText = webSocket.protocol.includes("base64.");
  webSocket.on("message", (data: RawData) => {
    const { channel, payload } = split(data as Buffer, isText);
    if (channel === channels.stdin && wanted.stdin) {
      // The client waits while the command is slow to read.
      webSocket.pause();
      void stdin.push(payload).then(() => webSocket.resume());
    } else if (channel === channels.resize) {
      const size = parseSize(payload.toString());
      if (size) void resize.push(size);
    } else if (channel === channels.close && payload[0] === channels.stdin) stdin.end();
  });
  webSocket.on("error", () => webSocket.terminate());
  webSocket.on("close", () => {
    stdin.end();
    resize.end();
    abort.abort(new Error("the client has gone"));
  });
  const send = (channel: number) => (chunk: Uint8Array) => sendOn(webSocket, channel, chunk);
  const streams: CommandStreams = {
    tty: wanted.tty,
    ...(wanted.stdin ? { stdin } : {}),
    ...(wanted.stdout ? { stdout: send(channels.stdout) } : {}),
    ...(wanted.stderr ? { stderr: send(channels.stderr) } : {}),
    ...(wanted.tty ? { resize } : {}),
  };
  const end = await runToEnd(run, streams, abort.signal);
  const text = formatEnd(end, versionOf(webSocket.protocol));
  if (text !== "") await sendOn(webSocket, channels.error, Buffer.from(text)).catch(() => {}); // the client has gone
  webSocket.close(1000);
}

function versionOf(protocol: string): number {
  return Number(/^v(\d)/.exec(protocol)?.[1] ?? 1);
}

function split(data: Buffer, isText: boolean): { readonly channel: number; readonly payload: Buffer } {
  if (!isText) return { channel: data[0] ?? -1, payload: data.subarray(1) };
  return { channel: (data[0] ?? 0) - 48, payload: Buffer.from(data.subarray(1).toString(), "base64") };
}

function sendOn(webSocket: WebSocket, channel: number, chunk: Uint8Array): Promise<void> {
  const isText = webSocket.protocol.includes("base64.");
  const message = isText
    ? `${channel}${Buffer.from(chunk).toString("base64")}`
    : Buffer.concat([Buffer.from([channel]), chunk]);
  return new Promise((resolve, reject) => {
    webSocket.send(message, { binary: !isText }, (error) => (error ? reject(error) : resolve()));
  });
}

/**
 * The main process's streams (attach) and its network (port-forward). Output is read from the log, which has both streams in order and tagged; input goes through
 * conmon's socket, which Node cannot open itself (SOCK_SEQPACKET), so `socat` carries it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, existsSync, statSync, watch } from "node:fs";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Libc } from "#linux/libc.ts";
import type { ExecStreams } from "./exec.ts";
import { resizeConsoleOf } from "./window-size.ts";

/** A container whose streams are joined. */
export type AttachTarget = {
  readonly libc: Libc;
  /** The container's first process. */
  readonly pid: number;
  readonly bundle: string;
  readonly logPath: string;
  readonly socat: string;
  readonly ended: Promise<void>;
  readonly hasStdin: boolean;
};

/** Joins the streams until the container ends or the signal aborts. */
export async function attachToContainer(
  target: AttachTarget,
  streams: ExecStreams,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const over = AbortSignal.any([signal, stop.signal]);
  const start = existsSync(target.logPath) ? statSync(target.logPath).size : 0;
  const following = followLog(target, start, streams, over);
  void followSizes(target, streams);
  const writing = target.hasStdin && streams.stdin ? carryInput(target, streams.stdin, over) : undefined;
  // An end is an end, whichever.
  await Promise.race([target.ended, once(over, "abort").catch(() => {})]);
  stop.abort();
  await following;
  await writing;
}

/** Opens a TCP connection to `address` (else ::1) of a network that `enter` runs a function in. Throws when nothing listens. */
export async function connectInside(
  libc: Libc,
  enter: <T>(inside: () => T) => T,
  port: number,
  signal: AbortSignal,
  address = "127.0.0.1",
): Promise<Duplex> {
  try {
    return await connectTo(libc, enter, { address, port }, signal);
  } catch (error) {
    if (signal.aborted || address !== "127.0.0.1") throw error;
    return connectTo(libc, enter, { address: "::1", port }, signal).catch(() => {
      throw error;
    });
  }
}

// The socket is made inside and belongs to that network for ever; everything after happens outside.
async function connectTo(
  libc: Libc,
  enter: <T>(inside: () => T) => T,
  { address, port }: { readonly address: string; readonly port: number },
  signal: AbortSignal,
): Promise<Socket> {
  signal.throwIfAborted();
  const family = address.includes(":") ? "IPv6" : "IPv4";
  const socket = new Socket({ fd: enter(() => libc.openTcpSocket(family)), allowHalfOpen: true });
  const onAbort = () => socket.destroy(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    socket.connect(port, address);
    await once(socket, "connect");
    return socket;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function carryInput(target: AttachTarget, input: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  const child = spawn(target.socat, ["-u", "-", "UNIX-CONNECT:attach,type=5"], {
    cwd: target.bundle,
    stdio: ["pipe", "ignore", "ignore"],
  });
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  const exited = once(child, "exit");
  const onAbort = () => child.kill("SIGKILL");
  signal.addEventListener("abort", onAbort, { once: true });
  void (async () => {
    try {
      for await (const chunk of input) child.stdin.write(chunk);
    } catch {
      // The client is gone: the same as its end.
    }
    child.stdin.end();
  })();
  // Streams that break tell nothing of how it ended.
  await exited.catch(() => {});
  signal.removeEventListener("abort", onAbort);
}

async function followSizes({ libc, pid }: AttachTarget, streams: ExecStreams): Promise<void> {
  try {
    for await (const size of streams.resize ?? []) resizeConsoleOf(libc, pid, size);
  } catch {
    // The container ended, or the client left.
  }
}

// Reads on whenever the file grows, and once more at the end.
async function followLog(
  target: AttachTarget,
  start: number,
  streams: ExecStreams,
  signal: AbortSignal,
): Promise<void> {
  let offset = start;
  let rest: Buffer = Buffer.alloc(0);
  let wake: () => void = () => {};
  const watcher = watch(target.logPath, { persistent: false }, () => wake());
  signal.addEventListener("abort", () => wake(), { once: true });
  try {
    for (;;) {
      const grown = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const isLast = signal.aborted;
      for await (const chunk of createReadStream(target.logPath, { start: offset })) {
        offset += (chunk as Buffer).length;
        rest = await deliver(Buffer.concat([rest, chunk as Buffer]), streams);
      }
      if (isLast) return;
      await grown;
    }
  } finally {
    watcher.close();
  }
}

// Lines as "TIME STREAM F|P TEXT"; P is a piece of a line that goes on.
async function deliver(bytes: Buffer, streams: ExecStreams): Promise<Buffer> {
  let begin = 0;
  for (let end = bytes.indexOf(10, begin); end >= 0; end = bytes.indexOf(10, begin)) {
    const line = bytes.subarray(begin, end + 1);
    begin = end + 1;
    const first = line.indexOf(32);
    const second = line.indexOf(32, first + 1);
    const third = line.indexOf(32, second + 1);
    if (third < 0) continue;
    const isWhole = line.toString("latin1", second + 1, third) === "F";
    const text = line.subarray(third + 1, isWhole ? line.length : line.length - 1);
    const isErrors = line.toString("latin1", first + 1, second) === "stderr";
    await (isErrors && !streams.tty ? streams.stderr : streams.stdout)?.(text);
  }
  return bytes.subarray(begin);
}

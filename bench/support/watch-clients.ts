/**
 * Many watches in a process of their own, so that what they cost is not taken for the server's. They look for the time at which an object was written, `"sent":"…"`, and count.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Access, FrameClient } from "./frame-client.ts";

/** How the watches are spread. */
export type Layout = { readonly connections: number; readonly watchesEach: number };

/** What arrived since it was last asked: events, their delays in milliseconds, and how many watches have ended. */
export type Arrived = {
  readonly events: number;
  readonly ended: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly cpuMicros: number;
};

const MARK = Buffer.from('"sent":"');
const DIGITS = 13;

/** Watches in a child process. */
export class WatchClients {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts the watches; resolves when all have their response. */
  static async start(access: Access, layout: Layout, path: string): Promise<WatchClients> {
    const child = fork(fileURLToPath(import.meta.url), ["watch"]);
    child.send({ access, layout, path });
    await new Promise((resolve) => child.once("message", resolve));
    return new WatchClients(child);
  }

  arrived(): Promise<Arrived> {
    this.#child.send("arrived");
    return new Promise((resolve) => this.#child.once("message", (message) => resolve(message as Arrived)));
  }

  stop(): void {
    this.#child.disconnect();
  }
}

/** Tells the delays of the events in a stream of frames; marks may be cut in two. */
class Delays {
  readonly #counts = new Uint32Array(100_000);
  #rests = new Map<number, Buffer>();
  events = 0;

  read(id: number, chunk: Buffer): void {
    const rest = this.#rests.get(id);
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    const now = Date.now();
    let at = bytes.indexOf(MARK);
    let seen = 0;
    while (at >= 0 && at + MARK.length + DIGITS <= bytes.length) {
      const delay = now - Number(bytes.toString("latin1", at + MARK.length, at + MARK.length + DIGITS));
      const index = Math.max(0, Math.min(this.#counts.length - 1, delay));
      this.#counts[index] = (this.#counts[index] ?? 0) + 1;
      this.events++;
      seen = at + MARK.length + DIGITS;
      at = bytes.indexOf(MARK, seen);
    }
    const tail = Math.max(seen, bytes.length - MARK.length - DIGITS + 1);
    if (tail < bytes.length) this.#rests.set(id, Buffer.from(bytes.subarray(tail)));
    else this.#rests.delete(id);
  }

  take(): { readonly events: number; readonly p50: number; readonly p99: number; readonly max: number } {
    const result = { events: this.events, p50: this.#quantile(0.5), p99: this.#quantile(0.99), max: this.#quantile(1) };
    this.#counts.fill(0);
    this.events = 0;
    return result;
  }

  #quantile(share: number): number {
    let left = Math.ceil(this.events * share);
    for (let ms = 0; ms < this.#counts.length; ms++) {
      left -= this.#counts[ms] as number;
      if (left <= 0) return ms;
    }
    return this.#counts.length;
  }
}

async function watch(access: Access, layout: Layout, path: string): Promise<void> {
  const delays = new Delays();
  let ended = 0;
  let id = 0;
  let cpu = process.cpuUsage();
  for (let i = 0; i < layout.connections; i++) {
    const client = await FrameClient.connect(access);
    for (let j = 0; j < layout.watchesEach; j++) {
      const mine = id++;
      void client.get(path, {}, (chunk) => delays.read(mine, chunk)).then(() => ended++);
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 1000));
  process.on("message", (question) => {
    if (question !== "arrived") return;
    const { user, system } = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    process.send?.({ ...delays.take(), ended, cpuMicros: user + system });
  });
  process.send?.({});
  process.on("disconnect", () => process.exit(0));
}

if (process.argv[2] === "watch" && process.argv[1] === fileURLToPath(import.meta.url)) {
  process.once(
    "message",
    ({ access, layout, path }: { access: Access; layout: Layout; path: string }) => void watch(access, layout, path),
  );
}

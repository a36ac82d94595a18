/**
 * What HAProxy makes of bytes, where it is installed: it answers 200 to each request that it has read with its body, and 400 to what it refuses.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Requests that were taken, and whether something was refused behind them. */
export type HaproxyResult = { readonly taken: number; readonly isRefused: boolean };

const places = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"];
/** What is not whole by then is neither taken nor refused. */
const PATIENCE_MS = 300;

export function findHaproxy(): string | undefined {
  return places.find(existsSync);
}

export class Haproxy {
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, process: ChildProcess) {
    this.#folder = folder;
    this.#process = process;
  }

  static async start(program: string): Promise<Haproxy> {
    const folder = mkdtempSync(join(tmpdir(), "nodeless-haproxy-"));
    const file = join(folder, "haproxy.cfg");
    writeFileSync(
      file,
      `global
  maxconn 256
defaults
  mode http
  timeout client 5s
  timeout http-request ${PATIENCE_MS}ms
  timeout http-keep-alive ${PATIENCE_MS}ms
  option http-buffer-request
frontend f
  bind unix@${join(folder, "socket")}
  http-request return status 200
`,
    );
    const process = spawn(program, ["-db", "-q", "-f", file], { stdio: "ignore" });
    const haproxy = new Haproxy(folder, process);
    while (!existsSync(join(folder, "socket"))) {
      if (process.exitCode !== null) throw new Error(`haproxy ended with ${process.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return haproxy;
  }

  /** Sends the bytes on a connection of their own. */
  async read(bytes: Buffer): Promise<HaproxyResult> {
    const socket = connect(join(this.#folder, "socket"));
    let text = "";
    socket.on("data", (piece: Buffer) => (text += piece.toString("latin1")));
    // One that it gave up before we came to write says nothing.
    socket.on("error", () => {});
    socket.write(bytes);
    await new Promise((resolve) => socket.once("close", resolve));
    return { taken: (text.match(/^HTTP\/1\.[01] 200/gm) ?? []).length, isRefused: /^HTTP\/1\.[01] 400/m.test(text) };
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, "exit");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/**
 * Debian's nats-server with JetStream on a folder of its own, for tests and benches. `tools/setup.mjs` unpacks it where apt can be used.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { delimiter, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "#component-base/testing/free-port.ts";

/** A running server. */
export type NatsServer = { readonly url: string; readonly pid: number; readonly stop: () => Promise<void> };

/** The program, or undefined where it is missing. */
export function findNatsServer(): string | undefined {
  const unpacked = resolve(import.meta.dirname, "../../../../.cache/debian/usr/sbin");
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", unpacked];
  return folders.map((folder) => join(folder, "nats-server")).find((path) => existsSync(path));
}

/** Starts one; `folder` holds what it keeps, `port` that of one before. */
export async function startNatsServer(program: string, folder: string, port?: number): Promise<NatsServer> {
  const own = port ?? (await freePort());
  const args = ["--jetstream", "--store_dir", folder, "--addr", "127.0.0.1", "--port", String(own)];
  const child = spawn(program, args, { stdio: "ignore" });
  for (let tries = 0; !(await answers(own)); tries++) {
    if (tries > 500 || child.exitCode !== null) throw new Error("nats-server did not start");
    await sleep(10);
  }
  return { url: `nats://127.0.0.1:${own}`, pid: child.pid ?? 0, stop: () => end(child) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGKILL");
  await ended;
}

async function answers(port: number): Promise<boolean> {
  return await new Promise((done) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      done(true);
    });
    socket.on("error", () => done(false));
  });
}

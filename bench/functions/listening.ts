/**
 * How long the bench's container needs by itself until it listens: what no platform can take away.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { quantile } from "./quantile.ts";
import { containerCode } from "./services.ts";

/** How long the container's program takes until it listens, started by nobody but us. */
export async function listeningMs(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "fnbench-"));
  const file = join(folder, "server.mjs");
  writeFileSync(file, containerCode);
  const all: number[] = [];
  for (let round = 0; round < 10; round++) {
    const port = await freePort();
    const begunMs = performance.now();
    const child = spawn(process.execPath, [file], { env: { ...process.env, PORT: String(port) }, stdio: "ignore" });
    while (!(await isOpen(port))) await sleep(1);
    all.push(performance.now() - begunMs);
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  rmSync(folder, { recursive: true });
  return quantile(all, 0.5);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const end = (isGood: boolean) => {
      socket.destroy();
      resolve(isGood);
    };
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}

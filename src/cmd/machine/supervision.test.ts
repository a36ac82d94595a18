import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AlreadyRunning, askPeer, type StopMode, SupervisionServer, watchPeer } from "./supervision.ts";

async function withServer(
  use: (path: string, server: SupervisionServer, stops: StopMode[]) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "supervision-"));
  const stops: StopMode[] = [];
  const server = new SupervisionServer(join(folder, "x.sock"), { role: "node", name: "n1" }, (mode) =>
    stops.push(mode),
  );
  await server.listen();
  try {
    await use(join(folder, "x.sock"), server, stops);
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a process tells who it is and that it is ready, also to those who come late", async () => {
  await withServer(async (path, server) => {
    server.ready();

    const status = await askPeer(path);

    assert.deepEqual(status, { role: "node", name: "n1", pid: process.pid, isReady: true });
  });
});

test("nobody lives behind a socket that does not exist", async () => {
  assert.equal(await askPeer("/nonexistent/x.sock"), undefined);
});

test("a second process on the same socket is refused and told who has it", async () => {
  await withServer(async (path) => {
    const second = new SupervisionServer(path, { role: "node", name: "n1" }, () => {});

    await assert.rejects(second.listen(), (error) => error instanceof AlreadyRunning && error.peer.pid === process.pid);
  });
});

test("a goodbye is told apart from a death", async () => {
  const ends: boolean[] = [];
  await withServer(async (path) => {
    await watchPeer(path, { onEnd: (wasGoodbye) => ends.push(wasGoodbye) });
  });
  while (ends.length === 0) await new Promise((resolve) => setImmediate(resolve));

  assert.deepEqual(ends, [true]);
});

test("a stop order reaches the process with its mode", async () => {
  await withServer(async (path, server, stops) => {
    const peer = await watchPeer(path);
    const stopped = peer?.stop("containers");
    while (stops.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await server.close();
    await stopped;

    assert.deepEqual(stops, ["containers"]);
  });
});

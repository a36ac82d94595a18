import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createConnection, createServer } from "node:net";
import { test } from "node:test";
import { AlreadyRunning, askPeer, PeerSilent, type StopMode, SupervisionServer, watchPeer } from "./supervision.ts";

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

test("of two that are started at once one lives", async () => {
  const folder = mkdtempSync(join(tmpdir(), "supervision-"));
  const servers = ["a", "b"].map(
    (name) => new SupervisionServer(join(folder, "x.sock"), { role: "node", name }, () => {}),
  );

  const outcomes = await Promise.allSettled(servers.map((server) => server.listen()));
  const alive = await askPeer(join(folder, "x.sock"));
  await Promise.all(servers.map((server) => server.close()));
  rmSync(folder, { recursive: true });

  const winner = outcomes.findIndex(({ status }) => status === "fulfilled");
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  assert.equal(alive?.name, ["a", "b"][winner]);
});

test("a process that accepts and says nothing is told apart from one that is not there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "supervision-"));
  const hung = createServer(() => {});
  await new Promise<void>((resolve) => hung.listen(join(folder, "x.sock"), resolve));

  await assert.rejects(watchPeer(join(folder, "x.sock"), { helloMs: 20 }), PeerSilent);

  hung.close();
  rmSync(folder, { recursive: true });
});

test("a peer that hangs does not keep a process from closing", async () => {
  await withServer(async (path) => {
    // Never ends its side, as a process that was stopped by a signal.
    const stuck = createConnection({ path, allowHalfOpen: true });
    await new Promise((resolve) => stuck.once("data", resolve));
    stuck.on("error", () => {});
  });
});

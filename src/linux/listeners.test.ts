import assert from "node:assert/strict";
import { closeSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { freePort } from "#component-base/testing/free-port.ts";
import { loadListeners } from "./listeners.ts";

describe("listening sockets", () => {
  it("a socket at a path takes connections before anybody accepts", async () => {
    const folder = mkdtempSync(join(tmpdir(), "nl-listen-"));
    const path = join(folder, "s");
    const listeners = await loadListeners();

    const fd = listeners.listenAtPath(path);

    assert.ok(existsSync(path));
    await connected({ path });
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  it("a path too long for the kernel is refused", async () => {
    const listeners = await loadListeners();

    assert.throws(() => listeners.listenAtPath(`/tmp/${"x".repeat(110)}`), { code: "ENAMETOOLONG" });
  });

  it("a listener is moved to another port, and answers there only, at its own address", async () => {
    const listeners = await loadListeners();
    const port = await freePort();
    const fd = listeners.listenAnywhere("127.0.0.1");

    listeners.moveToPort(fd, "127.0.0.1", port);

    await connected({ port, host: "127.0.0.1" });
    await assert.rejects(connected({ port, host: "127.0.0.2" }), { code: "ECONNREFUSED" });
    closeSync(fd);
    await assert.rejects(connected({ port, host: "127.0.0.1" }), { code: "ECONNREFUSED" });
  });

  it("a listener that stops refuses, whoever has it", async () => {
    const listeners = await loadListeners();
    const port = await freePort();
    const fd = listeners.listenAnywhere("127.0.0.1");
    listeners.moveToPort(fd, "127.0.0.1", port);

    listeners.stopListening(fd);

    await assert.rejects(connected({ port, host: "127.0.0.1" }), { code: "ECONNREFUSED" });
    closeSync(fd);
  });

  it("a port that is taken is refused", async () => {
    const listeners = await loadListeners();
    const server = await listening();
    const fd = listeners.listenAnywhere("127.0.0.1");

    assert.throws(() => listeners.moveToPort(fd, "127.0.0.1", portOf(server)), { code: "EADDRINUSE" });
    closeSync(fd);
    server.close();
  });
});

function connected(to: { path: string } | { port: number; host: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(to);
    socket.on("error", reject).on("connect", () => {
      socket.destroy();
      resolve();
    });
  });
}

function listening(): Promise<Server> {
  const server = createServer();
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function portOf(server: Server): number {
  return (server.address() as { port: number }).port;
}

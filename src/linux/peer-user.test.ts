import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { findPeerUser } from "./peer-user.ts";

describe("the user at the other end", () => {
  it("is found for sockets of this process", async () => {
    await withServer(async (port, accepted) => {
      const client = connect(port, "127.0.0.1");

      assert.equal(await findPeerUser(endsOf(await accepted())), process.getuid?.());

      client.destroy();
    });
  });

  it("is found for another user's socket, also for one that speaks IPv6 too", {
    skip: process.getuid?.() !== 0 && "needs root",
  }, async () => {
    await withServer(async (port, accepted) => {
      for (const host of ["127.0.0.1", "::ffff:127.0.0.1"]) {
        const script = `exec 3<>/dev/tcp/${host}/${port}; read -r line <&3`;
        const child = spawn("bash", ["-c", script], { uid: 65534, gid: 65534, cwd: "/", stdio: "ignore" });

        assert.equal(await findPeerUser(endsOf(await accepted())), 65534, host);

        child.kill();
        await once(child, "exit");
      }
    });
  });

  it("is nobody when that end is closed, though the kernel then calls it root's", async () => {
    await withServer(async (port, accepted) => {
      const client = connect({ port, host: "127.0.0.1" });
      const socket = await accepted();
      const ends = endsOf(socket);
      client.destroy();
      await once(socket.resume(), "end");

      assert.equal(await findPeerUser(ends), undefined);
    });
  });
});

function endsOf({ localAddress = "", localPort = 0, remoteAddress = "", remotePort = 0 }: Socket) {
  return { localAddress, localPort, remoteAddress, remotePort };
}

async function withServer(body: (port: number, accepted: () => Promise<Socket>) => Promise<void>): Promise<void> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => sockets.push(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await body((server.address() as AddressInfo).port, async () => {
      if (sockets.length === 0) await once(server, "connection");
      return sockets.shift() as Socket;
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { connect, createServer } from "node:net";
import { describe, test } from "node:test";
import {
  type HeldListener,
  type HeldSockets,
  openHeldListener,
  openHeldSockets,
  releaseHeldListeners,
  releaseHeldSockets,
} from "./held-sockets.ts";
import { loadLibc } from "./libc.ts";

const libc = await loadLibc();
const address = "127.1.2.3";
const options = { name: `/test/${process.pid}`, address, port: 15_353 };

function close({ udp, tcp }: HeldSockets): void {
  closeSync(udp);
  closeSync(tcp);
}

test("what is sent while nobody answers waits for the next who takes the sockets", async (t) => {
  t.after(() => releaseHeldSockets(options.name));
  close(openHeldSockets(libc, options));
  const asker = createSocket("udp4");
  asker.send("question", options.port, address);
  const caller = connect(options.port, address);
  await once(caller, "connect");

  const { udp, tcp } = openHeldSockets(libc, options);
  const socket = createSocket("udp4");
  const server = createServer((connection) => connection.end("served"));
  socket.bind({ fd: udp });
  server.listen({ fd: tcp });

  const [message] = (await once(socket, "message")) as [Buffer];
  assert.equal(message.toString(), "question");
  const [served] = (await once(caller, "data")) as [Buffer];
  assert.equal(served.toString(), "served");
  asker.close();
  socket.close();
  server.close();
});

test("thousands of questions wait, not only as many as sockets usually hold", async (t) => {
  t.after(() => releaseHeldSockets(options.name));
  const own = { ...options, port: options.port + 1 };
  close(openHeldSockets(libc, own));
  const asker = createSocket("udp4");
  const count = 3000;
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => asker.send(Buffer.alloc(40), own.port, address, resolve));
  }

  const { udp, tcp } = openHeldSockets(libc, own);
  const socket = createSocket("udp4");
  let heard = 0;
  const all = new Promise<void>((resolve) => {
    socket.on("message", () => {
      heard += 1;
      if (heard === count) resolve();
    });
  });
  socket.bind({ fd: udp });

  await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 3000).unref())]);
  asker.close();
  socket.close();
  closeSync(tcp);
  assert.equal(heard, count);
});

test("once they are released others can have the address", () => {
  close(openHeldSockets(libc, options));
  releaseHeldSockets(options.name);
  const other = { ...options, name: `${options.name}-other` };

  const start = Date.now();
  let taken: HeldSockets | undefined;
  // The kernel frees the port when the killed process is gone.
  while (!taken && Date.now() - start < 5000) {
    try {
      taken = openHeldSockets(libc, other);
    } catch {
      // not yet
    }
  }

  assert.ok(taken);
  close(taken);
  releaseHeldSockets(other.name);
});

describe("a listener", () => {
  const name = `/test/${process.pid}/http`;
  const port = 15_380;
  const open = (name: string, ports: readonly number[] = [port, port + 1]) => {
    const held = openHeldListener(libc, { name, address, ports });
    return held ?? assert.fail("no port was free");
  };
  const letGo = ({ fileDescriptor }: HeldListener) => closeSync(fileDescriptor);

  test("keeps who connects while nobody answers for the next who takes it", async (t) => {
    t.after(() => releaseHeldListeners(name));
    letGo(open(name));
    const caller = connect(port, address);
    await once(caller, "connect");
    const server = createServer((connection) => connection.end("served"));
    server.listen({ fd: open(name).fileDescriptor });

    const [served] = (await once(caller, "data")) as [Buffer];
    assert.equal(served.toString(), "served");
    server.close();
  });

  test("takes the next port when somebody has the first, and keeps it", async (t) => {
    const other = createServer();
    other.listen(port, address);
    await once(other, "listening");
    t.after(() => releaseHeldListeners(name));
    const held = open(name);
    letGo(held);
    other.close();
    await once(other, "close");

    assert.equal(held.port, port + 1);
    const again = open(name);
    letGo(again);
    assert.equal(again.port, port + 1);
    assert.equal(openHeldListener(libc, { name: `${name}s`, address, ports: [port + 1] }), undefined);
  });

  test("goes with what is above it", async () => {
    letGo(open(name));
    releaseHeldSockets(`/test/${process.pid}`);
    await until(() => {
      const server = connect(port, address);
      return once(server, "connect").then(
        () => (server.destroy(), false),
        () => true,
      );
    });
  });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

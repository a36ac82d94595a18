import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import type { Target } from "#network/service-proxy/frontends.ts";
import { SplicedPort } from "./spliced-port.ts";

const host = "127.0.0.1";

describe("a spliced port", () => {
  const servers: Server[] = [];
  const targets: Target[] = [];
  before(async () => {
    for (const name of ["a", "b"]) {
      // Answers when the client has said all: half-closed connections must pass.
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on("error", () => {});
        void text(socket).then((said) => socket.end(`${name}:${said}`));
      });
      servers.push(server.listen(0, host));
      await once(server, "listening");
      targets.push({ address: host, port: (server.address() as { port: number }).port });
    }
  });
  after(() => {
    for (const server of servers) server.close();
  });

  test("gives connections to its endpoints in turn, and passes the end of what was said", async () => {
    const { port, listener } = await open({ targets });

    const answers = [await ask(port, "x"), await ask(port, "y")];

    assert.deepEqual(answers, ["a:x", "b:y"]);
    listener.close(true);
  });

  test("passes over an endpoint that does not answer", async () => {
    const { port, listener } = await open({ targets: [{ address: host, port: await unusedPort() }, targets[1]!] });

    assert.deepEqual([await ask(port, "x"), await ask(port, "y")], ["b:x", "b:y"]);
    listener.close(true);
  });

  test("keeps a client to its endpoint for as long as is asked for", async () => {
    const clock = new FakeClock();
    const { port, listener } = await open({ targets, affinitySeconds: 60 }, clock);

    const first = await ask(port, "");
    const kept = [await ask(port, ""), await ask(port, "")];
    await clock.advance(61_000);
    const later = new Set([await ask(port, ""), first]);

    assert.deepEqual(kept, [first, first]);
    assert.equal(later.size, 2, "the turn of the other one has come");
    listener.close(true);
  });

  test("follows its endpoints, and refuses when told to close", async () => {
    const { port, listener } = await open({ targets: [targets[0]!] });
    listener.update({ targets: [targets[1]!] });

    assert.equal(await ask(port, "x"), "b:x");
    listener.close();
    await assert.rejects(ask(port, "x"), { code: "ECONNREFUSED" });
  });

  test("a connection for which no endpoint answers is reset", async () => {
    const { port, listener } = await open({ targets: [{ address: host, port: await unusedPort() }] });

    await assert.rejects(ask(port, "x"), { code: "ECONNRESET" });
    listener.close(true);
  });
});

async function open(endpoints: ConstructorParameters<typeof SplicedPort>[0], clock = new FakeClock()) {
  const listener = new SplicedPort(endpoints, clock);
  const port = await unusedPort();
  await listener.listen(host, port);
  return { listener, port };
}

async function ask(port: number, words: string): Promise<string> {
  const socket = connect({ host, port, allowHalfOpen: true });
  await once(socket, "connect");
  socket.end(words);
  return text(socket);
}

async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

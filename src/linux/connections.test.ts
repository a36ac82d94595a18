import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { loadConnections } from "./connections.ts";

describe("connections of others", () => {
  it("are answered when the last word went out", async () => {
    await using pair = await makePair();
    const { isAnswered } = await loadConnections();
    pair.client.write("question");
    await once(pair.server, "data");
    pair.server.pause();

    const before = isAnswered(pair.fd);
    await new Promise((resolve) => setTimeout(resolve, 20));
    pair.server.write("answer");
    await once(pair.client, "data");
    // The client's word that it has it may come a moment later.
    for (let i = 0; i < 100 && !isAnswered(pair.fd); i++) await new Promise((resolve) => setTimeout(resolve, 10));

    assert.deepEqual([before, isAnswered(pair.fd)], [false, true]);
  });

  it("end for their reader, and still carry what is written", async () => {
    await using pair = await makePair();
    const { stopReading } = await loadConnections();
    const ended = once(pair.server, "end");
    pair.server.resume();

    stopReading(pair.fd);
    await ended;
    pair.server.write("answer");
    const [answer] = (await once(pair.client, "data")) as [Buffer];

    assert.equal(String(answer), "answer");
  });

  it("end in both directions", async () => {
    await using pair = await makePair();
    const { stop } = await loadConnections();
    const ended = once(pair.client, "end");
    pair.client.resume();

    stop(pair.fd);

    await ended;
  });
});

async function makePair(): Promise<
  { readonly client: Socket; readonly server: Socket; readonly fd: number } & AsyncDisposable
> {
  const listener = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const accepted = once(listener, "connection");
  const { port } = listener.address() as { port: number };
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [server] = (await accepted) as [Socket];
  // Node does not tell descriptors of sockets otherwise.
  const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
  return {
    client,
    server,
    fd,
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      listener.close();
      await once(listener, "close");
    },
  };
}

import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { acceptWebSocket } from "./upgrade.ts";

/** What a server with these protocols answers to a client that offers others: the chosen one, or the code of a refusal. */
async function negotiate(
  context: TestContext,
  protocols: readonly string[],
  offered: string,
): Promise<string | number> {
  const server = createServer();
  server.on("upgrade", (message, socket, head) => {
    void acceptWebSocket({ request: message, socket, head }, protocols).then((webSocket) => webSocket?.terminate());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    const client = request({
      host: "127.0.0.1",
      port,
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": offered,
      },
    });
    client.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(response.headers["sec-websocket-protocol"] ?? "");
    });
    client.on("response", (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    client.on("error", reject);
    client.end();
  });
}

test("the first protocol that both speak is chosen", async (context) => {
  assert.equal(
    await negotiate(context, ["v5.channel.k8s.io", "v4.channel.k8s.io"], "v4.channel.k8s.io, v5.channel.k8s.io"),
    "v5.channel.k8s.io",
  );
});

test("kubectl's tunnel for port-forward is accepted, though its name is no token", async (context) => {
  const tunnel = "SPDY/3.1+portforward.k8s.io";

  assert.equal(await negotiate(context, [tunnel], tunnel), tunnel);
});

test("nothing in common is refused", async (context) => {
  assert.equal(await negotiate(context, ["v5.channel.k8s.io"], "v9.channel.k8s.io"), 400);
});

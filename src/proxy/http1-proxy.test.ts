/**
 * HTTP/1.1 from the client's socket to the upstream's, through the whole engine.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { TestProxy, until } from "./testing/test-proxy.ts";
import { type Answering, plainResponse } from "./testing/upstream.ts";

const get = "GET /p?q HTTP/1.1\r\nHost: a.example\r\nUser-Agent: t\r\n\r\n";
const getAndClose = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

test("a request reaches the upstream and the answer comes back", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(
    plainResponse("hello", "X-A: b\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"),
  );
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send(get);

  assert.equal(await client.until("hello"), "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello");
  const seen = upstream.received[0] ?? "";
  assert.match(seen, /^GET \/p\?q HTTP\/1\.1\r\nhost: a\.example\r\nuser-agent: t\r\n/);
  assert.match(
    seen,
    /\r\nx-forwarded-for: 127\.0\.0\.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: a\.example\r\n/,
  );
  assert.match(seen, /\r\nx-request-id: [0-9a-f-]{36}\r\n/);
});

test("both connections are used again", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(plainResponse("x"));
  await proxy.route([upstream]);
  const client = await proxy.client();
  for (let request = 0; request < 5; request++) {
    client.send(get);
    await client.until("\r\n\r\nx");
    client.take();
  }

  assert.equal(upstream.connections, 1);
  assert.match(proxy.metrics(), /requests_total\{listener="l",route="r",cluster="c",code="200"\} 5/);
});

test("pipelined requests are answered in their order", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket, _text, connection) => {
    const paths = [...connection.text.matchAll(/GET (\S+) [^]*?\r\n\r\n/g)].map(([, path]) => path);
    connection.text = "";
    for (const path of paths) setTimeout(() => socket.write(plainResponse(path ?? "")), path === "/1" ? 5 : 0);
  });
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send([1, 2, 3].map((path) => `GET /${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(""));

  const text = await client.until("/3");
  assert.deepEqual(text.match(/(?<=\r\n\r\n)\/\d/g), ["/1", "/2", "/3"]);
});

test("a thousand pipelined requests to a local answer do not pile up on the stack", async (t) => {
  const proxy = await TestProxy.start(t);
  const action = { kind: "respond", status: 200, body: "ok" } as const;
  await proxy.set({ kind: "route", config: { name: "r", listeners: ["l"], hosts: ["*"], rules: [{ action }] } });
  const client = await proxy.client();
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3000));

  await until(() => (client.text.match(/\r\n\r\nok/g) ?? []).length === 3000);
});

test("chunked bodies go both ways, with trailers for those who take them", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket, _text, connection) => {
    if (!connection.text.endsWith("\r\n\r\n") || !connection.text.includes("\r\n0\r\n")) return;
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nab\r\n");
    socket.write("3;ext=1\r\ncde\r\n0\r\nX-Sum: 7\r\n\r\n");
  });
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send(
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
  );
  client.send("2\r\nde\r\n0\r\nX-Check: 1\r\n\r\n");

  const text = await client.until("x-sum: 7\r\n\r\n");
  assert.match(text, /transfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nx-sum: 7\r\n\r\n$/);
  assert.match(upstream.received[0] ?? "", /3\r\nabc\r\n2\r\nde\r\n0\r\nx-check: 1\r\n\r\n$/);
  assert.match(upstream.received[0] ?? "", /\r\nte: trailers\r\n/);
});

test("a body that ends with the upstream's connection comes in chunks, and to HTTP/1.0 as it is", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket) => socket.end("HTTP/1.1 200 OK\r\n\r\nall of it"));
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send(get);

  assert.match(await client.until("0\r\n\r\n"), /transfer-encoding: chunked\r\n\r\n9\r\nall of it\r\n0\r\n\r\n$/);
  const old = await proxy.ask("GET / HTTP/1.0\r\n\r\n");
  assert.match(old, /^HTTP\/1\.1 200 OK\r\nconnection: close\r\n\r\nall of it$/);
});

test("answers without bodies keep the connection in step", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket, text) => {
    if (text.startsWith("HEAD")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    else if (text.includes("/304")) socket.write("HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n");
    else if (text.includes("/204")) socket.write("HTTP/1.1 204 No Content\r\n\r\n");
    else socket.write(plainResponse("last"));
  });
  await proxy.route([upstream]);
  const client = await proxy.client();
  for (const start of ["HEAD /", "GET /304", "GET /204", "GET /"]) client.send(`${start} HTTP/1.1\r\nHost: a\r\n\r\n`);

  const text = await client.until("last");
  assert.deepEqual(text.match(/^HTTP\/1.1 \d+/gm), ["HTTP/1.1 200", "HTTP/1.1 304", "HTTP/1.1 204", "HTTP/1.1 200"]);
  assert.match(text, /^HTTP\/1\.1 200 OK\r\ncontent-length: 5\r\n\r\nHTTP/);
  assert.equal(upstream.connections, 1);
});

test("100 (Continue) is said when there is somewhere for the body to go, and the upstream is not asked again", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket, _text, connection) => {
    if (connection.text.endsWith("body")) socket.write(plainResponse("thanks"));
  });
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  assert.equal(await client.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("body");

  await client.until("thanks");
  assert.doesNotMatch(upstream.received[0] ?? "", /expect/i);
});

test("a body that is expected and not wanted is never asked for", async (t) => {
  const proxy = await TestProxy.start(t);
  const text = await proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");

  assert.match(text, /^HTTP\/1\.1 404 Not Found\r\n[^]*connection: close\r\n/);
});

test("informational answers are passed on, 100 is not", async (t) => {
  const proxy = await TestProxy.start(t);
  const early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  const upstream = await proxy.upstream(early + plainResponse("x"));
  await proxy.route([upstream]);

  const text = await proxy.ask(getAndClose);
  assert.match(text, /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a>\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
});

test("an upgraded connection passes bytes both ways, and each side ends by itself", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket, text) => {
    if (!text.startsWith("GET")) return void socket.write(text.toUpperCase());
    assert.match(text, /\r\nconnection: upgrade\r\nupgrade: websocket\r\n/);
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst",
    );
  });
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n");
  assert.match(await client.until("first"), /connection: upgrade\r\nupgrade: websocket\r\n\r\nfirst$/);
  client.send("echo me");
  await client.until("ECHO ME");
  client.socket.end();

  await client.until("end");
  await until(() => proxy.entries.length === 1);
  assert.equal(proxy.entries[0]?.response_code, 101);
});

test("a 101 that nobody asked for is no tunnel", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  );
  await proxy.route([upstream]);

  assert.match(await proxy.ask(getAndClose), /^HTTP\/1\.1 502 /);
});

test("megabytes stream through with bounded memory and in order", async (t) => {
  const proxy = await TestProxy.start(t);
  const body = randomBytes(4 << 20);
  const hash = createHash("sha256");
  let left = body.length;
  const upstream = await proxy.upstream((socket, text) => {
    let bytes = text;
    if (bytes.startsWith("POST")) bytes = bytes.slice(bytes.indexOf("\r\n\r\n") + 4);
    hash.update(bytes, "latin1");
    left -= bytes.length;
    if (left > 0) return;
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
    socket.write(body);
  });
  await proxy.route([upstream]);
  const client = await proxy.client();
  const back = createHash("sha256");
  let received = 0;
  client.socket.removeAllListeners("data");
  client.socket.on("data", (bytes: Buffer) => {
    const start = received === 0 ? bytes.indexOf("\r\n\r\n") + 4 : 0;
    received += bytes.length - start;
    back.update(bytes.subarray(start));
    client.socket.pause();
    setTimeout(() => client.socket.resume(), 0);
  });
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
  client.socket.write(body);

  await until(() => received === body.length);
  const expected = createHash("sha256").update(body).digest("hex");
  assert.equal(hash.digest("hex"), expected);
  assert.equal(back.digest("hex"), expected);
});

test("a client that does not read stops the upstream, not our memory", async (t) => {
  const proxy = await TestProxy.start(t);
  let sent = 0;
  const piece = Buffer.alloc(64 * 1024);
  const upstream = await proxy.upstream((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const send = () => {
      while (!socket.destroyed && socket.write(piece)) sent += piece.length;
    };
    socket.on("drain", send);
    send();
  });
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.socket.pause();
  client.send(get);
  let before = -1;
  await until(() => {
    const isStill = sent === before && sent > 0;
    before = sent;
    return isStill;
  });
  await new Promise((resolve) => setTimeout(resolve, 30));

  assert.ok(sent < 40_000_000, `${sent} bytes left the upstream`);
});

test("smuggling attempts are answered 400 and the connection ends", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(plainResponse("x"));
  await proxy.route([upstream]);

  const text = await proxy.ask(
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
  );
  assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*connection: close\r\n/);
  assert.equal(upstream.connections, 0);
  assert.match(proxy.metrics(), /refused_messages_total\{listener="l",reason="body-framing"\} 1/);
});

test("a bad chunk in the middle of a body breaks the upstream's connection too", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(() => {});
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  await until(() => (upstream.received[0] ?? "").includes("abc"));
  client.send("zz\r\n");

  assert.match(await client.until("end"), /^HTTP\/1\.1 400 /);
  await until(() => upstream.sockets.size === 0);
  assert.equal(proxy.entries[0]?.response_flags, "DPE");
});

test("an ambiguous answer is 502 and its connection is not used again", async (t) => {
  const bad: Answering = (socket) =>
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(bad);
  await proxy.route([upstream]);

  assert.match(await proxy.ask(getAndClose), /^HTTP\/1\.1 502 /);
  await until(() => upstream.sockets.size === 0);
});

test("bytes behind an answer are given to nobody", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(`${plainResponse("one")}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`);
  await proxy.route([upstream]);
  const client = await proxy.client();
  for (let request = 0; request < 3; request++) {
    client.send(get);
    await client.until("one");
    assert.doesNotMatch(client.take(), /evil/);
  }
  assert.equal(upstream.connections, 3);
});

test("an answer that is cut short breaks the client's connection", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket) =>
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
  );
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send(get);
  await until(() => client.isClosed);

  assert.equal(proxy.entries[0]?.response_flags, "UC");
});

test("when the client goes, the upstream's connection ends", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(() => {});
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send(get);
  await until(() => upstream.connections === 1 && (upstream.received[0] ?? "") !== "");
  client.close();

  await until(() => upstream.sockets.size === 0);
  await until(() => proxy.entries.length === 1);
  assert.equal(proxy.entries[0]?.response_flags, "DC");
  assert.equal(proxy.entries[0]?.response_code, 0);
});

test("an answer before the end of the request is passed on, and the connection is not used again", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!");
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegin");

  assert.match(await client.until("end"), /^HTTP\/1\.1 413 [^]*no!$/);
  await until(() => upstream.sockets.size === 0);
});

test("slow heads and slow bodies are answered 408", async (t) => {
  const proxy = await TestProxy.start(t, { listener: { bounds: { headMs: 250, bodyIdleMs: 250 } } });
  const upstream = await proxy.upstream(() => {});
  await proxy.route([upstream]);
  const head = proxy.ask("GET / HTTP/1.1\r\nHost: a\r\n");
  const body = proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");

  assert.match(await head, /^HTTP\/1\.1 408 /);
  assert.match(await body, /^HTTP\/1\.1 408 /);
  assert.match(proxy.metrics(), /refused_messages_total\{listener="l",reason="timeout"\} 2/);
});

test("idle connections are closed, on both sides", async (t) => {
  const proxy = await TestProxy.start(t, { listener: { bounds: { keepAliveMs: 10 } } });
  const upstream = await proxy.upstream(plainResponse("x"));
  await proxy.route([upstream], { cluster: { idleTimeoutMs: 10 } });
  const client = await proxy.client();
  client.send(get);

  await client.until("end");
  await until(() => upstream.sockets.size === 0);
});

test("an upgraded connection whose upstream ends first is over when the client ends too", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket) => {
    socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbye");
  });
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  assert.match(await client.until("end"), /bye$/);
  assert.equal(proxy.entries.length, 0);
  client.send("last words");
  client.socket.end();

  await until(() => proxy.entries.length === 1);
  assert.equal(proxy.entries[0]?.response_flags, "-");
  await until(() => (upstream.received[0] ?? "").endsWith("last words"));
});

test("a long upload is not cut while its bytes move, and the answer's time begins behind it", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket, _text, connection) => {
    if (connection.text.endsWith("END")) setTimeout(() => socket.write(plainResponse("thanks")), 15);
  });
  await proxy.route([upstream], { rule: { timeouts: { idleMs: 250, responseStartMs: 250 } } });
  const client = await proxy.client();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n");
  for (let piece = 0; piece < 10; piece++) {
    await new Promise((resolve) => setTimeout(resolve, 30));
    client.send(".");
  }
  client.send("END");

  assert.match(await client.until("thanks"), /^HTTP\/1\.1 200 /);
});

test("trailers may not claim what fields may not", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream((socket, _text, connection) => {
    if (connection.text.includes("\r\n0\r\n")) socket.write(plainResponse("x"));
  });
  await proxy.route([upstream]);
  const client = await proxy.client();
  client.send(
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX-B: 1\r\n\r\n",
  );

  await client.until("\r\n\r\nx");
  assert.match(upstream.received[0] ?? "", /0\r\nx-b: 1\r\n\r\n$/);
});

/**
 * TLS with SNI and ALPN, and HTTP/2 and gRPC on either side, through the whole engine.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  createSecureServer,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { connect as connectTls, createServer as createTlsServer, type PeerCertificate } from "node:tls";
import { systemClock } from "#component-base/clock.ts";
import { issueClientCertificate, issueServerCertificate } from "#component-base/certificates.ts";
import { createCa, type KeyPair } from "#component-base/x509.ts";
import type { UpstreamTls } from "./config/cluster.ts";
import type { Resource } from "./config/route-source.ts";
import { TestProxy, until } from "./testing/test-proxy.ts";
import { plainResponse } from "./testing/upstream.ts";

const ca = createCa({
  usages: [],
  subject: { commonName: "test" },
  notBeforeMs: Date.now() - 1000,
  notAfterMs: Date.now() + 3_600_000,
});

function certificateFor(...addresses: readonly string[]): KeyPair {
  return issueServerCertificate(ca, { commonName: addresses[0] ?? "", addresses, clock: systemClock });
}

function certificate(name: string, ...hosts: readonly string[]): Resource {
  return { kind: "certificate", config: { name, ...certificateFor(...hosts) } };
}

async function secureProxy(t: TestContext): Promise<TestProxy> {
  const proxy = await TestProxy.start(t, { listener: { tls: { certificates: ["a", "wild"] } } });
  await proxy.set(certificate("a", "a.example"), certificate("wild", "*.b.example"));
  return proxy;
}

async function shownTo(port: number, servername: string): Promise<PeerCertificate> {
  const socket = connectTls({ port, host: "127.0.0.1", servername, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const shown = socket.getPeerCertificate();
  socket.destroy();
  return shown;
}

test("a listener that shows all certificates finds one by its host, for several the first by name, and else its own", async (t) => {
  const proxy = await TestProxy.start(t, { listener: { tls: { certificates: ["own"], showsAll: true } } });
  await proxy.set(certificate("own", "own.example"), certificate("wild", "*.b.example"));
  await proxy.set(certificate("z", "a.example", "z"), certificate("y", "a.example", "y"));
  const names = async (host: string) => (await shownTo(proxy.port, host)).subjectaltname;

  assert.equal(await names("a.example"), "DNS:a.example, DNS:y");
  assert.equal(await names("x.b.example"), "DNS:*.b.example");
  assert.equal(await names("elsewhere"), "DNS:own.example");
  await proxy.engine.apply([{ remove: { kind: "certificate", name: "y" } }]);
  assert.equal(await names("a.example"), "DNS:a.example, DNS:z");
});

type Answer = { readonly headers: IncomingHttpHeaders; readonly body: string; readonly trailers: IncomingHttpHeaders };

function session(t: TestContext, url: string): ClientHttp2Session {
  const client = connect(url, { ca: ca.certificate, servername: "a.example" });
  client.on("error", () => {});
  t.after(() => client.destroy());
  return client;
}

async function ask(
  client: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: readonly string[],
): Promise<Answer> {
  const stream = client.request({ ":authority": "a.example", ...headers }, { endStream: body === undefined });
  for (const piece of body ?? []) stream.write(piece);
  if (body !== undefined) stream.end();
  let text = "";
  let trailers: IncomingHttpHeaders = {};
  stream.setEncoding("utf8");
  stream.on("data", (piece: string) => (text += piece));
  stream.on("trailers", (all) => (trailers = all));
  const closed = once(stream, "close");
  closed.catch(() => {});
  const [answered] = (await once(stream, "response")) as [IncomingHttpHeaders];
  await closed;
  return { headers: answered, body: text, trailers };
}

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

async function http2Server(t: TestContext, serve: Serve, tls?: KeyPair): Promise<{ address: string; port: number }> {
  const server =
    tls === undefined ? createServer() : createSecureServer({ cert: tls.certificate, key: tls.privateKey });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    serve(stream, headers);
  });
  server.on("session", (one) => t.after(() => one.destroy()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { address: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

async function routeTo(
  proxy: TestProxy,
  endpoint: { address: string; port: number },
  tls?: UpstreamTls,
): Promise<void> {
  await proxy.route([], {
    cluster: { protocol: "http2", endpoints: [endpoint], ...(tls === undefined ? {} : { tls }) },
  });
}

/** Echoes like a gRPC server: body back, status in the trailers. */
const grpcEcho: Serve = (stream, headers) => {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "x-path": headers[":path"] },
    { waitForTrailers: true },
  );
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": String(headers["te"]) }));
  stream.pipe(stream);
};

test("a client is shown the certificate that fits what it asks for, else the first", async (t) => {
  const proxy = await secureProxy(t);
  const names = await Promise.all(
    ["a.example", "x.b.example", "x.y.b.example", "other"].map(
      async (name) => (await shownTo(proxy.port, name)).subjectaltname,
    ),
  );

  assert.deepEqual(names, ["DNS:a.example", "DNS:*.b.example", "DNS:a.example", "DNS:a.example"]);
});

test("a certificate is replaced while connections stay open", async (t) => {
  const proxy = await secureProxy(t);
  const upstream = await proxy.upstream(plainResponse("x"));
  await proxy.route([upstream]);
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  await ask(client, { ":path": "/" });
  const before = (await shownTo(proxy.port, "a.example")).fingerprint256;
  await proxy.set(certificate("a", "a.example"));

  assert.notEqual((await shownTo(proxy.port, "a.example")).fingerprint256, before);
  assert.equal((await ask(client, { ":path": "/" })).body, "x");
});

test("HTTP/1.1 is spoken to those who offer nothing else", async (t) => {
  const proxy = await secureProxy(t);
  const upstream = await proxy.upstream(plainResponse("secret"));
  await proxy.route([upstream]);
  const socket = connectTls({
    port: proxy.port,
    host: "127.0.0.1",
    servername: "a.example",
    ca: ca.certificate,
    ALPNProtocols: ["http/1.1"],
  });
  await once(socket, "secureConnect");
  assert.equal(socket.alpnProtocol, "http/1.1");
  socket.write("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
  let text = "";
  for await (const piece of socket) text += String(piece);

  assert.match(text, /secret$/);
  assert.match(upstream.received[0] ?? "", /x-forwarded-proto: https\r\n/);
  assert.equal(proxy.entries[0]?.requested_server_name, "a.example");
});

test("a client without the certificate that is asked for gets nowhere", async (t) => {
  const tls = { certificates: ["a"], clientCa: ca.certificate };
  const proxy = await TestProxy.start(t, { listener: { tls } });
  await proxy.set(certificate("a", "a.example"), {
    kind: "route",
    config: {
      name: "r",
      listeners: ["l"],
      hosts: ["*"],
      rules: [{ action: { kind: "respond", status: 200, body: "in" } }],
    },
  });
  const answerTo = async (more: object) => {
    const socket = connectTls({
      port: proxy.port,
      host: "127.0.0.1",
      servername: "a.example",
      ca: ca.certificate,
      ALPNProtocols: ["http/1.1"],
      ...more,
    });
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = "";
    socket.on("data", (piece: Buffer) => (text += piece.toString()));
    await new Promise((resolve) => socket.once("close", resolve));
    return text;
  };
  const own = issueClientCertificate(ca, { commonName: "me", clock: systemClock });

  assert.equal(await answerTo({}), "");
  assert.match(await answerTo({ cert: own.certificate, key: own.privateKey }), /in\n?$/);
});

test("HTTP/2 in front of an upstream that speaks HTTP/1.1", async (t) => {
  const proxy = await secureProxy(t);
  const upstream = await proxy.upstream((socket, _text, connection) => {
    if (connection.text.includes("POST") && !connection.text.endsWith("0\r\n\r\n")) return;
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n3\r\nyes\r\n0\r\nX-Sum: 1\r\n\r\n");
    connection.text = "";
  });
  await proxy.route([upstream]);
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  const answer = await ask(client, { ":path": "/p", ":method": "POST", cookie: ["a=1", "b=2"], te: "trailers" }, [
    "one",
    "two",
  ]);

  assert.equal(answer.headers[":status"], 200);
  assert.equal(answer.headers["x-a"], "b");
  assert.equal(answer.body, "yes");
  assert.equal(answer.trailers["x-sum"], "1");
  assert.match(upstream.received[0] ?? "", /^POST \/p HTTP\/1\.1\r\nhost: a\.example\r\n[^]*cookie: a=1; b=2\r\n/);
  assert.match(upstream.received[0] ?? "", /6\r\nonetwo\r\n0\r\n\r\n$/);
  assert.equal(proxy.entries[0]?.protocol, "HTTP/2");
});

test("gRPC passes from end to end, trailers included, with and without TLS to the upstream", async (t) => {
  const proxy = await secureProxy(t);
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  const grpc = { ":method": "POST", ":path": "/echo.Echo/Say", "content-type": "application/grpc", te: "trailers" };
  await routeTo(proxy, await http2Server(t, grpcEcho));
  const plain = await ask(client, grpc, ["\0\0\0\0\x02hi"]);
  const tls = { serverName: "inner", ca: ca.certificate };
  await routeTo(proxy, await http2Server(t, grpcEcho, certificateFor("inner")), tls);
  const secure = await ask(client, grpc, ["\0\0\0\0\x02ho"]);

  for (const answer of [plain, secure]) {
    assert.equal(answer.trailers["grpc-status"], "0");
    assert.equal(answer.trailers["grpc-message"], "trailers");
    assert.equal(answer.headers["x-path"], "/echo.Echo/Say");
  }
  assert.deepEqual([plain.body, secure.body], ["\0\0\0\0\x02hi", "\0\0\0\0\x02ho"]);
});

test("HTTP/2 without TLS begins with its preface, even when that comes in pieces", async (t) => {
  const proxy = await TestProxy.start(t);
  await routeTo(proxy, await http2Server(t, grpcEcho));
  const client = session(t, `http://127.0.0.1:${proxy.port}`);
  assert.equal((await ask(client, { ":path": "/", ":method": "POST" }, ["x"])).body, "x");

  const raw = await proxy.client();
  raw.send("PRI * HTTP/2.0\r\n");
  await new Promise((resolve) => setTimeout(resolve, 5));
  raw.send("\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
  await until(() => raw.text.length >= 9);
  assert.equal(raw.text.charCodeAt(3), 4, "a SETTINGS frame comes back");
});

test("HTTP/1.1 in front of an upstream that speaks HTTP/2", async (t) => {
  const proxy = await TestProxy.start(t);
  await routeTo(
    proxy,
    await http2Server(t, (stream, headers) => {
      stream.respond({ ":status": 201, "x-host": headers[":authority"], "set-cookie": ["a=1", "b=2"] });
      stream.pipe(stream);
    }),
  );
  const text = await proxy.ask(
    "POST / HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
  );

  assert.match(text, /^HTTP\/1\.1 201 Created\r\n/);
  assert.match(text, /\r\nx-host: h\.example\r\n[^]*set-cookie: a=1\r\nset-cookie: b=2\r\n/);
  assert.match(text, /\r\n4\r\nbody\r\n0\r\n\r\n$/);
});

test("streams that an upstream refuses or cannot take are tried again, and answers of our own are gRPC's to gRPC clients", async (t) => {
  const proxy = await secureProxy(t);
  let isFirst = true;
  await routeTo(
    proxy,
    await http2Server(t, (stream, headers) => {
      if (isFirst) stream.close(7);
      else grpcEcho(stream, headers);
      isFirst = false;
    }),
  );
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  const grpc = { ":method": "POST", ":path": "/a/b", "content-type": "application/grpc", te: "trailers" };
  assert.equal((await ask(client, grpc, ["x"])).body, "x");
  assert.equal(proxy.entries[0]?.tries, 2);

  await proxy.route([]);
  const refused = await ask(client, grpc, ["x"]);
  assert.equal(refused.headers[":status"], 200);
  assert.equal(refused.headers["grpc-status"], "14");
});

test("a stream that the client resets ends the upstream's, and the other way round", async (t) => {
  const proxy = await secureProxy(t);
  const streams: ServerHttp2Stream[] = [];
  await routeTo(
    proxy,
    await http2Server(t, (stream) => {
      stream.on("error", () => {});
      streams.push(stream);
      if (streams.length === 2) {
        stream.respond({ ":status": 200 });
        stream.write("begin");
        setTimeout(() => stream.destroy(new Error("the test breaks it")), 5);
      }
    }),
  );
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  const first = client.request({ ":path": "/", ":authority": "a.example" });
  first.on("error", () => {});
  await until(() => streams.length === 1);
  first.close(8);
  await until(() => streams[0]?.destroyed === true);

  const second = client.request({ ":path": "/", ":authority": "a.example" });
  let isBroken = false;
  second.on("error", () => (isBroken = true));
  second.resume();
  await until(() => isBroken);
  await until(() => proxy.entries.length === 2);
  assert.deepEqual(
    proxy.entries.map((entry) => entry.response_flags),
    ["DC", "UC"],
  );
});

test("what HTTP/2 could smuggle into HTTP/1.1 is refused", async (t) => {
  const proxy = await secureProxy(t);
  const upstream = await proxy.upstream(plainResponse("x"));
  await proxy.route([upstream]);
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  const status = (headers: OutgoingHttpHeaders) =>
    ask(client, headers).then(
      (answer) => answer.headers[":status"],
      (error: Error) => error.message,
    );

  assert.match(String(await status({ ":path": "/a b" })), /PROTOCOL_ERROR/);
  assert.match(String(await status({ ":path": "a" })), /PROTOCOL_ERROR/);
  assert.equal(await status({ ":path": "/a#b" }), 400);
  assert.equal(await status({ ":path": "/", ":method": "BREW" }), 501);
  assert.equal(await status({ ":path": "/", host: "b.example" }), 400);
  assert.equal(await status({ ":path": "/", ":authority": "a:b" }), 400);
  assert.equal(upstream.connections, 0);
});

test("megabytes stream through HTTP/2 on both sides", async (t) => {
  const proxy = await secureProxy(t);
  await routeTo(
    proxy,
    await http2Server(t, (stream) => {
      stream.respond({ ":status": 200 });
      stream.pipe(stream);
    }),
  );
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  const piece = "0123456789abcdef".repeat(4096);
  const answer = await ask(
    client,
    { ":path": "/", ":method": "POST" },
    Array.from({ length: 64 }, () => piece),
  );

  assert.equal(answer.body.length, 64 * piece.length);
  assert.equal(answer.body, piece.repeat(64));
});

test("stopping tells HTTP/2 clients, and lets streams end", async (t) => {
  const proxy = await secureProxy(t);
  const streams: ServerHttp2Stream[] = [];
  await routeTo(proxy, await http2Server(t, (stream) => void streams.push(stream)));
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  const answer = ask(client, { ":path": "/" });
  await until(() => streams.length === 1);
  const goaway = once(client, "goaway");
  const stopped = proxy.engine.stop(5_000);
  await goaway;
  streams[0]?.respond({ ":status": 200 });
  streams[0]?.end("done");

  assert.equal((await answer).body, "done");
  await stopped;
});

test("HTTP/1.1 over TLS to an upstream whose certificate must fit", async (t) => {
  const proxy = await secureProxy(t);
  const own = certificateFor("inner");
  const server = createTlsServer({ cert: own.certificate, key: own.privateKey }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.write(plainResponse("inside")));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const endpoints = [{ address: "127.0.0.1", port: (server.address() as AddressInfo).port }];
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  await proxy.route([], { cluster: { endpoints, tls: { serverName: "inner", ca: ca.certificate } } });
  assert.equal((await ask(client, { ":path": "/" })).body, "inside");
  assert.equal((await ask(client, { ":path": "/" })).body, "inside");

  await proxy.route([], { cluster: { endpoints, tls: { serverName: "other", ca: ca.certificate } } });
  assert.equal((await ask(client, { ":path": "/" })).headers[":status"], 503);
});

test("an answer that is cut short breaks a TLS client's connection, and only that", async (t) => {
  const proxy = await secureProxy(t);
  const upstream = await proxy.upstream((socket) =>
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
  );
  await proxy.route([upstream]);
  const socket = connectTls({ port: proxy.port, host: "127.0.0.1", rejectUnauthorized: false });
  socket.on("error", () => {});
  let text = "";
  socket.on("data", (piece: Buffer) => (text += piece.toString()));
  socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await once(socket, "close");

  assert.doesNotMatch(text, /HTTP[^]*HTTP/);
  assert.equal(proxy.entries[0]?.response_flags, "UC");
});

test("an answer that says twice what HTTP/2 says once does not end the proxy", async (t) => {
  const proxy = await secureProxy(t);
  const upstream = await proxy.upstream(
    plainResponse("x", "Date: 1\r\nDate: 2\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n"),
  );
  await proxy.route([upstream]);
  const client = session(t, `https://127.0.0.1:${proxy.port}`);
  const answer = await ask(client, { ":path": "/" });

  assert.equal(answer.body, "x");
});

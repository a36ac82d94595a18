import assert from "node:assert/strict";
import { createServer } from "node:http2";
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { createHttpTransport } from "./http-transport.ts";
import type { HttpTransportOptions } from "./http-transport.ts";
import { createClient } from "./rest-client.ts";
import { until } from "./testing/settle.ts";

type Handler = (stream: ServerHttp2Stream, headers: Record<string, unknown>, body: string) => void;

async function setUp(context: TestContext, handler: Handler, options: Partial<HttpTransportOptions> = {}) {
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream, headers) => {
    let body = "";
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
    stream.on("end", () => handler(stream, headers, body));
  });
  const port = await listen(server);
  const transport = createHttpTransport({ server: `http://127.0.0.1:${port}`, ...options });
  context.after(async () => {
    await transport.close();
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { transport, client: createClient(transport), sessions };
}

async function listen(server: Http2Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

const pods = { resource: { group: "", version: "v1", resource: "pods" }, namespace: "default" };
const json = { ":status": 200, "content-type": "application/json" };

test("a request carries method, path, query, media types, token and body, and gives a frozen answer", async (context) => {
  const seen: { headers: Record<string, unknown>; body: string }[] = [];
  const handler: Handler = (stream, headers, body) => {
    seen.push({ headers, body });
    stream.respond(json);
    stream.end('{"metadata":{"name":"web"}}');
  };
  const { client } = await setUp(context, handler, { bearerToken: "secret" });

  const patch = { type: "merge", body: { metadata: { labels: { a: "b" } } } } as const;
  const answer = await client.patch({ ...pods, name: "web" }, patch, { fieldManager: "me", force: true });

  const { headers, body } = seen[0]!;
  assert.equal(headers[":method"], "PATCH");
  assert.equal(headers[":path"], "/api/v1/namespaces/default/pods/web?fieldManager=me&force=true");
  assert.equal(headers["content-type"], "application/merge-patch+json");
  assert.equal(headers["authorization"], "Bearer secret");
  assert.equal(body, '{"metadata":{"labels":{"a":"b"}}}');
  assert.equal(answer.metadata?.name, "web");
  assert.ok(Object.isFrozen(answer.metadata));
});

test("a client that acts as somebody else says so in every request", async (context) => {
  const seen: unknown[] = [];
  const handler: Handler = (stream, headers) => {
    seen.push(headers["impersonate-user"]);
    stream.respond(json);
    stream.end("{}");
  };
  const { client } = await setUp(context, handler, { impersonate: "system:serviceaccount:default:auditor" });

  await client.get({ ...pods, name: "web" });

  assert.deepEqual(seen, ["system:serviceaccount:default:auditor"]);
});

test("warnings of the server are heard, each one, whatever is in it", async (context) => {
  const heard: string[] = [];
  const handler: Handler = (stream) => {
    stream.respond({
      ...json,
      warning: ['299 - "first, with a comma"', '299 - "a \\"second\\" one"'] as unknown as string,
    });
    stream.end("{}");
  };
  const { client } = await setUp(context, handler, { onWarning: (text) => heard.push(text) });

  await client.get({ ...pods, name: "web" });

  assert.deepEqual(heard, ["first, with a comma", 'a "second" one']);
});

test("no answer is lost when many short ones come at once", async (context) => {
  const handler: Handler = (stream, headers) => {
    // Many answers in one piece, and their streams over with it.
    setTimeout(() => {
      if (String(headers[":path"]).includes("watch=1")) {
        stream.respond({ ...json, ":status": 410 });
        stream.end('{"kind":"Status","reason":"Expired","code":410}');
      } else {
        stream.respond(json);
        stream.end(JSON.stringify({ items: [], filling: "x".repeat(3000) }));
      }
    }, 2);
  };
  const { client } = await setUp(context, handler);

  const ask = async (index: number): Promise<void> => {
    for (let round = 0; round < 12; round++) {
      if (index % 8 === 0) await assert.rejects(client.watch(pods), { reason: "Expired" });
      else assert.deepEqual((await client.list(pods)).items, []);
    }
  };
  await Promise.all(Array.from({ length: 64 }, (_, index) => ask(index)));
});

test("a Status that says failure is thrown as the StatusError that it is", async (context) => {
  const status = { kind: "Status", status: "Failure", reason: "NotFound", code: 404, message: 'pods "x" not found' };
  const { client } = await setUp(context, (stream) => {
    stream.respond({ ...json, ":status": 404 });
    stream.end(JSON.stringify(status));
  });

  const failure = client.get({ ...pods, name: "x" });

  await assert.rejects(failure, (error) => error instanceof StatusError && error.reason === "NotFound");
});

test("a server that cannot be reached is ServiceUnavailable", async (context) => {
  const transport = createHttpTransport({ server: "http://127.0.0.1:1" });
  context.after(() => transport.close());

  const failure = transport.request({ method: "GET", path: "/version" });

  await assert.rejects(failure, (error) => error instanceof StatusError && error.code === 503);
});

test("a request that is refused with Retry-After is sent again", async (context) => {
  const clock = new FakeClock();
  let calls = 0;
  const handler: Handler = (stream) => {
    calls++;
    stream.respond(calls === 1 ? { ":status": 429, "retry-after": "1" } : json);
    stream.end("{}");
  };
  const { transport } = await setUp(context, handler, { clock });

  const answer = transport.request({ method: "GET", path: "/version" });
  let hasAnswered = false;
  void answer.then(() => (hasAnswered = true));
  await until(async () => {
    await clock.advance(100);
    return hasAnswered;
  });

  assert.equal((await answer).status, 200);
  assert.equal(calls, 2);
});

test("watch events come one by one, whatever pieces they arrive in", async (context) => {
  const lines = [1, 2, 3].map((n) => JSON.stringify({ type: "ADDED", object: { metadata: { name: `ä${n}` } } }));
  const { client } = await setUp(context, (stream) => {
    stream.respond(json);
    for (const byte of Buffer.from(`${lines.join("\n")}\n`)) stream.write(Buffer.from([byte]));
    stream.end();
  });

  const names: (string | undefined)[] = [];
  for await (const event of await client.watch(pods)) names.push(event.object.metadata?.name);

  assert.deepEqual(names, ["ä1", "ä2", "ä3"]);
});

test("a watch ends quietly when its signal aborts and throws when the connection breaks", async (context) => {
  const { client, sessions } = await setUp(context, (stream) => {
    stream.respond(json);
    stream.write('{"type":"ADDED","object":{}}\n');
  });
  const abort = new AbortController();

  let seen = 0;
  for await (const _event of await client.watch(pods, { signal: abort.signal })) {
    seen++;
    abort.abort();
  }
  const broken = (async () => {
    for await (const _event of await client.watch(pods)) for (const session of sessions) session.destroy();
  })();

  assert.equal(seen, 1);
  await assert.rejects(broken, (error) => error instanceof StatusError && error.code === 503);
});

test("leaving a watch early frees its stream, and more watches than one connection takes open another", async (context) => {
  let open = 0;
  const { client, sessions } = await setUp(context, (stream) => {
    open++;
    stream.on("close", () => open--);
    stream.respond(json);
    stream.write('{"type":"ADDED","object":{}}\n');
  });

  const watches = await Promise.all(Array.from({ length: 120 }, () => client.watch(pods)));
  assert.equal(sessions.size, 2);
  for (const watch of watches) for await (const _event of watch) break;

  await until(() => open === 0);
});

test("a quiet watch stays open while the server answers pings", async (context) => {
  const clock = new FakeClock();
  let write = (_text: string) => {};
  const handler: Handler = (stream) => {
    stream.respond(json);
    write = (text) => stream.write(text);
    write('{"type":"ADDED","object":{"metadata":{"name":"first"}}}\n');
  };
  const { client } = await setUp(context, handler, { clock });
  const names: (string | undefined)[] = [];
  const abort = new AbortController();
  const watching = (async () => {
    for await (const event of await client.watch(pods, { signal: abort.signal }))
      names.push(event.object.metadata?.name);
  })();
  await until(() => names.length === 1);

  for (let i = 0; i < 30; i++) {
    await clock.advance(5000);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  write('{"type":"ADDED","object":{"metadata":{"name":"second"}}}\n');

  await until(() => names.length === 2);
  abort.abort();
  await watching;
});

test("told that its server has died, a transport fails what is under way and connects anew", async (context) => {
  const handler: Handler = (stream, headers) => {
    stream.respond(json);
    if (!String(headers[":path"]).includes("watch")) stream.end("{}");
  };
  const { transport, client, sessions } = await setUp(context, handler);
  const events = await client.watch(pods);
  const watching = (async () => {
    for await (const event of events) void event;
  })();
  await client.get({ ...pods, name: "a" });

  transport.reconnect();
  await assert.rejects(watching, { code: 503 });
  await client.get({ ...pods, name: "a" });

  assert.equal(sessions.size, 2);
});

test("after a day a new connection is made, with the certificate of then", async (context) => {
  const clock = new FakeClock();
  const handler: Handler = (stream) => {
    stream.respond(json);
    stream.end("{}");
  };
  const asked: number[] = [];
  const clientCertificate = async () => (asked.push(clock.now()), { certificate: "", key: "" });
  const { client, sessions } = await setUp(context, handler, { clock, clientCertificate });
  await client.get({ ...pods, name: "a" });
  await clock.advance(23 * 3_600_000);
  await client.get({ ...pods, name: "a" });
  assert.equal(sessions.size, 1);

  await clock.advance(2 * 3_600_000);
  await client.get({ ...pods, name: "a" });

  assert.equal(sessions.size, 2);
  assert.equal(asked.length, 2);
});

test("a server that says nothing any more is noticed", async (context) => {
  const clock = new FakeClock();
  const silent = createTcpServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  const transport = createHttpTransport({ server: `http://127.0.0.1:${port}`, clock });
  context.after(async () => {
    await transport.close();
    silent.close();
  });

  let failure: unknown;
  createClient(transport)
    .watch(pods)
    .catch((error: unknown) => (failure = error));
  await until(async () => {
    await clock.advance(5000);
    return failure !== undefined;
  });

  assert.ok(failure instanceof StatusError && failure.code === 503);
});

test("a token file that changed is read again", async (context) => {
  const clock = new FakeClock();
  const folder = await mkdtemp(join(tmpdir(), "nodeless-token-"));
  context.after(() => rm(folder, { recursive: true }));
  const tokenFile = join(folder, "token");
  await writeFile(tokenFile, "one\n");
  const tokens: unknown[] = [];
  const handler: Handler = (stream, headers) => {
    tokens.push(headers["authorization"]);
    stream.respond(json);
    stream.end("{}");
  };
  const { transport } = await setUp(context, handler, { tokenFile, clock });

  await transport.request({ method: "GET", path: "/version" });
  await writeFile(tokenFile, "second\n");
  await clock.advance(10_000);
  await transport.request({ method: "GET", path: "/version" });

  assert.deepEqual(tokens, ["Bearer one", "Bearer second"]);
});

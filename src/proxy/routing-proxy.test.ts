/**
 * What routes do with requests, through the whole engine: choice, rewriting, retries, time limits, holds, mirrors, and changes of the configuration under load.
 */
import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { HeldRequest, HoldVerdict } from "./config/hold.ts";
import type { RouteRule } from "./config/route.ts";
import { TestProxy, until } from "./testing/test-proxy.ts";
import { plainResponse, type TestUpstream } from "./testing/upstream.ts";

const get = "GET /a/b?c HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
const post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";

/** A port that nobody listens on. */
async function deadEndpoint(): Promise<{ address: string; port: number }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return { address: "127.0.0.1", port };
}

function setRule(proxy: TestProxy, rule: RouteRule): Promise<readonly unknown[]> {
  return proxy.set({ kind: "route", config: { name: "r", listeners: ["l"], hosts: ["*"], rules: [rule] } });
}

test("paths, hosts and fields are rewritten on the way there and back", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(plainResponse("x", "Server: secret\r\n"));
  await proxy.route([upstream], {
    rule: {
      matches: [{ path: { kind: "prefix", value: "/a" } }],
      rewrite: { authority: "inner:81", path: { kind: "prefix", value: "/z" } },
      requestFields: { set: [["x-set", "1"]], remove: ["user-agent"] },
      responseFields: { remove: ["server"], add: [["x-added", "2"]] },
    },
  });
  const text = await proxy.ask(
    "GET /a/b?c HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nX-Set: 0\r\nConnection: close\r\n\r\n",
  );

  assert.match(upstream.received[0] ?? "", /^GET \/z\/b\?c HTTP\/1\.1\r\nhost: inner:81\r\n/);
  assert.match(upstream.received[0] ?? "", /\r\nx-set: 1\r\n/);
  assert.doesNotMatch(upstream.received[0] ?? "", /x-set: 0|user-agent/);
  assert.match(text, /\r\nx-added: 2\r\n/);
  assert.doesNotMatch(text, /secret/);
});

test("redirects and answers of the route's own need no upstream", async (t) => {
  const proxy = await TestProxy.start(t);
  await setRule(proxy, { action: { kind: "redirect", scheme: "https", status: 301 } });
  assert.match(
    await proxy.ask(get),
    /^HTTP\/1\.1 301 Moved Permanently\r\nlocation: https:\/\/a\.example\/a\/b\?c\r\n/,
  );
  await setRule(proxy, { action: { kind: "respond", status: 418, body: "tea", fields: [["x-a", "b"]] } });
  assert.match(await proxy.ask(get), /^HTTP\/1\.1 418 [^]*\r\nx-a: b\r\n[^]*\r\n\r\ntea\n?$/);
});

test("a listener may serve what routes say of another", async (t) => {
  const proxy = await TestProxy.start(t);
  await setRule(proxy, { action: { kind: "respond", status: 200, body: "the same" } });
  const address = { host: "127.0.0.1", port: 0 };
  await proxy.set({ kind: "listener", config: { name: "other", routesOf: "l", address } });

  const answer = await fetch(`http://127.0.0.1:${proxy.engine.portOf("other")}/`, { headers: { connection: "close" } });
  assert.equal(await answer.text(), "the same\n");
});

test("claims of clients about themselves are replaced, unless the listener trusts them", async (t) => {
  const claims =
    "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Request-Id: given\r\nConnection: close, X-Forwarded-For\r\n\r\n";
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(plainResponse("x"));
  await proxy.route([upstream]);
  await proxy.ask(claims);
  assert.match(
    upstream.received[0] ?? "",
    /x-request-id: given\r\nx-forwarded-for: 127\.0\.0\.1\r\nx-forwarded-proto: http\r\n/,
  );
  assert.doesNotMatch(upstream.received[0] ?? "", /1\.1\.1\.1/);

  await proxy.set({
    kind: "listener",
    config: { name: "l", address: { host: "127.0.0.1", port: 0 }, trustsForwarded: true },
  });
  await proxy.ask(claims.replace(", X-Forwarded-For", ""));
  assert.match(upstream.received[0]?.slice(100) ?? "", /x-forwarded-for: 1\.1\.1\.1, 127\.0\.0\.1\r\n/);
  assert.match(upstream.received[0]?.slice(100) ?? "", /x-forwarded-proto: https\r\n/);
});

test("where the route says so the upstream is told in Forwarded too who asked", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(plainResponse("up"));
  await proxy.route([upstream], { rule: { saysForwarded: true } });
  await proxy.ask("GET / HTTP/1.1\r\nHost: a:8080\r\nForwarded: for=evil\r\nConnection: close\r\n\r\n");

  const said = /\r\nforwarded: (.*)\r\n/i.exec(upstream.received[0] ?? "")?.[1];
  assert.equal(said, 'for=127.0.0.1;host="a:8080";proto=http');
});

test("requests are split by weight", async (t) => {
  let at = 0;
  const proxy = await TestProxy.start(t, { engine: { random: () => (at++ % 10) / 10 } });
  const [a, b] = [await proxy.upstream(plainResponse("a")), await proxy.upstream(plainResponse("b"))];
  await proxy.set(
    { kind: "cluster", config: { name: "a", endpoints: [a.endpoint] } },
    { kind: "cluster", config: { name: "b", endpoints: [b.endpoint] } },
  );
  await setRule(proxy, {
    action: {
      kind: "forward",
      backends: [
        { cluster: "a", weight: 9 },
        { cluster: "b", weight: 1 },
      ],
    },
  });
  const answers = await Promise.all(Array.from({ length: 20 }, () => proxy.ask(get)));

  assert.equal(answers.filter((text) => text.endsWith("b")).length, 2);
});

test("ten endpoints are all reached by a hundred requests", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstreams = await Promise.all(
    Array.from({ length: 10 }, (_, index) => proxy.upstream(plainResponse(`<${index}>`))),
  );
  await proxy.route(upstreams);
  const client = await proxy.client();
  const seen = new Set<string>();
  for (let request = 0; request < 100; request++) {
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    seen.add(/<\d>/.exec(await client.until(/<\d>/))?.[0] ?? "");
    client.take();
  }

  assert.equal(seen.size, 10);
});

test("what cannot be reached is tried elsewhere, whatever the method", async (t) => {
  const proxy = await TestProxy.start(t);
  const alive = await proxy.upstream(plainResponse("alive"));
  await proxy.route([alive]);
  const dead = [await deadEndpoint(), await deadEndpoint()];
  await proxy.set({ kind: "cluster", config: { name: "c", endpoints: [...dead, alive.endpoint] } });
  for (let request = 0; request < 6; request++) assert.match(await proxy.ask(post), /^HTTP\/1\.1 200 [^]*alive$/);

  assert.match(alive.received[0] ?? "", /\r\n\r\nbody$/);
  assert.match(proxy.metrics(), /retries_total\{cluster="c",reason="connect"\} [1-9]/);
});

test("a connection that breaks before the answer is tried again only when that is safe", async (t) => {
  const proxy = await TestProxy.start(t);
  let count = 0;
  const upstream = await proxy.upstream((socket) => {
    if (++count % 2 === 1) socket.destroy();
    else socket.write(plainResponse("second"));
  });
  await proxy.route([upstream]);

  assert.match(await proxy.ask(get), /second$/);
  count = 0;
  assert.match(await proxy.ask(post), /^HTTP\/1\.1 502 /);
  count = 0;
  await proxy.route([upstream], { rule: { retry: { retriesNonIdempotent: true } } });
  assert.match(await proxy.ask(post), /second$/);
  assert.equal(proxy.entries.at(-1)?.tries, 2);
});

test("a request that two instances broke off while they had nothing else is not sent to a third", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstreams = [];
  for (let count = 0; count < 4; count++) upstreams.push(await proxy.upstream((socket) => void socket.destroy()));
  await proxy.route(upstreams, { rule: { retry: { attempts: 5 } } });

  assert.match(await proxy.ask(get), /^HTTP\/1\.1 502 [^]*instances ended twice while this was their only request/);
  assert.equal(upstreams.filter(({ received }) => received.length > 0).length, 2);
  assert.equal(proxy.entries.at(-1)?.tries, 2);
});

test("one that was not alone there is sent on, as often as its rule allows", async (t) => {
  const proxy = await TestProxy.start(t);
  const waiting: Socket[] = [];
  let deaths = 0;
  // Two at once each time, and the instance takes both with it.
  const upstream = await proxy.upstream((socket) => {
    if (deaths === 3) return void socket.write(plainResponse("alive"));
    if (waiting.push(socket) < 2) return;
    deaths++;
    for (const one of waiting.splice(0)) one.destroy();
  });
  await proxy.route([upstream], { rule: { retry: { attempts: 5 } } });

  const answers = await Promise.all([proxy.ask(get), proxy.ask(get)]);

  for (const answer of answers) assert.match(answer, /alive$/);
});

test("connections that went stale while they waited cost no request", async (t) => {
  const proxy = await TestProxy.start(t);
  let isBroken = false;
  const waiting: Socket[] = [];
  const upstream = await proxy.upstream((socket, _text, connection) => {
    if (isBroken && connection.number < 4) return void socket.destroy();
    waiting.push(socket);
    // All four at once, so that there are four connections.
    if (isBroken || waiting.length === 4) for (const one of waiting.splice(0)) one.write(plainResponse("ok"));
  });
  await proxy.route([upstream]);
  await Promise.all(Array.from({ length: 4 }, () => proxy.ask(get)));
  assert.equal(upstream.connections, 4);
  isBroken = true;

  const answers = await Promise.all(Array.from({ length: 4 }, () => proxy.ask(get)));
  assert.ok(
    answers.every((text) => text.endsWith("ok")),
    answers.join("\n"),
  );
});

test("statuses are retried where the route says so; the last one is passed on", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
  await proxy.route([upstream], { rule: { retry: { attempts: 3, on: ["status"], statuses: [503], backoffMs: 1 } } });

  assert.match(await proxy.ask(get), /^HTTP\/1\.1 503 [^]*busy$/);
  assert.equal(proxy.entries[0]?.tries, 4);
});

test("time limits: a response that does not begin, and one that does not end", async (t) => {
  const proxy = await TestProxy.start(t);
  const silent = await proxy.upstream(() => {});
  await proxy.route([silent], { rule: { timeouts: { responseStartMs: 10 } } });
  assert.match(await proxy.ask(get), /^HTTP\/1\.1 504 /);
  await until(() => silent.sockets.size === 0);

  const endless = await proxy.upstream("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin");
  await proxy.route([endless], { rule: { timeouts: { requestMs: 200 } } });
  assert.match(await proxy.ask(get), /begin$/);
  assert.equal(proxy.entries[1]?.response_flags, "UT");
  await proxy.route([endless], { rule: { timeouts: { idleMs: 200 } } });
  assert.match(await proxy.ask(get), /begin$/);
});

test("a silent upstream is left for another one where the route says so", async (t) => {
  const proxy = await TestProxy.start(t);
  let isFirst = true;
  const upstream = await proxy.upstream((socket) => {
    if (!isFirst) socket.write(plainResponse("awake"));
    isFirst = false;
  });
  await proxy.route([upstream], { rule: { timeouts: { responseStartMs: 60 }, retry: { on: ["timeout"] } } });

  assert.match(await proxy.ask(get), /awake$/);
});

test("without endpoints, without cluster, without backends: 503, 503 and 500", async (t) => {
  const proxy = await TestProxy.start(t);
  await proxy.route([]);
  assert.match(await proxy.ask(get), /^HTTP\/1\.1 503 /);
  assert.equal(proxy.entries[0]?.response_flags, "UH");
  await setRule(proxy, { action: { kind: "forward", backends: [{ cluster: "unknown" }] } });
  assert.match(await proxy.ask(get), /^HTTP\/1\.1 503 /);
  await setRule(proxy, { action: { kind: "forward", backends: [{ cluster: "c", weight: 0 }] } });
  assert.match(await proxy.ask(get), /^HTTP\/1\.1 500 /);
});

test("more requests than an endpoint may have wait for it, within bounds", async (t) => {
  const proxy = await TestProxy.start(t);
  let active = 0;
  let most = 0;
  const waiting: (() => void)[] = [];
  const upstream = await proxy.upstream((socket) => {
    most = Math.max(most, ++active);
    waiting.push(() => {
      active--;
      socket.write(plainResponse("done"));
    });
  });
  await proxy.route([upstream], { cluster: { maxRequestsPerEndpoint: 2, maxWaiting: 5 } });
  const asked = Promise.all(Array.from({ length: 10 }, () => proxy.ask(get)));
  await until(() => proxy.entries.length === 3 && waiting.length === 2);
  for (let answered = 0; answered < 7; answered++) {
    await until(() => waiting.length > 0);
    waiting.shift()?.();
  }
  const answers = await asked;

  assert.equal(most, 2);
  assert.equal(answers.filter((text) => text.endsWith("done")).length, 7);
  assert.equal(proxy.entries.filter((entry) => entry.response_flags === "UO").length, 3);
});

type Waiting = { readonly request: HeldRequest; readonly signal: AbortSignal; go(verdict: HoldVerdict): void };

function holdThatWaits(waiting: Waiting[]) {
  const admit = (request: HeldRequest, signal: AbortSignal) =>
    new Promise<HoldVerdict>((go) => waiting.push({ request, signal, go }));
  return new Map([["h", { admit }]]);
}

test("a held request waits with its body and goes to what the cluster is by then", async (t) => {
  const waiting: Waiting[] = [];
  const proxy = await TestProxy.start(t, { engine: { holds: holdThatWaits(waiting) } });
  const upstream = await proxy.upstream(plainResponse("up"));
  await proxy.route([], { hold: "h" });
  const answer = proxy.ask(post);
  await until(() => waiting.length === 1);
  assert.match(proxy.metrics(), /held_requests\{hold="h"\} 1/);
  assert.deepEqual(waiting[0]?.request, { route: "r", cluster: "c", method: "POST", authority: "a", target: "/" });
  await proxy.set({ kind: "cluster", config: { name: "c", endpoints: [upstream.endpoint] } });
  waiting[0]?.go({ kind: "go" });

  assert.match(await answer, /up$/);
  assert.match(upstream.received[0] ?? "", /\r\n\r\nbody$/);
  assert.match(proxy.metrics(), /held_requests\{hold="h"\} 0/);
});

test("where only what nobody serves is held, requests go by the hold until an endpoint is missing or does not answer", async (t) => {
  const waiting: Waiting[] = [];
  const proxy = await TestProxy.start(t, { engine: { holds: holdThatWaits(waiting) } });
  const upstream = await proxy.upstream(plainResponse("up"));
  const endpoints = async (...all: readonly { readonly address: string; readonly port: number }[]) => {
    await proxy.set({ kind: "cluster", config: { name: "c", endpoints: all } });
  };
  await proxy.route([upstream], { hold: "h", holds: "unserved" });
  assert.match(await proxy.ask(post), /up$/);
  assert.equal(waiting.length, 0);

  await endpoints();
  const early = proxy.ask(post);
  await until(() => waiting.length === 1);
  assert.equal(waiting[0]?.request.unreachable, undefined);
  await endpoints(upstream.endpoint);
  waiting[0]?.go({ kind: "go" });
  assert.match(await early, /up$/);

  const dead = await deadEndpoint();
  await endpoints(dead);
  const unreached = proxy.ask(post);
  await until(() => waiting.length === 2);
  assert.equal(waiting[1]?.request.unreachable, `${dead.address}:${dead.port}`);
  await endpoints(upstream.endpoint);
  waiting[1]?.go({ kind: "go" });
  assert.match(await unreached, /up$/);
  assert.match(upstream.received.at(-1) ?? "", /\r\n\r\nbody$/);
});

test("a hold that lets go what has nowhere to go is asked less and less often", async (t) => {
  let asked = 0;
  const admit = async (): Promise<HoldVerdict> => {
    asked++;
    return { kind: "go" };
  };
  const proxy = await TestProxy.start(t, { engine: { holds: new Map([["h", { admit }]]) } });
  const upstream = await proxy.upstream(plainResponse("up"));
  await proxy.route([], { hold: "h", holds: "unserved" });
  const answer = proxy.ask(get);
  await until(() => asked >= 3);
  await sleep(100);
  // Without pauses it would be thousands.
  assert.ok(asked <= 20, `${asked} times`);

  await proxy.set({ kind: "cluster", config: { name: "c", endpoints: [upstream.endpoint] } });
  assert.match(await answer, /up$/);
});

test("one can wait until an endpoint has no request, whether it still belongs to its cluster or not", async (t) => {
  const proxy = await TestProxy.start(t);
  const sockets: Socket[] = [];
  const upstream = await proxy.upstream((socket) => sockets.push(socket));
  const name = `127.0.0.1:${upstream.port}`;
  await proxy.route([upstream]);
  await proxy.engine.whenIdle("c", name);
  const answers = [proxy.ask(get), proxy.ask(get)];
  await until(() => sockets.length === 2);
  let isIdle = false;
  const idle = proxy.engine.whenIdle("c", name).then(() => (isIdle = true));
  await proxy.set({ kind: "cluster", config: { name: "c", endpoints: [{ ...upstream.endpoint, isDraining: true }] } });
  sockets[0]?.write(plainResponse("one"));
  await until(() => proxy.entries.length === 1);
  assert.equal(isIdle, false);

  await proxy.set({ kind: "cluster", config: { name: "c", endpoints: [] } });
  sockets[1]?.write(plainResponse("two"));
  await idle;
  assert.deepEqual(
    (await Promise.all(answers)).map((text) => text.slice(-3)),
    ["one", "two"],
  );
});

test("a hold may refuse, ends with its client, and is bounded in number and time", async (t) => {
  const waiting: Waiting[] = [];
  const proxy = await TestProxy.start(t, {
    engine: { holds: holdThatWaits(waiting), holdLimits: { requests: 2, timeoutMs: 300 } },
  });
  await proxy.route([], { hold: "h" });
  const refused = proxy.ask(get);
  await until(() => waiting.length === 1);
  waiting[0]?.go({ kind: "refuse", status: 429, message: "later", retryAfterSeconds: 3 });
  assert.match(await refused, /^HTTP\/1\.1 429 [^]*\r\nretry-after: 3\r\n/);

  const gone = await proxy.client();
  gone.send(get);
  await until(() => waiting.length === 2);
  gone.close();
  await until(() => waiting[1]?.signal.aborted === true);

  const [first, second] = [proxy.ask(get), proxy.ask(get)];
  await until(() => waiting.length === 4);
  assert.match(await proxy.ask(get), /^HTTP\/1\.1 503 /);
  assert.match(await first, /^HTTP\/1\.1 504 /);
  assert.match(await second, /^HTTP\/1\.1 504 /);
});

test("a large body of a held request waits in the client, not in us", async (t) => {
  const waiting: Waiting[] = [];
  const proxy = await TestProxy.start(t, { engine: { holds: holdThatWaits(waiting) } });
  const upstream = await proxy.upstream((socket, text) => {
    if (text.endsWith("END")) socket.write(plainResponse("got it"));
  });
  await proxy.route([upstream], { hold: "h" });
  const client = await proxy.client();
  const body = `${"x".repeat(8 << 20)}END`;
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
  client.send(body);
  await until(() => waiting.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(client.socket.writableLength > 0, "all of it was taken");
  waiting[0]?.go({ kind: "go" });

  await client.until("got it");
  assert.equal(upstream.received[0]?.length, (upstream.received[0]?.indexOf("\r\n\r\n") ?? 0) + 4 + body.length);
});

test("mirrors get a copy with its body, and their answers or failures are nobody's", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(plainResponse("real"));
  const shadow = await proxy.upstream("HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n");
  await proxy.set(
    { kind: "cluster", config: { name: "shadow", endpoints: [shadow.endpoint] } },
    { kind: "cluster", config: { name: "dead", endpoints: [await deadEndpoint()] } },
  );
  const mirrors = [
    { cluster: "shadow" },
    { cluster: "dead" },
    { cluster: "unknown" },
    { cluster: "shadow", percent: 0 },
  ];
  await proxy.route([upstream], { rule: { mirrors } });

  assert.match(await proxy.ask(post), /real$/);
  await until(() => (shadow.received[0] ?? "").endsWith("\r\n\r\nbody"));
  assert.equal(shadow.connections, 1);
});

test("routes and endpoints change under load and no request is lost", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstreams: TestUpstream[] = [];
  for (let index = 0; index < 4; index++)
    upstreams.push(await proxy.upstream((socket) => setTimeout(() => socket.write(plainResponse("fine")), index)));
  await proxy.route([upstreams[0]!]);
  let isOver = false;
  let answers = 0;
  const load = Array.from({ length: 8 }, async () => {
    const client = await proxy.client();
    while (!isOver) {
      client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      assert.match(await client.until("fine"), /^HTTP\/1\.1 200 /);
      client.take();
      answers++;
    }
  });
  for (let change = 0; change < 60; change++) {
    const rule = change % 3 === 0 ? { responseFields: { set: [["x-n", String(change)]] } as const } : {};
    await proxy.route([upstreams[change % 4]!, upstreams[(change + 1) % 4]!], { rule });
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  isOver = true;
  await Promise.all(load);

  assert.ok(answers > 60, `${answers} answers`);
  assert.ok(proxy.entries.every((entry) => entry.response_code === 200));
});

test("what cannot be taken is refused with a reason, and what was in force stays", async (t) => {
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(plainResponse("still"));
  await proxy.route([upstream]);
  const problems = await setRule(proxy, { action: { kind: "respond", status: 42 } });

  assert.deepEqual(problems, [{ kind: "route", name: "r", message: "42 is no final status" }]);
  assert.match(await proxy.ask(get), /still$/);
});

test("stopping lets requests end, says so to clients, and takes no new ones", async (t) => {
  const proxy = await TestProxy.start(t);
  const answers: (() => void)[] = [];
  const upstream = await proxy.upstream(
    (socket) => void answers.push(() => void socket.write(plainResponse("in time"))),
  );
  await proxy.route([upstream]);
  const { port } = proxy;
  const [busy, idle] = [await proxy.client(), await proxy.client()];
  idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => answers.length === 1);
  answers[0]?.();
  await idle.until("in time");
  busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => answers.length === 2);
  const stopped = proxy.engine.stop(5_000);
  await idle.until("end");
  assert.equal(busy.isEnded, false);
  answers[1]?.();

  assert.match(await busy.until("end"), /connection: close\r\n[^]*in time$/);
  busy.socket.end();
  idle.socket.end();
  await stopped;
  const late = await import("./testing/raw-client.ts")
    .then(({ RawClient }) => RawClient.open(port))
    .catch(() => "refused");
  assert.equal(late, "refused");
});

test("trace context passes untouched, and with a recorder gets a span of its own", async (t) => {
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const asked = `GET / HTTP/1.1\r\nHost: a\r\nTraceparent: 00-${traceId}-00f067aa0ba902b7-01\r\nConnection: close\r\n\r\n`;
  const proxy = await TestProxy.start(t);
  const upstream = await proxy.upstream(plainResponse("x"));
  await proxy.route([upstream]);
  await proxy.ask(asked);
  assert.match(upstream.received[0] ?? "", /traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n/);
  assert.equal(proxy.entries[0]?.trace_id, traceId);
  const spans: string[] = [];
  const recorder = {
    sampledShare: 0,
    record: (span: { trace: { spanId: string } }) => void spans.push(span.trace.spanId),
  };
  const traced = await TestProxy.start(t, { engine: { spans: recorder } });
  const second = await traced.upstream(plainResponse("x"));
  await traced.route([second]);
  await traced.ask(asked);
  assert.equal(spans.length, 1);
  assert.ok((second.received[0] ?? "").includes(`traceparent: 00-${traceId}-${spans[0]}-01\r\n`));
});

/**
 * Clients that mean harm: floods and trickles. Each is bounded, ended and counted, and a neighbour is answered meanwhile.
 */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import type { ConnectionBounds } from "./config/listener.ts";
import { beginHttp2, fieldsOfGet, frame, frameFlags, getFields, setting } from "./testing/http2-frames.ts";
import type { RawClient } from "./testing/raw-client.ts";
import { TestProxy, until } from "./testing/test-proxy.ts";
import { type Answering, plainResponse } from "./testing/upstream.ts";

const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const { endStream, endHeaders } = frameFlags;

async function start(t: TestContext, bounds: Partial<ConnectionBounds> = {}, clock?: FakeClock): Promise<TestProxy> {
  const engine = clock === undefined ? {} : { engine: { clock } };
  const proxy = await TestProxy.start(t, { listener: { bounds }, ...engine });
  // Whoever sends a body is waited for.
  const answer: Answering = (socket, text) => {
    if (text.startsWith("GET")) socket.write(plainResponse("neighbour"));
  };
  await proxy.route([await proxy.upstream(answer)]);
  return proxy;
}

async function assertNeighbourIsServed(proxy: TestProxy): Promise<void> {
  assert.match(await proxy.ask(get), /neighbour$/);
}

/** How often somebody was turned away for this reason. */
function refusals(proxy: TestProxy, reason: string): number {
  return Number(
    new RegExp(`refused_messages_total\\{listener="l",reason="${reason}"\\} (\\d+)`).exec(proxy.metrics())?.[1] ?? 0,
  );
}

/** Writes until the other side has had enough, without waiting for anything else. */
async function flood(client: RawClient, piece: (round: number) => Buffer, rounds: number): Promise<number> {
  for (let round = 0; round < rounds; round++) {
    if (client.isClosed || client.isEnded) return round;
    if (!client.socket.write(piece(round))) await new Promise((resolve) => setImmediate(resolve));
    else if (round % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return rounds;
}

describe("HTTP/2", () => {
  test("rapid resets end the connection after a burst", async (t) => {
    const proxy = await start(t);
    const client = beginHttp2(await proxy.client());
    const pair = (round: number) => {
      const stream = 2 * round + 1;
      const headers = frame("headers", { stream, flags: endStream | endHeaders, payload: getFields });
      return Buffer.concat([headers, frame("reset", { stream, payload: Buffer.from([0, 0, 0, 8]) })]);
    };
    await flood(client, pair, 20_000);
    await assertNeighbourIsServed(proxy);
    await client.until("end");
    client.close();

    await until(() => refusals(proxy, "http2") === 1);
    // The burst, and what came in the same reads of 64 KB.
    assert.ok(proxy.entries.length < 5000, `${proxy.entries.length} requests of the flood were carried`);
  });

  test("a head of endless CONTINUATION frames ends the connection", async (t) => {
    const proxy = await start(t);
    const client = beginHttp2(await proxy.client());
    client.socket.write(frame("headers", { stream: 1, payload: getFields }));
    const sent = await flood(client, () => frame("continuation", { stream: 1, payload: Buffer.alloc(8) }), 20_000);
    await assertNeighbourIsServed(proxy);
    await client.until("end");
    client.close();

    assert.ok(sent < 20_000, "all frames were taken");
    await until(() => refusals(proxy, "http2") === 1);
  });

  test("pings and settings whose answers nobody reads end the connection", async (t) => {
    for (const piece of [
      frame("ping", { payload: Buffer.alloc(8) }),
      frame("settings", { payload: setting(4, 65_535) }),
    ]) {
      const proxy = await start(t);
      const client = beginHttp2(await proxy.client());
      client.socket.pause();
      const before = process.memoryUsage().rss;
      await flood(client, () => Buffer.concat(Array.from({ length: 100 }, () => piece)), 3000);
      await assertNeighbourIsServed(proxy);
      client.socket.resume();
      await client.until("end");
      client.close();

      assert.ok(process.memoryUsage().rss - before < 100 << 20, "the answers pile up");
    }
  });

  test("answers that are never read are given up, and so is a body that never comes", async (t) => {
    const clock = new FakeClock();
    const proxy = await start(t, { writeStallMs: 1000, bodyIdleMs: 1000 }, clock);
    const action = { kind: "respond", status: 200, body: "x".repeat(1 << 20) } as const;
    await proxy.set({ kind: "route", config: { name: "large", listeners: ["l"], hosts: ["b"], rules: [{ action }] } });
    const noWindow = setting(4, 0);
    const client = beginHttp2(await proxy.client(), noWindow);
    client.socket.write(frame("headers", { stream: 1, flags: endStream | endHeaders, payload: fieldsOfGet("b") }));
    client.socket.write(frame("headers", { stream: 3, flags: endHeaders, payload: getFields }));
    await until(() => proxy.entries.length === 1 && /requests_total/.test(proxy.metrics()));
    const isReset = (stream: number) => client.text.includes(`\0\0\x04\x03\0\0\0\0${String.fromCharCode(stream)}`);
    for (let round = 0; round < 20 && !(isReset(1) && isReset(3)); round++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      await clock.advance(1000);
    }

    assert.deepEqual([isReset(1), isReset(3)], [true, true]);
    assert.equal(refusals(proxy, "timeout"), 2);
    client.close();
  });
});

describe("HTTP/1.1", () => {
  test("heads that trickle are answered 408, all of them", async (t) => {
    const clock = new FakeClock();
    const proxy = await start(t, {}, clock);
    const clients = await Promise.all(Array.from({ length: 100 }, () => proxy.client()));
    for (const client of clients) client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    for (let second = 0; second < 40 && !clients.every(({ isEnded }) => isEnded); second++) {
      for (const client of clients) if (!client.isEnded) client.send("x");
      await new Promise((resolve) => setTimeout(resolve, 2));
      await clock.advance(1000);
    }
    for (const client of clients) assert.match(await client.until("end"), /^HTTP\/1\.1 408 /);

    assert.equal(refusals(proxy, "timeout"), 100);
    await assertNeighbourIsServed(proxy);
  });

  test("bodies that trickle are answered 408, those that flow are not", async (t) => {
    const clock = new FakeClock();
    const proxy = await start(t, {}, clock);
    const open = async () => {
      const client = await proxy.client();
      client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
      return client;
    };
    const [slow, quick] = [await open(), await open()];
    for (let second = 0; second < 40 && !slow.isEnded; second++) {
      slow.send("x");
      quick.send("x".repeat(500));
      await new Promise((resolve) => setTimeout(resolve, 2));
      await clock.advance(1000);
    }

    assert.match(await slow.until("end"), /^HTTP\/1\.1 408 /);
    assert.equal(refusals(proxy, "timeout"), 1);
    assert.equal(quick.isEnded, false);
    await assertNeighbourIsServed(proxy);
  });

  test("connections beyond the bound are closed, and counted", async (t) => {
    const proxy = await start(t, { connections: 3 });
    const clients = await Promise.all([1, 2, 3].map(() => proxy.client()));
    const more = await proxy.client();
    await more.until("end");
    assert.equal(refusals(proxy, "connections"), 1);
    clients[0]?.close();

    await until(() => /connections\{listener="l"\} 2/.test(proxy.metrics()));
    await assertNeighbourIsServed(proxy);
  });
});

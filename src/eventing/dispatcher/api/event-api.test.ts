import assert from "node:assert/strict";
import { Agent, createServer, request } from "node:http";
import { test, type TestContext } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { type House, main, openHouse, openSubscriber, trigger, until } from "#eventing/dispatcher/testing/house.ts";
import type { SourceDelivery } from "#eventing/sources/adapters/source-metrics.ts";
import { EventApi } from "./event-api.ts";

const base = "/apis/events.nodeless.dev/v1/namespaces/default";

async function openApi(
  t: TestContext,
  { dispatcher }: House,
  sources: () => readonly SourceDelivery[] = () => [],
): Promise<string> {
  const api = new EventApi({ dispatcher, sources, clock: systemClock, logger: silentLogger });
  const server = createServer((request, response) => void api.serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as { readonly port: number }).port}`;
}

async function linesOf(url: string): Promise<readonly Record<string, unknown>[]> {
  const text = await (await fetch(url)).text();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("an event that is too large is refused with a word on it, and nobody else's request is harmed", async (t) => {
  const house = await openHouse(t);
  const url = await openApi(t, house);
  await house.dispatcher.apply({ topics: [main], subscriptions: [] });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const send = async (data: string) =>
    await new Promise<{ readonly status: number | undefined; readonly text: string }>((resolve, reject) => {
      const options = { method: "POST", agent, headers: { "content-type": "application/json" } };
      const outgoing = request(`${url}${base}/brokers/main/events`, options, (answer) => {
        const told = (chunks: unknown[]) =>
          resolve({ status: answer.statusCode, text: Buffer.concat(chunks as Buffer[]).toString() });
        answer.toArray().then(told, reject);
      });
      outgoing.on("error", reject);
      outgoing.end(JSON.stringify({ specversion: "1.0", type: "t", source: "/s", id: "1", data_base64: data }));
    });

  const whole = await send(Buffer.alloc(1_000_000).toString("base64"));
  const large = await send(Buffer.alloc(1_100_000).toString("base64"));
  const huge = await send(Buffer.alloc(10_000_000).toString("base64"));
  const after = await send("");

  assert.deepEqual([whole.status, large.status, huge.status, after.status], [202, 413, 413, 202]);
  assert.match(huge.text, /an event's data may have 1048576 bytes/);
});

test("events are read from a position or a moment on, and followed", async (t) => {
  const house = await openHouse(t);
  const url = await openApi(t, house);
  await house.dispatcher.apply({ topics: [main], subscriptions: [] });
  for (const id of ["1", "2", "3"]) await house.send(id, { "content-type": "application/json" }, `{"n":${id}}`);

  const all = await linesOf(`${url}${base}/brokers/main/events`);
  const later = await linesOf(`${url}${base}/brokers/main/events?from=2&limit=1`);
  const none = await linesOf(`${url}${base}/brokers/main/events?since=${new Date(Date.now() + 1000).toISOString()}`);

  assert.deepEqual(
    all.map(({ position, event }) => [position, (event as { readonly data: unknown }).data]),
    [
      [1, { n: 1 }],
      [2, { n: 2 }],
      [3, { n: 3 }],
    ],
  );
  assert.deepEqual(
    later.map(({ position }) => position),
    [2],
  );
  assert.deepEqual(none, []);
  const following = await fetch(`${url}${base}/brokers/main/events?follow=true`);
  await house.send("4");
  const reader = following.body?.getReader();
  const chunk = await reader?.read();
  assert.match(Buffer.from(chunk?.value ?? []).toString(), /"position":4/);
  await reader?.cancel();
});

test("what was given up is listed with why, and delivered again on request", async (t) => {
  const house = await openHouse(t);
  const url = await openApi(t, house);
  let isBroken = true;
  const subscriber = await openSubscriber(t, () => (isBroken ? 400 : 200));
  await house.dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url)] });
  await house.send("1");
  await house.send("2");
  await until(() => house.dispatcher.subscriptions()[0]?.lag === 0, "both given up");

  const dead = await linesOf(`${url}${base}/brokers/main/dead?subscription=t`);
  assert.deepEqual(
    dead.map(({ subscription, deadLetter, tries }) => [subscription, deadLetter, tries]),
    [
      ["t", "none", 1],
      ["t", "none", 1],
    ],
  );
  assert.deepEqual(await linesOf(`${url}${base}/brokers/main/dead?subscription=other`), []);
  isBroken = false;
  const replay = async (body: object) => {
    const response = await fetch(`${url}${base}/triggers/t/replay`, { method: "POST", body: JSON.stringify(body) });
    return { code: response.status, ...((await response.json()) as object) };
  };

  assert.deepEqual(await replay({ dead: true }), { code: 202, delivering: 2, of: 2 });
  await until(() => subscriber.got.length === 4, "both again");
  const listed = async () => await linesOf(`${url}${base}/brokers/main/dead`);
  await until(async () => (await listed()).length === 0, "nothing dead any more");
  assert.deepEqual(await replay({ dead: true }), { code: 202, delivering: 0, of: 0 });
  assert.deepEqual(await replay({ from: 2 }), { code: 202, from: 2, delivering: 1 });
  await until(() => subscriber.got.length === 5, "the second once more");
  assert.equal((await replay({})).code, 400);
  const delivery = await (await fetch(`${url}${base}/triggers/t/delivery`)).json();
  const { isHeld, delivered, failed, lag } = delivery as Record<string, unknown>;
  assert.deepEqual([isHeld, delivered, failed, lag], [false, 3, 2, 0]);
});

test("how Triggers deliver and sources send is told for a namespace", async (t) => {
  const house = await openHouse(t);
  const counts = { sent: 3, retried: 1, failed: 0, lagMs: 12 };
  const source = (namespace: string) => ({ kind: "pingsource", namespace, name: "nightly", ...counts });
  const url = await openApi(t, house, () => [source("default"), source("other")]);
  const subscriber = await openSubscriber(t);
  await house.dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url)] });
  await house.send("1");
  await until(() => subscriber.got.length === 1, "it is delivered");

  const facts = async () => {
    const response = await fetch(`${url}${base}/deliveries`);
    return ((await response.json()) as { readonly items: readonly Record<string, unknown>[] }).items;
  };
  await until(async () => (await facts())[1]?.["delivered"] === 1, "it is counted");

  assert.deepEqual((await facts())[0], { kind: "pingsource", name: "nightly", ...counts });
  const [, { kind, name, lag } = {}] = await facts();
  assert.deepEqual([kind, name, lag], ["trigger", "t", 0]);
  assert.equal((await facts()).length, 2);
});

test("an event is sent, and what is not there is not found", async (t) => {
  const house = await openHouse(t);
  const url = await openApi(t, house);
  await house.dispatcher.apply({ topics: [main], subscriptions: [] });
  // As kubectl sends whatever it sends.
  const headers = { "content-type": "application/json" };
  const post = (body: string) => fetch(`${url}${base}/brokers/main/events`, { method: "POST", headers, body });

  const sent = await post('{"specversion":"1.0","id":"1","source":"/s","type":"t"}');

  assert.equal(sent.status, 202);
  assert.deepEqual(await sent.json(), { positions: [1] });
  assert.equal((await post("{")).status, 400);
  assert.equal((await fetch(`${url}${base}/brokers/none/events`)).status, 404);
  assert.equal((await fetch(`${url}${base}/triggers/none/delivery`)).status, 404);
  assert.equal((await fetch(`${url}${base}/brokers/main/events`, { method: "DELETE" })).status, 405);
  assert.equal((await fetch(`${url}/apis/events.nodeless.dev/v1`)).status, 200);
});

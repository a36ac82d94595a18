import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { DiskError } from "#disk/disk-files.ts";
import type { EventLog, EventLogs } from "./event-log.ts";
import { main, openHouse, openSubscriber, post, trigger, until } from "./testing/house.ts";

const event = { "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/test", "ce-type": "test.event" };

test("an event that is answered 202 reaches the subscriber as it was sent", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const subscriber = await openSubscriber(t);
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url)] });

  const status = await send("a b", { "ce-colour": "gr%C3%BCn", "content-type": "text/plain" }, "hello");

  assert.equal(status, 202);
  await until(() => subscriber.got.length === 1, "the event");
  const [got] = subscriber.got;
  assert.equal(got?.event.attributes.get("id"), "a b");
  assert.equal(got?.event.attributes.get("colour"), "grün");
  assert.equal(got?.event.attributes.get("datacontenttype"), "text/plain");
  assert.equal(Buffer.from(got?.event.data ?? []).toString(), "hello");
  assert.equal(got?.event.attributes.has("knativebrokerttl"), false);
  assert.ok(!Number.isNaN(Date.parse(String(got?.event.attributes.get("knativearrivaltime")))));
  assert.equal(got?.headers["prefer"], "reply");
});

test("what is no event for a topic is refused with a word on why", async (t) => {
  const { dispatcher, url } = await openHouse(t);
  await dispatcher.apply({ topics: [main], subscriptions: [] });
  const to = `${url}/default/main`;
  const ask = async (init: RequestInit, where = to) => {
    const response = await fetch(where, init);
    return { status: response.status, text: await response.text(), allow: response.headers.get("allow") };
  };

  const wrongMethod = await ask({ method: "PUT", headers: event });
  assert.equal(wrongMethod.status, 405);
  assert.equal(wrongMethod.allow, "POST, OPTIONS");
  assert.equal((await ask({})).status, 405);
  assert.equal((await ask({ method: "POST", headers: event }, `${url}/default/other`)).status, 404);
  assert.equal((await ask({ method: "POST", headers: event }, `${url}/default/main/more`)).status, 404);
  const { "ce-type": _, ...typeless } = event;
  const missing = await ask({ method: "POST", headers: typeless });
  assert.equal(missing.status, 400);
  assert.match(missing.text, /"type" is missing/);
  const broken = { method: "POST", headers: { "content-type": "application/cloudevents+json" }, body: "{" };
  assert.equal((await ask(broken)).status, 400);
  assert.equal((await ask({ method: "POST", headers: { ...event, "ce-knativebrokerttl": "1" } })).status, 400);
  assert.equal((await ask({ method: "POST", headers: event, body: "x".repeat(2 ** 20 + 1) })).status, 413);
  assert.equal((await ask({ method: "POST", headers: event, body: "x".repeat(2 ** 20) })).status, 202);
});

test("a body that grows without end is refused before it is there", async (t) => {
  const { dispatcher, url } = await openHouse(t);
  await dispatcher.apply({ topics: [main], subscriptions: [] });
  const sending = request(`${url}/default/main`, { method: "POST", headers: event });
  const status = new Promise<number | undefined>((resolve, reject) => {
    sending.on("response", (response) => resolve(response.statusCode));
    sending.on("error", reject);
  });

  const timer = setInterval(() => sending.write(Buffer.alloc(300_000)), 1);

  assert.equal(await status, 413);
  clearInterval(timer);
  sending.destroy();
});

test("a batch is taken as its events, in order", async (t) => {
  const { dispatcher, url } = await openHouse(t);
  const subscriber = await openSubscriber(t);
  const delivery = { ...trigger("t", "").delivery, orderBy: "source" };
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url, { delivery })] });
  const events = ["1", "2", "3"].map((id) => ({ specversion: "1.0", id, source: "/s", type: "t" }));

  const headers = { "content-type": "application/cloudevents-batch+json" };
  const { status } = await fetch(`${url}/default/main`, { method: "POST", headers, body: JSON.stringify(events) });

  assert.equal(status, 202);
  await until(() => subscriber.got.length === 3, "all three");
  assert.deepEqual(subscriber.ids(), ["1", "2", "3"]);
});

test("webhooks hear that they may come", async (t) => {
  const { url } = await openHouse(t);

  const response = await fetch(`${url}/default/main`, {
    method: "OPTIONS",
    headers: { "webhook-request-origin": "x" },
  });

  assert.equal(response.status, 200);
  assert.equal(response.headers.get("webhook-allowed-origin"), "*");
});

test("channels are found by their host", async (t) => {
  const { dispatcher, url } = await openHouse(t);
  const subscriber = await openSubscriber(t);
  const host = "pipe-kn-channel.default.svc.cluster.local";
  const { path: _, ...rest } = main;
  const channel = { ...rest, kind: "Channel", name: "pipe", hosts: [host] } as const;
  await dispatcher.apply({ topics: [channel], subscriptions: [trigger("t", subscriber.url)] });

  const status = await new Promise<number | undefined>((resolve, reject) => {
    const sending = request(`${url}/any/path`, { method: "POST", headers: { ...event, host: `${host}:80` } });
    sending.on("response", (response) => resolve(response.resume().statusCode)).on("error", reject);
    sending.end();
  });

  assert.equal(status, 202);
  await until(() => subscriber.got.length === 1, "the event");
  assert.equal(subscriber.got[0]?.event.attributes.has("knativearrivaltime"), false);
});

test("whom the policy does not let in is told so, and nothing is kept", async (t) => {
  const { dispatcher, send } = await openHouse(t, {
    check: async (topic, { authorization }) =>
      authorization === "Bearer friend"
        ? { isAllowed: true }
        : { isAllowed: false, status: 403, message: `not to ${topic.name}` },
  });
  await dispatcher.apply({ topics: [main], subscriptions: [] });

  assert.equal(await send("1"), 403);
  assert.equal(await send("2", { authorization: "Bearer friend" }), 202);
  assert.equal(dispatcher.topics()[0]?.log.end, 2);
});

test("a full disk is told to the sender, and passes", async (t) => {
  let isFull = true;
  const { dispatcher, send } = await openHouse(t, {
    around: (logs) => fullWhen(logs, () => isFull),
  });
  await dispatcher.apply({ topics: [main], subscriptions: [] });

  assert.equal(await send("1"), 507);
  isFull = false;
  assert.equal(await send("1"), 202);
});

function fullWhen(logs: EventLogs, isFull: () => boolean): EventLogs {
  const around = (log: EventLog): EventLog =>
    new Proxy(log, {
      get(target, key) {
        if (key === "append" && isFull()) {
          return async () => Promise.reject(new DiskError("DiskFull", "writing", new Error("full")));
        }
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  return {
    places: logs.places,
    open: async (name, retention) => around(await logs.open(name, retention)),
    remove: (name) => logs.remove(name),
    list: () => logs.list(),
    close: () => logs.close(),
  };
}

test("an event carries on the trace of the request that brought it, in headers as in its extension", async (t) => {
  const { dispatcher, send, url } = await openHouse(t);
  const subscriber = await openSubscriber(t);
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url)] });
  const trace = "0af7651916cd43dd8448eb211c80319c";

  await send("1", { traceparent: `00-${trace}-b7ad6b7169203331-01` });
  await post(`${url}/default/main`, "2");

  await until(() => subscriber.got.length === 2, "both");
  const byId = new Map(subscriber.got.map((got) => [got.event.attributes.get("id"), got]));
  assert.match(String(byId.get("1")?.headers["traceparent"]), new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`));
  assert.equal(byId.get("1")?.event.attributes.get("traceparent"), `00-${trace}-b7ad6b7169203331-01`);
  assert.match(String(byId.get("2")?.headers["traceparent"]), /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

test("what came and went is counted under upstream's names", async (t) => {
  const { dispatcher, send, url } = await openHouse(t);
  const subscriber = await openSubscriber(t);
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url)] });
  await send("1");
  await until(() => subscriber.got.length === 1, "the event");
  await until(() => dispatcher.subscriptions()[0]?.lag === 0, "no lag");

  const text = await (await fetch(`${url}/metrics`)).text();

  const labels = 'namespace_name="default",broker_name="main"';
  const code = 'response_code="202",response_code_class="2xx"';
  assert.ok(text.includes(`event_count{${labels},event_type="test.event",${code}} 1`), text);
  assert.ok(text.includes(`event_dispatch_latencies_count{${labels},${code}} 1`), text);
  assert.match(text, /trigger_event_count\{namespace_name="default",trigger_name="t",response_code="200"[^}]*\} 1/);
  assert.match(text, /trigger_lag_events\{namespace_name="default",trigger_name="t"\} 0/);
});

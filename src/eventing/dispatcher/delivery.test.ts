import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { deadEventFromBytes } from "./dead-event.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { openEmbeddedLogs } from "./embedded-logs.ts";
import type { Places } from "./event-log.ts";
import { placeFromBytes, placeToBytes } from "./place.ts";
import { copyAsAfterKill, impatient, main, openHouse, openSubscriber, trigger, until } from "./testing/house.ts";

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
}

async function sendAll(send: (id: string) => Promise<number>, ids: readonly string[]): Promise<void> {
  const statuses = await Promise.all(ids.map((id) => send(id)));
  assert.deepEqual(new Set(statuses), new Set([202]));
}

async function deadOf(dispatcher: Dispatcher) {
  const log = await dispatcher.topics()[0]?.dead();
  const { records } = (await log?.read(1)) ?? { records: [] };
  return records.map(({ payload }) => deadEventFromBytes(payload));
}

test("each subscription gets what its filter lets through", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const [all, odd] = [await openSubscriber(t), await openSubscriber(t)];
  const filter = trigger("odd", odd.url, { filter: ({ attributes }) => Number(attributes.get("id")) % 2 === 1 });
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("all", all.url), filter] });

  await sendAll(send, numbers(1, 10));

  await until(() => all.got.length === 10 && odd.got.length === 5, "all of them");
  assert.deepEqual(odd.ids().sort(), ["1", "3", "5", "7", "9"]);
});

test("what fails for a while is tried again, what is refused for good is not", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  let failures = 0;
  const flaky = await openSubscriber(t, () => (++failures <= 3 ? [404, 429, 503][failures - 1] : 202));
  const strict = await openSubscriber(t, () => 400);
  const redirecting = await openSubscriber(t, () => 301);
  const subscriptions = Object.entries({ flaky, strict, redirecting }).map(([id, { url }]) => trigger(id, url));
  await dispatcher.apply({ topics: [main], subscriptions });

  await send("1");

  await until(() => dispatcher.subscriptions().every(({ lag }) => lag === 0), "all done");
  assert.equal(flaky.got.length, 4);
  assert.equal(strict.got.length, 1);
  assert.equal(redirecting.got.length, 1);
  const dead = await deadOf(dispatcher);
  assert.deepEqual(dead.map(({ subscription, tries }) => [subscription, tries]).sort(), [
    ["redirecting", 1],
    ["strict", 1],
  ]);
});

test("an event that nobody takes goes to the dead-letter sink, with what went wrong", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const sink = await openSubscriber(t);
  const broken = await openSubscriber(t, (_, response) => void response.writeHead(500).end("out\u0007 of order"));
  const delivery = { ...impatient, retries: 2, deadLetter: { url: sink.url } };
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", broken.url, { delivery })] });

  await send("1", { "ce-extra": "kept" }, "the data");

  await until(() => sink.got.length === 1, "the dead letter");
  assert.equal(broken.got.length, 3);
  const letter = sink.got[0]?.event;
  assert.equal(letter?.attributes.get("knativeerrordest"), broken.url);
  assert.equal(letter?.attributes.get("knativeerrorcode"), "500");
  const data = Buffer.from(String(letter?.attributes.get("knativeerrordata")), "base64").toString();
  assert.equal(data, "out\u0007 of order");
  assert.equal(letter?.attributes.get("extra"), "kept");
  assert.equal(Buffer.from(letter?.data ?? []).toString(), "the data");
  await until(async () => (await deadOf(dispatcher)).length === 1, "its record");
  const [dead] = await deadOf(dispatcher);
  assert.equal(dead?.deadLetter, "taken");
  assert.equal(dead?.tries, 3);
});

test("nobody at the address: the dead-letter sink is told 500 with the reason", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const [gone, sink] = [await openSubscriber(t), await openSubscriber(t)];
  await gone.close();
  const delivery = { ...impatient, deadLetter: { url: sink.url } };
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", gone.url, { delivery })] });

  await send("1");

  await until(async () => (await deadOf(dispatcher)).length === 1, "its record");
  const [dead] = await deadOf(dispatcher);
  assert.equal(dead?.tries, 5);
  assert.equal(dead?.error.code, 500);
  assert.match(dead?.error.data ?? "", /^dispatch error: .*ECONNREFUSED/);
  assert.equal(sink.got.length, 1);
});

test("without such a sink, who is not there is waited for, however few the tries", async (t) => {
  const { dispatcher, send, url } = await openHouse(t);
  const gone = await openSubscriber(t);
  await gone.close();
  const delivery = { ...impatient, retries: 0, backoffDelayMs: 1 };
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", gone.url, { delivery })] });
  await send("1");
  const retried = async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^trigger_retried_total\{.*\} (\d+)/m.exec(text)?.[1] ?? 0);
  };
  await until(async () => (await retried()) >= 5, "some tries");

  const back = await openSubscriber(t, () => 200, Number(new URL(gone.url).port));

  await until(() => back.got.length === 1, "the event");
  await until(() => dispatcher.subscriptions()[0]?.lag === 0, "the end");
  assert.deepEqual(await deadOf(dispatcher), []);
});

test("Retry-After is obeyed up to its bound, and not at all without one", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const busy = () =>
    openSubscriber(
      t,
      (got, response) =>
        void response.writeHead(got.event.attributes.has("x") ? 200 : 429, { "retry-after": "1" }).end(),
    );
  const [obeyed, ignored] = [await busy(), await busy()];
  const delivery = { ...impatient, retries: 1 };
  const patient = trigger("patient", obeyed.url, { delivery: { ...delivery, retryAfterMaxMs: 200 } });
  await dispatcher.apply({ topics: [main], subscriptions: [patient, trigger("other", ignored.url, { delivery })] });

  await send("1");

  await until(() => obeyed.got.length === 2 && ignored.got.length === 2, "both tries");
  const waitedMs = ({ got }: typeof obeyed) => (got[1]?.atMs ?? 0) - (got[0]?.atMs ?? 0);
  assert.ok(waitedMs(obeyed) >= 190, String(waitedMs(obeyed)));
  assert.ok(waitedMs(ignored) < 190, String(waitedMs(ignored)));
});

test("a subscriber that hangs is timed out, and slows nobody", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  let [open, mostOpen] = [0, 0];
  const hanging = await openSubscriber(t, (_, response) => {
    mostOpen = Math.max(mostOpen, ++open);
    response.on("close", () => open--);
  });
  const quick = await openSubscriber(t);
  const delivery = { ...impatient, retries: 1, timeoutMs: 300 };
  const subscriptions = [trigger("hanging", hanging.url, { delivery }), trigger("quick", quick.url)];
  await dispatcher.apply({ topics: [main], subscriptions });

  await sendAll(send, numbers(1, 300));

  await until(() => quick.got.length === 300, "those of the quick one");
  assert.ok(mostOpen <= 128, `${mostOpen} requests under way`);
  await until(async () => (await deadOf(dispatcher)).length >= 20, "the first timeouts");
  const [dead] = await deadOf(dispatcher);
  assert.match(dead?.error.data ?? "", /no answer within 300 ms/);
});

test("a subscriber that is away keeps its events waiting, and gets them when it is back", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const before = await openSubscriber(t);
  const port = Number(new URL(before.url).port);
  await before.close();
  const delivery = { ...impatient, retries: 400, backoffDelayMs: 1, backoff: "linear" as const };
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", before.url, { delivery })] });
  await sendAll(send, numbers(1, 200));
  await until(() => (dispatcher.subscriptions()[0]?.lag ?? 0) === 200, "all waiting");

  const back = await openSubscriber(t, () => 200, port);

  await until(() => new Set(back.ids()).size === 200, "all of them");
  assert.deepEqual(await deadOf(dispatcher), []);
});

test("events of one key go one after another, whatever fails; other keys do not wait", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const random = (id: string) => (Number(id) * 7919) % 5;
  const tries = new Map<string, number>();
  const subscriber = await openSubscriber(t, ({ event }, response) => {
    const id = String(event.attributes.get("id"));
    const count = (tries.get(id) ?? 0) + 1;
    tries.set(id, count);
    setTimeout(() => response.writeHead(count <= random(id) % 3 ? 503 : 200).end(), random(id));
  });
  const delivery = { ...impatient, backoffDelayMs: 1, orderBy: "subject" };
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url, { delivery })] });

  await Promise.all(
    ["a", "b", "c"].map(async (subject, index) => {
      for (const id of numbers(index * 100 + 1, index * 100 + 60)) await send(id, { "ce-subject": subject });
    }),
  );

  await until(() => dispatcher.subscriptions()[0]?.lag === 0, "all done");
  for (const subject of ["a", "b", "c"]) {
    const own = subscriber.got.filter(({ event }) => event.attributes.get("subject") === subject);
    const ids = own.map(({ event }) => Number(event.attributes.get("id")));
    assert.deepEqual(
      ids,
      [...ids].sort((a, b) => a - b),
      "no later one before an earlier one was done",
    );
    assert.equal(new Set(ids).size, 60);
  }
});

test("a reply goes back to the broker, and one that goes round is ended", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const echo = await openSubscriber(t, ({ event }, response) => {
    const headers = {
      "ce-specversion": "1.0",
      "ce-source": "/echo",
      "ce-type": "echo",
      "ce-id": `${event.attributes.get("id")}+`,
    };
    response.writeHead(200, headers).end("again");
  });
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("echo", echo.url)] });

  await send("1", { "ce-knativebrokerttl": "11" });

  await until(() => echo.got.length === 10, "ten rounds");
  await until(() => dispatcher.subscriptions()[0]?.lag === 0, "the end");
  assert.equal(echo.got.length, 10);
  assert.equal(echo.ids().at(-1), `1${"+".repeat(9)}`);
  const traces = new Set(echo.got.map(({ headers }) => String(headers["traceparent"]).slice(0, 36)));
  assert.equal(traces.size, 1, "all of one trace");
});

test("a reply goes to its own address, and to nobody when there is none", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const headers = { "ce-specversion": "1.0", "ce-source": "/s", "ce-type": "reply", "ce-id": "r" };
  const answering = await openSubscriber(t, (_, response) => void response.writeHead(200, headers).end());
  const taker = await openSubscriber(t);
  const { reply: _, ...mute } = trigger("mute", answering.url);
  const subscriptions = [mute, trigger("to", answering.url, { reply: { url: taker.url } })];
  await dispatcher.apply({ topics: [main], subscriptions });

  await send("1");

  await until(() => taker.got.length === 1, "the reply");
  await until(() => dispatcher.subscriptions().every(({ lag }) => lag === 0), "all done");
  assert.equal(answering.got.length, 2);
  assert.deepEqual(taker.ids(), ["r"]);
});

test("an answer that is a broken event is no reason to do it again", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const garbling = await openSubscriber(
    t,
    (_, response) => void response.writeHead(200, { "ce-specversion": "1.0" }).end("?"),
  );
  const chatting = await openSubscriber(t, (_, response) => void response.writeHead(200).end("thank you"));
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("g", garbling.url), trigger("c", chatting.url)] });

  await send("1");

  await until(() => dispatcher.subscriptions().every(({ lag }) => lag === 0), "all done");
  assert.equal(garbling.got.length, 1);
  assert.equal(chatting.got.length, 1);
  const dead = await deadOf(dispatcher);
  assert.deepEqual(
    dead.map(({ subscription, error }) => [subscription, error.code]),
    [["g", 502]],
  );
});

test("after a kill nothing is lost, and what was done before the last writing of places does not come twice", async (t) => {
  let places: Places | undefined;
  const first = await openHouse(t, { around: (logs) => ((places = logs.places), logs) });
  let answered = 0;
  const before = await openSubscriber(t, () => (++answered <= 150 ? 200 : undefined));
  await first.dispatcher.apply({ topics: [main], subscriptions: [trigger("t", before.url)] });
  await sendAll(first.send, numbers(1, 300));
  await until(() => answered === 150 + 128, "as many under way as may be");
  await until(() => placeFromBytes(places?.get("t") ?? new Uint8Array()).open.length === 128, "its place");
  await places?.flush();
  const folder = copyAsAfterKill(t, first.folder);
  const taken = new Set(before.ids().slice(0, 150));
  await first.stop();

  const second = await openHouse(t, { folder });
  const after = await openSubscriber(t);
  await second.dispatcher.apply({ topics: [main], subscriptions: [trigger("t", after.url)] });

  await until(() => second.dispatcher.subscriptions()[0]?.lag === 0, "the rest");
  assert.equal(new Set([...taken, ...after.ids()]).size, 300);
  const twice = after.ids().filter((id) => taken.has(id));
  assert.deepEqual(twice, []);
});

test("order of keys is kept over a restart", async (t) => {
  const first = await openHouse(t);
  const stuck = await openSubscriber(t, () => undefined);
  const delivery = { ...impatient, orderBy: "subject" };
  await first.dispatcher.apply({ topics: [main], subscriptions: [trigger("t", stuck.url, { delivery })] });
  for (const id of numbers(1, 40)) await first.send(id, { "ce-subject": Number(id) % 2 === 0 ? "even" : "odd" });
  await until(() => stuck.got.length === 2, "one of each key under way");
  await first.stop();

  const second = await openHouse(t, { folder: first.folder });
  const after = await openSubscriber(t);
  await second.dispatcher.apply({ topics: [main], subscriptions: [trigger("t", after.url, { delivery })] });

  await until(() => second.dispatcher.subscriptions()[0]?.lag === 0, "all");
  for (const rest of [0, 1]) {
    const ids = after
      .ids()
      .map(Number)
      .filter((id) => id % 2 === rest);
    assert.deepEqual(
      ids,
      numbers(1, 40)
        .map(Number)
        .filter((id) => id % 2 === rest),
    );
  }
});

test("what comes after a restart does not overtake what was under way before", async (t) => {
  const first = await openHouse(t);
  await first.dispatcher.apply({ topics: [main], subscriptions: [] });
  // Large ones: they are read one by one, so that the first are done before the last of those under way are again.
  for (const id of numbers(1, 70)) await first.send(id, { "ce-subject": `key-${Number(id) % 7}` }, "x".repeat(100_000));
  await first.stop();
  const logs = await openEmbeddedLogs({ folder: first.folder, clock: systemClock, logger: silentLogger });
  logs.places.set("t", placeToBytes({ next: 36, open: numbers(1, 35).map(Number) }));
  await logs.close();
  const delivery = { ...impatient, orderBy: "subject" };

  const second = await openHouse(t, { folder: first.folder });
  const after = await openSubscriber(t);
  await second.dispatcher.apply({ topics: [main], subscriptions: [trigger("t", after.url, { delivery })] });

  await until(() => second.dispatcher.subscriptions()[0]?.lag === 0, "all");
  for (let rest = 0; rest < 7; rest++) {
    const ids = after
      .ids()
      .map(Number)
      .filter((id) => id % 7 === rest);
    assert.deepEqual(
      ids,
      [...ids].sort((a, b) => a - b),
    );
    assert.equal(ids.length, 10);
  }
});

test("a topology that is replaced ends what is gone and leaves alone what stays", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const [stays, goes, comes] = [await openSubscriber(t), await openSubscriber(t), await openSubscriber(t)];
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("stays", stays.url), trigger("goes", goes.url)] });
  await sendAll(send, ["1"]);
  await until(() => stays.got.length === 1 && goes.got.length === 1, "the first");

  await dispatcher.apply({ topics: [main], subscriptions: [trigger("stays", stays.url), trigger("comes", comes.url)] });
  await sendAll(send, ["2"]);

  await until(() => stays.got.length === 2 && comes.got.length === 1, "the second");
  assert.deepEqual([stays.ids(), goes.ids(), comes.ids()], [["1", "2"], ["1"], ["2"]]);
  await dispatcher.apply({ topics: [], subscriptions: [] });
  assert.equal(await send("3"), 404);
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("stays", stays.url)] });
  assert.equal(dispatcher.topics()[0]?.log.end, 1, "what it had was gone with it");
});

test("a new subscription begins with what came since it was asked for", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  await dispatcher.apply({ topics: [main], subscriptions: [] });
  await sendAll(send, ["1", "2"]);
  await new Promise((resolve) => setTimeout(resolve, 5));
  const since = Date.now();
  await sendAll(send, ["3", "4"]);
  const subscriber = await openSubscriber(t);

  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url, { since })] });

  await until(() => subscriber.got.length === 2, "both");
  assert.deepEqual(subscriber.ids().sort(), ["3", "4"]);
});

test("events are delivered again from a position, and dead ones when they are asked for", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  let isBroken = true;
  const subscriber = await openSubscriber(t, ({ event }) =>
    isBroken && event.attributes.get("id") === "3" ? 400 : 200,
  );
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url)] });
  await sendAll(send, numbers(1, 5));
  const [runner] = dispatcher.subscriptions();
  await until(() => runner?.lag === 0, "all done");

  runner?.rewind(4);
  await until(() => subscriber.got.length === 7, "4 and 5 again");
  isBroken = false;
  const dead = await deadOf(dispatcher);
  assert.equal(await runner?.redeliver(dead.map(({ position }) => position)), 1);

  await until(() => subscriber.got.length === 8, "the dead one");
  assert.deepEqual(subscriber.ids().slice(5, 7).sort(), ["4", "5"]);
  assert.equal(subscriber.ids()[7], "3");
});

test("what is too old or too much is dropped and counted, and the rest goes on", async (t) => {
  const { dispatcher, send } = await openHouse(t);
  const subscriber = await openSubscriber(t, () => undefined);
  const small = { ...main, retention: { maxAgeMs: 86_400_000, maxBytes: 200_000 } };
  await dispatcher.apply({ topics: [small], subscriptions: [trigger("t", subscriber.url)] });
  for (const id of numbers(1, 20)) await send(id, {}, "x".repeat(30_000));
  const [topic] = dispatcher.topics();

  const gone = await topic?.retain();

  assert.ok(gone !== undefined && gone > 5);
  assert.ok((topic?.log.bytes ?? 0) <= 300_000);
  const taken = await openSubscriber(t);
  await dispatcher.apply({ topics: [small], subscriptions: [trigger("late", taken.url, { since: 0 })] });
  await until(() => taken.got.length === 20 - gone, "what is left");
});

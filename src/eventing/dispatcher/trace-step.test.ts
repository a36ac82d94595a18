import assert from "node:assert/strict";
import { test } from "node:test";
import type { FinishedSpan } from "#component-base/otlp/spans.ts";
import { main, openHouse, openSubscriber, trigger, until } from "./testing/house.ts";

const [traceId, root] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];

test("one trace goes through an event, the reply to it, and what that causes, each step below the one that caused it", async (t) => {
  const spans: FinishedSpan[] = [];
  const sink = { record: (span: FinishedSpan) => void spans.push(span), sampledShare: 1 };
  const { dispatcher, send } = await openHouse(t, { spans: sink });
  const first = await openSubscriber(t, ({ headers }, response) => {
    // As those answer who send back what they got.
    const echo = { "ce-specversion": "1.0", "ce-source": "/first", "ce-type": "second", "ce-id": "r" };
    const trace = headers["ce-traceparent"];
    response.writeHead(200, { ...echo, ...(typeof trace === "string" && { "ce-traceparent": trace }) }).end("x");
  });
  let tries = 0;
  const second = await openSubscriber(t, () => (++tries === 1 ? 503 : 200));
  const only = (type: string) => ({
    filter: (event: { attributes: ReadonlyMap<string, unknown> }) => event.attributes.get("type") === type,
  });
  await dispatcher.apply({
    topics: [main],
    subscriptions: [
      { ...trigger("first", first.url), ...only("test.event") },
      { ...trigger("second", second.url), ...only("second") },
    ],
  });

  await send("1", { traceparent: `00-${traceId}-${root}-01`, tracestate: "a=b" });
  await until(() => tries === 2, "the second one has it");
  await until(() => spans.length === 4, "all are told of");

  const of = (name: string) => spans.filter((span) => span.name === name);
  const [arrival] = of("broker:main.default");
  const [delivery] = of("trigger:first.default");
  const [failed, taken] = of("trigger:second.default");
  assert.equal(arrival?.parentId, root);
  assert.equal(delivery?.parentId, arrival?.spanId);
  assert.deepEqual([failed?.parentId, taken?.parentId], [delivery?.spanId, delivery?.spanId]);
  assert.deepEqual(new Set(spans.map((span) => span.traceId)), new Set([traceId]));
  assert.deepEqual([failed?.attributes["http.response.status_code"], taken?.error], [503, undefined]);
  assert.equal(first.got[0]?.headers["traceparent"], `00-${traceId}-${delivery?.spanId}-01`);
  assert.equal(second.got[1]?.headers["traceparent"], `00-${traceId}-${taken?.spanId}-01`);
  assert.equal(second.got[1]?.headers["tracestate"], "a=b");
});

test("what is not sampled is passed on, and not told of", async (t) => {
  const spans: FinishedSpan[] = [];
  const sink = { record: (span: FinishedSpan) => void spans.push(span), sampledShare: 0 };
  const { dispatcher, send } = await openHouse(t, { spans: sink });
  const subscriber = await openSubscriber(t);
  await dispatcher.apply({ topics: [main], subscriptions: [trigger("t", subscriber.url)] });

  await send("1", { traceparent: `00-${traceId}-${root}-00` });
  await send("2");
  await send("3", { "ce-traceparent": `00-${traceId}-${root}-01` });
  await until(() => subscriber.got.length === 3, "all");
  await until(() => spans.length === 2, "the one that is sampled");

  const flags = new Map(
    subscriber.got.map(({ event, headers }) => [event.attributes.get("id"), headers["traceparent"]]),
  );
  assert.match(String(flags.get("1")), new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
  assert.match(String(flags.get("2")), /-00$/);
  const [arrival, delivery] = spans.toSorted((a) => (a.kind === "server" ? -1 : 1));
  // An event's own word is kept as it is: both steps are below it.
  assert.deepEqual([arrival?.parentId, delivery?.parentId], [root, root]);
});

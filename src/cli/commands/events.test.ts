import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#apimachinery/status-error.ts";
import type { CommandContext } from "#cli/command.ts";
import { runCommandLine } from "#cli/command-line.ts";
import { eventCommands } from "./events.ts";

const lines = [
  {
    position: 1,
    time: "2026-01-01T10:00:00Z",
    event: { id: "a", type: "order.created", source: "/shop", subject: "17", data: { id: 17 } },
  },
  {
    position: 2,
    time: "2026-01-01T10:00:01Z",
    event: { id: "b", type: "order.paid", source: "/shop", data: "two\u001b[2J\nlines" },
  },
  {
    position: 3,
    time: "2026-01-01T10:00:02Z",
    event: { id: "c", type: "order.created", source: "/shop", data_base64: "AAEC" },
  },
];
const given = {
  ...lines[1],
  subscription: "billing",
  tries: 3,
  deadLetter: "none",
  error: { code: 500, data: "broken\nvery" },
};

const objects = "/apis/eventing.knative.dev/v1/namespaces/default";

/** What the cluster has: Brokers "orders" and "main", and a Trigger of the first. */
function objectAt(path: string): object | undefined {
  if (path === `${objects}/brokers`)
    return { metadata: {}, items: ["orders", "main"].map((name) => ({ metadata: { name } })) };
  if (path === `${objects}/triggers/billing`) return { metadata: { name: "billing" }, spec: { broker: "orders" } };
  if (!path.startsWith(objects) && !path.includes("/nosuch/")) return undefined;
  throw new StatusError({ reason: "NotFound", code: 404, message: "there is no such thing" });
}

/** Runs a command line; `asked` is what was asked of the cluster. */
async function run(line: readonly string[], stream: readonly object[] = lines, delivering: number = 2) {
  const [said, asked]: [string[], unknown[]] = [[], []];
  const transport = {
    async request({ method, path, body }: { readonly method: string; readonly path: string; readonly body?: unknown }) {
      const object = objectAt(path);
      if (object !== undefined) return { status: 200, body: object };
      asked.push(`${method} ${path}`, body);
      return { status: 202, body: { positions: [7], delivering, items: stream } };
    },
    close: async () => {},
  };
  const context = {
    terminal: { print: (text: string) => void said.push(text), warn: (text: string) => void said.push(text) },
    machine: {
      connect: async () => transport,
      async readStream(_: string, path: string) {
        objectAt(path);
        asked.push(path);
        const text = stream.map((one) => `${JSON.stringify(one)}\n`).join("\n");
        // Cut in the middle of lines, as networks do.
        const parts = Math.ceil(text.length / 50);
        return Array.from({ length: parts }, (_part, at) => Buffer.from(text.slice(at * 50, at * 50 + 50)));
      },
    },
    isDebugging: false,
  } as unknown as CommandContext;
  const code = await runCommandLine(eventCommands, line, context);
  return { code, said, asked };
}

const api = "/apis/events.nodeless.dev/v1/namespaces/default";

test("an event is sent with what was said of it, its data as JSON, text or bytes", async () => {
  const sent = async (...flags: string[]) =>
    (await run(["event", "send", "order.created", "--id", "1", ...flags])).asked[1] as Record<string, unknown>;

  const event = await sent("--data", '{"a":1}', "--subject", "s", "--source", "/me", "-a", "region=eu=west");
  assert.deepEqual(
    { ...event, time: "" },
    {
      specversion: "1.0",
      id: "1",
      source: "/me",
      type: "order.created",
      time: "",
      subject: "s",
      region: "eu=west",
      datacontenttype: "application/json",
      data: { a: 1 },
    },
  );
  const text = await sent("--data", "hello there");
  assert.deepEqual([text["datacontenttype"], text["data"]], ["text/plain; charset=utf-8", "hello there"]);
  assert.equal((await sent("--data", "5", "--content-type", "text/plain"))["data"], "5");
  assert.equal((await sent())["data"], undefined);

  const { code, said, asked } = await run(["event", "send", "x", "--broker", "other"]);
  assert.deepEqual([code, asked[0]], [0, `POST ${api}/brokers/other/events`]);
  assert.match(said.join(), /^Sent [-0-9a-f]{36} as #7$/);
  assert.equal((await run(["event", "send", "x", "--channel", "c"])).asked[0], `POST ${api}/inmemorychannels/c/events`);
});

test("what cannot be an event is told before anything is sent", async () => {
  for (const flags of [
    ["--data", "{", "--content-type", "application/json"],
    ["-a", "Region=eu"],
    ["-a", "specversion=0.3"],
    ["--data", "@/nowhere"],
  ]) {
    const { code, asked } = await run(["event", "send", "x", ...flags]);
    assert.notEqual(code, 0, flags.join(" "));
    assert.deepEqual(asked, []);
  }
});

test("events are followed until told otherwise, from a place that is asked for", async () => {
  const asked = async (...flags: string[]) => (await run(["event", "tail", ...flags])).asked[0];

  assert.equal(await asked(), `${api}/brokers/default/events?follow=true`);
  assert.equal(await asked("--no-follow", "--from", "#5"), `${api}/brokers/default/events?from=5`);
  assert.equal(
    await asked("--no-follow", "--since", "2026-01-01T10:00:00Z"),
    `${api}/brokers/default/events?since=2026-01-01T10%3A00%3A00.000Z`,
  );
  const ago = new URL(`http://x${await asked("--since", "1h30m")}`).searchParams.get("since") ?? "";
  assert(Math.abs(Date.now() - 5_400_000 - Date.parse(ago)) < 60_000, ago);
  assert.equal((await run(["event", "tail", "--since", "yesterday"])).code, 2);
  assert.equal((await run(["event", "tail", "--since", "1h", "--from", "1"])).code, 2);
});

test("an event is shown on one line, without what would command a terminal", async () => {
  const { said } = await run(["event", "tail", "--no-follow"]);

  assert.deepEqual(said, [
    '2026-01-01T10:00:00Z  #1  order.created  17  /shop  {"id":17}',
    "2026-01-01T10:00:01Z  #2  order.paid  /shop  two [2J lines",
    "2026-01-01T10:00:02Z  #3  order.created  /shop  (3 bytes)",
  ]);
  assert.equal((await run(["event", "tail", "--type", "order.created"])).said.length, 2);
  assert.deepEqual((await run(["event", "tail", "--limit", "1", "-o", "json"])).said, [JSON.stringify(lines[0])]);
});

test("events that were given up are listed with what went wrong", async () => {
  const { said, asked } = await run(["event", "dead", "billing"], [given]);

  assert.deepEqual(asked, [`${api}/brokers/orders/dead?subscription=billing`]);
  assert.deepEqual(
    said.map((line) => line.split(/\s{2,}/)),
    [
      ["POSITION", "TIME", "TRIGGER", "TYPE", "ID", "TRIES", "DEAD-LETTER", "ERROR"],
      ["#2", "2026-01-01T10:00:01Z", "billing", "order.paid", "b", "3", "none", "500 broken"],
    ],
  );
  const all = await run(["event", "dead"], []);
  assert.deepEqual(all.asked, [`${api}/brokers/main/dead?`, `${api}/brokers/orders/dead?`]);
  assert.deepEqual(all.said, ["No events were given up"]);
  const gone = await run(["event", "dead"], [{ ...given, subscription: "906952c3-8d53-415d-8fd3-2278f6fefbd7" }]);
  assert.match(gone.said[1] ?? "", / {2}\(deleted\) {2}/);
  assert.equal((await run(["event", "dead", "--limit", "1"], [given, given])).said.length, 2);
  assert.deepEqual((await run(["event", "dead", "-b", "a b"], [])).asked, [`${api}/brokers/a%20b/dead?`]);
});

test("who names what is not there is told what is", async () => {
  for (const line of [
    ["event", "send", "x", "-b", "nosuch"],
    ["event", "tail", "-b", "nosuch"],
  ]) {
    const { code, said } = await run(line);
    assert.equal(code, 1, line.join(" "));
    assert.match(said.join(), /there is no such thing; namespace default has --broker main, --broker orders/);
  }
  assert.equal((await run(["event", "dead", "unknown"])).code, 1);
});

test("events are delivered again from a place on, or those that were given up", async () => {
  const body = async (...flags: string[]) => (await run(["event", "replay", "billing", ...flags])).asked;

  assert.deepEqual(await body("--from", "5"), [`POST ${api}/triggers/billing/replay`, { from: 5 }]);
  assert.deepEqual((await body("--dead"))[1], { dead: true });
  assert.deepEqual((await body("--dead", "--position", "3", "--position", "#4"))[1], { dead: true, positions: [3, 4] });
  assert.deepEqual(
    (await body("--subscription", "--since", "2026-01-01T10:00:00Z"))[0],
    `POST ${api}/subscriptions/billing/replay`,
  );
  assert.deepEqual(await body(), []);
  assert.deepEqual((await run(["event", "replay", "billing", "--dead"])).said, ["Delivering 2 events again"]);
  assert.deepEqual((await run(["event", "replay", "billing", "--dead"], [], 0)).said, [
    "Nothing to deliver again: no event was given up",
  ]);
  for (const contradiction of [
    ["--dead", "--since", "2h"],
    ["--position", "3"],
    ["--position", "3", "--from", "1"],
  ])
    assert.deepEqual((await run(["event", "replay", "billing", ...contradiction])).code, 2, contradiction.join(" "));
  assert.equal((await run(["event", "tail", "-o", "yaml"])).code, 2);
});

test("how sources send and Triggers deliver is shown in a table", async () => {
  const failure = { status: 403, why: "no JWT\u001b[2J token\nat all", time: "2026-01-01T10:00:00Z" };
  const { said, asked } = await run(
    ["event", "status", "-n", "default"],
    [
      { kind: "pingsource", name: "nightly", sent: 3, retried: 7, failed: 1, lagMs: 1250.4, lastFailure: failure },
      { kind: "trigger", name: "billing", delivered: 12, retried: 0, failed: 2, lag: 4, isHeld: true },
    ],
  );

  assert.equal(asked[0], `GET ${api}/deliveries`);
  assert.deepEqual(
    said.map((line) => line.trimEnd().split(/\s{2,}/)),
    [
      ["NAME", "SENT", "RETRIED", "FAILED", "WAITING", "LAG", "TROUBLE"],
      ["pingsource/nightly", "3", "7", "1", "0", "1.25s", "403 no JWT [2J token"],
      ["trigger/billing", "12", "0", "2", "4", "nobody to deliver to"],
    ],
  );
  assert.deepEqual((await run(["event", "status"], [])).said, ["Nothing sends or delivers events here"]);
});

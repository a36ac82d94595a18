/**
 * The promises of event-log.ts as tests. Every implementation calls this with a way to open its logs, twice on the same data.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { EventLog, EventLogs } from "./event-log.ts";

/** How the logs of an implementation are opened. What one opened another finds again, after the first was closed. */
export type LogsFactory = (t: TestContext) => Promise<{ readonly open: () => Promise<EventLogs> }>;

const retention = { maxAgeMs: 86_400_000, maxBytes: 2 ** 30 };

function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

async function readAll(log: EventLog, from = 1): Promise<string[]> {
  const found: string[] = [];
  for (let next = from; next < log.end; ) {
    const part = await log.read(next);
    found.push(...part.records.map(({ payload }) => Buffer.from(payload).toString()));
    assert.ok(part.next > next, "a read brings something, or passes something over");
    next = part.next;
  }
  return found;
}

/** Declares the suite's tests. */
export function eventLogSuite(name: string, make: LogsFactory): void {
  const opened = async (t: TestContext) => {
    const logs = await (await make(t)).open();
    t.after(() => logs.close());
    return logs;
  };

  test(`${name}: positions count from 1, and are read from anywhere`, async (t) => {
    const log = await (await opened(t)).open("a", retention);
    assert.deepEqual([log.first, log.end], [1, 1]);
    assert.deepEqual((await log.read(1)).records, []);

    const texts = Array.from({ length: 50 }, (_, index) => `record ${index + 1}`);
    const positions = await Promise.all(texts.map((text) => log.append(bytes(text))));

    assert.deepEqual(
      positions,
      texts.map((_, index) => index + 1),
    );
    assert.deepEqual([log.first, log.end], [1, 51]);
    assert.ok(log.bytes >= texts.join("").length);
    assert.deepEqual(await readAll(log), texts);
    assert.deepEqual(await readAll(log, 33), texts.slice(32));
    const { records } = await log.read(7);
    assert.equal(records[0]?.position, 7);
    assert.ok(Math.abs((records[0]?.timeMs ?? 0) - Date.now()) < 60_000);
  });

  test(`${name}: those who follow hear of what is appended`, async (t) => {
    const log = await (await opened(t)).open("a", retention);
    let end = 0;
    const stop = log.onAppended(() => (end = log.end));

    await log.append(bytes("x"));
    await log.append(bytes("y"));

    assert.equal(end, 3);
    stop();
    await log.append(bytes("z"));
    assert.equal(end, 3);
  });

  test(`${name}: records and places are there for the next process`, async (t) => {
    const { open } = await make(t);
    const first = await open();
    const log = await first.open("a", retention);
    await log.append(bytes("one"));
    await log.append(new Uint8Array(0));
    first.places.set("s", bytes("place"));
    first.places.set("gone", bytes("x"));
    first.places.delete("gone");
    await first.places.flush({ isDurable: true });
    await first.close();

    const second = await open();
    t.after(() => second.close());

    assert.deepEqual(await second.list(), ["a"]);
    const again = await second.open("a", retention);
    assert.equal(again.end, 3);
    assert.deepEqual(await readAll(again), ["one", ""]);
    assert.equal(await again.append(bytes("three")), 3);
    assert.deepEqual(second.places.keys(), ["s"]);
    assert.equal(Buffer.from(second.places.get("s") ?? []).toString(), "place");
  });

  test(`${name}: logs do not know of each other, and one that is removed begins anew`, async (t) => {
    const logs = await opened(t);
    const [a, b] = [await logs.open("a", retention), await logs.open("b.dead", retention)];
    await a.append(bytes("in a"));
    await b.append(bytes("in b"));
    assert.equal(await logs.open("a", retention), a);
    assert.deepEqual([...(await logs.list())].sort(), ["a", "b.dead"]);

    await logs.remove("a");
    await logs.remove("never-was");

    assert.deepEqual(await logs.list(), ["b.dead"]);
    assert.equal((await logs.open("a", retention)).end, 1);
    assert.deepEqual(await readAll(b), ["in b"]);
  });

  test(`${name}: a moment leads to the first record that is not older`, async (t) => {
    const log = await (await opened(t)).open("a", retention);
    await log.append(bytes("before"));
    await new Promise((resolve) => setTimeout(resolve, 15));
    const moment = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 15));
    await log.append(bytes("after"));

    assert.equal(await log.positionAt(0), 1);
    assert.equal(await log.positionAt(moment), 2);
    assert.equal(await log.positionAt(moment + 60_000), 3);
  });

  test(`${name}: more than is to be kept goes, oldest first, and what stays keeps its positions`, async (t) => {
    const small = { maxAgeMs: 86_400_000, maxBytes: 200_000 };
    const log = await (await opened(t)).open("a", small);
    for (let number = 1; number <= 40; number++) await log.append(bytes(`${number} ${"x".repeat(20_000)}`));

    const gone = await log.retain(small);

    assert.ok(gone > 20, String(gone));
    assert.equal(log.first, gone + 1);
    const { records } = await log.read(1);
    assert.equal(records[0]?.position, gone + 1);
    assert.equal(Number.parseInt(Buffer.from(records[0]?.payload ?? []).toString(), 10), gone + 1);
    assert.equal((await readAll(log)).length, 40 - gone);
  });
}

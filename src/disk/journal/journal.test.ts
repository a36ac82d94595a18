import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock, systemClock } from "#component-base/clock.ts";
import { type DiskError, openDiskFolder } from "#disk/disk-files.ts";
import { MemoryDisk } from "#disk/testing/memory-disk.ts";
import { Journal, RecordTooLarge } from "./journal.ts";
import type { Damage } from "./segment.ts";

function openOn(folder: MemoryDisk, options: Partial<Parameters<typeof Journal.open>[0]> = {}): Promise<Journal> {
  return Journal.open({ folder, clock: new FakeClock(), ...options });
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

async function readAll(journal: Journal, from = 1): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (let position = from; ; ) {
    const { records, next } = await journal.read(position, { maxBytes: 2000 });
    for (const record of records) found.set(record.position, Buffer.from(record.payload).toString());
    if (records.length === 0) return found;
    position = next;
  }
}

/** 1 → "event 1 xxx…". */
function payloadOf(number: number): string {
  return `event ${number} ${"x".repeat((number * 37) % 300)}`;
}

async function fill(journal: Journal, count: number, batch = 1): Promise<void> {
  for (let number = journal.end; number <= count; number += batch) {
    const numbers = Array.from({ length: batch }, (_, index) => number + index);
    await Promise.all(numbers.map((one) => journal.append(bytes(payloadOf(one)))));
  }
}

/** Whatever `random` says, always the same. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test("what was appended is read from any position, also by the next process", async () => {
  const disk = new MemoryDisk();
  const journal = await openOn(disk, { segmentBytes: 3000 });

  await fill(journal, 200);

  assert.equal(journal.end, 201);
  for (const reader of [journal, await openOn(disk.afterKill(), { segmentBytes: 3000 })]) {
    for (const from of [1, 2, 77, 200, 201]) {
      const found = await readAll(reader, from);
      assert.equal(found.size, 201 - from);
      for (const [position, text] of found) assert.equal(text, payloadOf(position));
    }
  }
});

test("those who append at the same time share a sync, and nobody is answered before it", async () => {
  const disk = new MemoryDisk();
  const journal = await openOn(disk);
  let answered = 0;
  const before = disk.syncs;
  const gate = Promise.withResolvers<void>();
  disk.beforeSync = () => gate.promise;

  const appends = Array.from({ length: 64 }, (_, index) => journal.append(bytes(payloadOf(index + 1))));
  for (const append of appends) void append.then(() => answered++);
  await new Promise((resolve) => setImmediate(resolve));

  assert.equal(answered, 0);
  assert.equal((await journal.read(1)).records.length, 0);
  gate.resolve();
  assert.deepEqual(
    await Promise.all(appends),
    appends.map((_, index) => index + 1),
  );
  assert.equal(disk.syncs - before, 1);
});

test("cut off at every byte of the last record, a journal has all others and goes on", async () => {
  const disk = new MemoryDisk();
  await fill(await openOn(disk), 5);
  const [file] = [...disk.names.values()];
  const whole = file?.content ?? Buffer.alloc(0);
  const lastBytes = 24 + payloadOf(5).length;

  for (let cut = 1; cut <= lastBytes; cut++) {
    const copy = disk.afterKill();
    for (const one of copy.names.values()) one.content = Buffer.from(whole.subarray(0, whole.length - cut));
    const journal = await openOn(copy, { onDamage: () => assert.fail("a torn end is no damage") });
    assert.equal(journal.end, 5);
    assert.equal(await journal.append(bytes("again")), 5);
    const found = await readAll(await openOn(copy));
    assert.deepEqual([...found.values()], [payloadOf(1), payloadOf(2), payloadOf(3), payloadOf(4), "again"]);
  }
});

test("a power cut at any moment loses nothing that was acknowledged", async () => {
  const disk = new MemoryDisk();
  const acknowledged: { readonly at: number; readonly position: number; readonly text: string }[] = [];
  const journal = await openOn(disk, { segmentBytes: 4000 });
  const random = seeded(7);
  for (let number = 1; number <= 60; ) {
    const burst = 1 + Math.floor(random() * 5);
    const appends = Array.from({ length: burst }, async (_, index) => {
      const text = payloadOf(number + index).repeat(1 + Math.floor(random() * 4));
      const position = await journal.append(bytes(text));
      acknowledged.push({ at: disk.events.length, position, text });
    });
    await Promise.all(appends);
    number += burst;
  }

  for (let moment = 0; moment <= disk.events.length; moment++) {
    for (const share of [0, 0.5, 0.95, 1]) {
      const after = await openOn(disk.afterPowerCut(moment, () => random() < share));
      const found = await readAll(after);
      for (const { at, position, text } of acknowledged) {
        if (at <= moment) assert.equal(found.get(position), text, `${position} at moment ${moment}`);
      }
      await after.append(bytes("goes on"));
    }
  }
});

test("a thousand random damages: what they did not touch is read, what they did is named", async () => {
  const disk = new MemoryDisk();
  await fill(await openOn(disk, { segmentBytes: 6000 }), 90, 3);
  const random = seeded(11);
  const names = [...disk.names.keys()];
  let damaged = 0;

  for (let round = 0; round < 1000; round++) {
    const copy = disk.afterKill();
    const name = names[Math.floor(random() * names.length)] ?? "";
    const file = copy.names.get(name);
    if (!file || file.content.length === 0) continue;
    const offset = Math.floor(random() * file.content.length);
    const length = Math.min(file.content.length - offset, 1 + Math.floor(random() ** 4 * 400));
    const before = Buffer.from(file.content);
    for (let at = offset; at < offset + length; at++) file.content[at] = Math.floor(random() * 256);
    const touched = recordsIn(before, Number(name.slice(0, 16)), offset, offset + length);
    const isSame = before.equals(file.content);
    const reports: Damage[] = [];
    const journal = await openOn(copy, { onDamage: (damage) => reports.push(damage) });

    const found = await readAll(journal);

    const isLast = name === names.at(-1);
    const tail = isLast ? Math.min(...touched) : Number.POSITIVE_INFINITY;
    for (let position = 1; position <= 90; position++) {
      const text = found.get(position);
      if (!touched.includes(position)) assert.equal(text, payloadOf(position), `round ${round}: ${position}`);
      else if (text !== undefined) assert.equal(text, payloadOf(position), "damaged content was given out");
      else if (position < journal.end) {
        const isNamed = reports.some(({ from, to }) => from <= position && position <= to);
        assert.ok(isNamed, `round ${round}: nobody was told of ${position}`);
      } else assert.ok(position >= tail, `round ${round}: ${position} was cut off`);
    }
    if (!isSame) damaged++;
  }
  assert.ok(damaged > 900);
});

/** Positions of the records that the bytes from `start` to `end` belong to. */
function recordsIn(content: Buffer, base: number, start: number, end: number): number[] {
  const found: number[] = [];
  for (let offset = 0, position = base; offset < content.length; position++) {
    const next = offset + 24 + content.readUInt32BE(offset + 4);
    if (offset < end && next > start) found.push(position);
    offset = next;
  }
  return found;
}

test("a full disk refuses with a clear error, and takes again when there is space", async () => {
  const disk = new MemoryDisk();
  const journal = await openOn(disk);
  await fill(journal, 10);
  disk.capacityBytes = disk.usedBytes + 30;

  await assert.rejects(journal.append(bytes(payloadOf(7))), (error: DiskError) => {
    assert.equal(error.kind, "DiskFull");
    assert.match(error.message, /the disk is full/);
    return true;
  });

  assert.equal(journal.end, 11);
  assert.equal((await readAll(journal)).size, 10);
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  assert.equal(await journal.append(bytes("space again")), 11);
  assert.equal((await readAll(await openOn(disk.afterKill()))).get(11), "space again");
});

test("a sync that fails takes back the whole batch, and the next one stands", async () => {
  const disk = new MemoryDisk();
  const journal = await openOn(disk);
  await fill(journal, 3);
  disk.failingSyncs = 1;

  await assert.rejects(journal.append(bytes("lost")), { kind: "DiskFailed" });

  assert.equal(await journal.append(bytes("kept")), 4);
  assert.equal((await readAll(journal)).get(4), "kept");
  assert.deepEqual([...(await readAll(await openOn(disk.afterKill()))).values()].at(-1), "kept");
});

test("records older or more than is to be kept go, the others stay", async () => {
  const disk = new MemoryDisk();
  const clock = new FakeClock();
  const journal = await openOn(disk, { clock, segmentBytes: 1000 });
  await fill(journal, 50);
  await clock.advance(60_000);
  await fill(journal, 60);

  const droppedBySize = await journal.retain({ maxAgeMs: 1e9, maxBytes: 4000 });

  assert.ok(droppedBySize > 0);
  assert.equal(journal.first, droppedBySize + 1);
  assert.ok(journal.bytes <= 4000);
  await journal.retain({ maxAgeMs: 30_000, maxBytes: 1e9 });
  assert.ok(journal.first > 40 && journal.first <= 51, String(journal.first));
  assert.equal((await readAll(journal)).get(60), payloadOf(60));
  await clock.advance(60_000);
  await journal.retain({ maxAgeMs: 30_000, maxBytes: 1e9 });
  assert.equal(journal.first, journal.end);
  assert.equal(await journal.append(bytes("next")), 61);
});

test("a moment leads to the first record that is not older", async () => {
  const disk = new MemoryDisk();
  const clock = new FakeClock(1000);
  const journal = await openOn(disk, { clock, segmentBytes: 700 });
  for (let number = 1; number <= 40; number++) {
    await journal.append(bytes(payloadOf(number)));
    await clock.advance(10);
  }

  assert.equal(await journal.positionAt(0), 1);
  assert.equal(await journal.positionAt(1000), 1);
  assert.equal(await journal.positionAt(1001), 2);
  assert.equal(await journal.positionAt(1245), 26);
  assert.equal(await journal.positionAt(1390), 40);
  assert.equal(await journal.positionAt(5000), 41);
});

test("a record larger than one buffer is read like any other, and too large a one is refused", async () => {
  const disk = new MemoryDisk();
  const journal = await openOn(disk, { maxRecordBytes: 500_000 });
  const large = "y".repeat(400_000);
  await journal.append(bytes("first"));
  await journal.append(bytes(large));
  await journal.append(bytes("last"));

  await assert.rejects(journal.append(new Uint8Array(500_001)), RecordTooLarge);

  const again = await openOn(disk.afterKill(), { maxRecordBytes: 500_000 });
  assert.deepEqual([...(await readAll(again)).values()], ["first", large, "last"]);
});

test("on a real disk it does the same", async () => {
  const path = mkdtempSync(join(tmpdir(), "nodeless-journal-"));
  try {
    const folder = await openDiskFolder(path);
    const journal = await Journal.open({ folder, clock: systemClock, segmentBytes: 2000 });
    let calls = 0;
    journal.onAppended(() => calls++);
    await fill(journal, 30, 3);
    await journal.close();
    const again = await Journal.open({ folder, clock: systemClock, segmentBytes: 2000 });
    assert.equal((await readAll(again)).size, 30);
    assert.equal(calls, 10);
    await again.close();
    await assert.rejects(again.append(bytes("late")), /closed/);
  } finally {
    rmSync(path, { recursive: true });
  }
});

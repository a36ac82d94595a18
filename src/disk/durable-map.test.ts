import assert from "node:assert/strict";
import { test } from "node:test";
import { DurableMap } from "./durable-map.ts";
import { MemoryDisk } from "./testing/memory-disk.ts";

function text(value: Uint8Array | undefined): string | undefined {
  return value && Buffer.from(value).toString();
}

test("the last value of each key is there in the next process", async () => {
  const disk = new MemoryDisk();
  const map = await DurableMap.open(disk);
  map.set("a", Buffer.from("1"));
  map.set("b", Buffer.from("2"));
  await map.flush();
  map.set("a", Buffer.from("3"));
  map.delete("b");
  await map.flush();

  const again = await DurableMap.open(disk.afterKill());

  assert.equal(text(again.get("a")), "3");
  assert.deepEqual(again.keys(), ["a"]);
});

test("history does not pile up", async () => {
  const disk = new MemoryDisk();
  const map = await DurableMap.open(disk);
  const value = Buffer.alloc(50_000, "v");

  for (let round = 0; round < 60; round++) {
    map.set(`key-${round % 3}`, Buffer.concat([value, Buffer.from(String(round))]));
    await map.flush();
  }

  assert.ok(disk.usedBytes < 800_000, String(disk.usedBytes));
  assert.equal(disk.names.size, 1);
  const again = await DurableMap.open(disk.afterKill());
  assert.ok(text(again.get("key-2"))?.endsWith("59"));
});

test("after a power cut each key has the last durable value or a later one", async () => {
  const disk = new MemoryDisk();
  const map = await DurableMap.open(disk, { slackBytes: 3000 });
  const durable: { readonly at: number; readonly key: string; readonly number: number }[] = [];
  let state = 5;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  for (let number = 1; number <= 40; number++) {
    const key = `k${number % 4}`;
    map.set(key, Buffer.from(`${number} ${"x".repeat(600)}`));
    const isDurable = number % 3 === 0;
    await map.flush({ isDurable });
    if (isDurable) durable.push({ at: disk.events.length, key, number });
  }

  for (let moment = 0; moment <= disk.events.length; moment++) {
    const after = await DurableMap.open(disk.afterPowerCut(moment, () => random() < 0.6));
    for (const { at, key, number } of durable) {
      if (at > moment) continue;
      const found = text(after.get(key)) ?? "";
      assert.ok(Number.parseInt(found, 10) >= number, `${key} at ${moment}: ${found.slice(0, 9)}, not ${number}`);
      assert.equal(found.length, String(Number.parseInt(found, 10)).length + 601);
    }
  }
});

test("what a full disk did not take is written when there is space", async () => {
  const disk = new MemoryDisk();
  const map = await DurableMap.open(disk);
  map.set("a", Buffer.from("old"));
  await map.flush();
  disk.capacityBytes = disk.usedBytes + 10;
  map.set("a", Buffer.from("new"));

  await assert.rejects(map.flush(), { kind: "DiskFull" });

  assert.equal(text((await DurableMap.open(disk.afterKill())).get("a")), "old");
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  await map.flush();
  assert.equal(text((await DurableMap.open(disk.afterKill())).get("a")), "new");
});

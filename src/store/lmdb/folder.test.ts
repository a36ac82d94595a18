import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Logger } from "#component-base/logger.ts";
import { silentLogger } from "#component-base/logger.ts";
import { FORMAT_VERSION, readFormat } from "#store/lmdb/folder.ts";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";
import { commit, put, rangeLines, remove, showEntry } from "#store/suite/support.ts";

test("a store that was closed and opened again has its entries, revision, history and compaction", async () => {
  await withFolder(async (folder) => {
    const first = await openLmdbStore({ folder, reserveBytes: 0 });
    await commit(first, put("/a", "1"));
    await commit(first, put("/a", "2"));
    await commit(first, put("/b", "1"), remove("/a"));
    await first.compact(2);
    await first.close();

    const second = await openLmdbStore({ folder, reserveBytes: 0 });

    assert.deepEqual([second.currentRevision(), second.compactedRevision()], [4, 2]);
    assert.deepEqual(await rangeLines(second, { prefix: "/" }), ["/b=1@4/4"]);
    assert.equal(showEntry(await second.get("/a", { revision: 3 })), "/a=2@2/3");
    assert.equal(await commit(second, put("/a", "3")), 5);
    await second.close();
  });
});

test("a second opener is refused, with the process id of the first, until that one closes", async () => {
  await withFolder(async (folder) => {
    const first = await openLmdbStore({ folder, reserveBytes: 0 });

    const message = `the store in ${folder} is in use by process ${process.pid}`;
    await assert.rejects(openLmdbStore({ folder }), { kind: "StoreUnusable", why: "locked", message });

    await first.close();
    await (await openLmdbStore({ folder, reserveBytes: 0 })).close();
  });
});

test("the folder and its files are for their owner only", async () => {
  await withFolder(async (parent) => {
    const folder = join(parent, "deep", "store");
    const store = await openLmdbStore({ folder, reserveBytes: 4096 });

    assert.equal(statSync(folder).mode & 0o077, 0);
    assert.equal(statSync(join(folder, "reserve")).size, 4096);
    await store.close();
  });
});

test("programs that the process starts do not get the data file", async () => {
  await withFolder(async (folder) => {
    const store = await openLmdbStore({ folder, reserveBytes: 0 });

    const { stdout } = spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" });

    assert.ok(stdout.includes("/proc/") && !stdout.includes(folder), stdout);
    await store.close();
  });
});

test("a folder of a newer format is refused, naming both versions", async () => {
  await withFolder(async (folder) => {
    await (await openLmdbStore({ folder, reserveBytes: 0 })).close();
    writeFileSync(join(folder, "FORMAT"), JSON.stringify({ format: 7 }));

    const message = new RegExp(`of format 7, .* knows formats up to ${FORMAT_VERSION}$`);
    await assert.rejects(openLmdbStore({ folder }), { kind: "StoreUnusable", why: "newer-format", message });
  });
});

test("a folder of an older format is brought up step by step", async () => {
  await withFolder(async (folder) => {
    await (await openLmdbStore({ folder, reserveBytes: 0 })).close();
    const steps: number[] = [];
    const step = (from: number) => ({ from, migrate: () => void steps.push(from) });

    assert.equal(readFormat(folder, FORMAT_VERSION + 2, [step(FORMAT_VERSION + 1), step(FORMAT_VERSION)]), "current");

    assert.deepEqual(steps, [FORMAT_VERSION, FORMAT_VERSION + 1]);
    assert.deepEqual(JSON.parse(readFileSync(join(folder, "FORMAT"), "utf8")), { format: FORMAT_VERSION + 2 });
  });
});

test("a store that lost its data file or its FORMAT is damaged, never silently new", async () => {
  for (const name of ["data.mdb", "FORMAT"]) {
    await withFolder(async (folder) => {
      const store = await openLmdbStore({ folder, reserveBytes: 0 });
      await commit(store, put("/a", "1"));
      await store.close();
      rmSync(join(folder, name));

      const message = new RegExp(`the file ${name} is missing$`);
      await assert.rejects(openLmdbStore({ folder }), { kind: "StoreUnusable", why: "damaged", message });
    });
  }
});

test("what an interrupted making of a store left behind is made anew", async () => {
  await withFolder(async (folder) => {
    await (await openLmdbStore({ folder, reserveBytes: 0 })).close();
    rmSync(join(folder, "FORMAT"));
    writeFileSync(join(folder, "creating"), "");
    writeFileSync(join(folder, "data.mdb"), "half");

    const store = await openLmdbStore({ folder, reserveBytes: 0 });

    assert.equal(store.currentRevision(), 1);
    await store.close();
    assert.ok(!readdirSync(folder).includes("creating"));
  });
});

test("a folder that cannot be made is unwritable", async () => {
  await withFolder(async (parent) => {
    writeFileSync(join(parent, "file"), "");

    const refusal = { kind: "StoreUnusable", why: "unwritable" };
    await assert.rejects(openLmdbStore({ folder: join(parent, "file", "store") }), refusal);
  });
});

test("a data file that was touched while the store was closed is checked in a process of its own", async () => {
  await withFolder(async (folder) => {
    const store = await openLmdbStore({ folder, reserveBytes: 0 });
    await commit(store, put("/secret", "value of the secret"));
    await store.close();
    const messages: string[] = [];
    const logger: Logger = { ...silentLogger, info: (message) => void messages.push(message) };

    await (await openLmdbStore({ folder, reserveBytes: 0, logger })).close();
    assert.deepEqual(messages, []);
    utimesSync(join(folder, "data.mdb"), 1, 1);
    await (await openLmdbStore({ folder, reserveBytes: 0, logger })).close();
    assert.deepEqual(messages, ["Checked a store that was not closed in order, found no damage"]);

    const data = readFileSync(join(folder, "data.mdb"));
    data.write("VALUE", data.lastIndexOf("value of the secret"));
    writeFileSync(join(folder, "data.mdb"), data);
    const message = /key "\/secret": its checksum is wrong$/;
    await assert.rejects(openLmdbStore({ folder }), { kind: "StoreUnusable", why: "damaged", message });
  });
});

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { RecordFolder } from "./records.ts";

describe("records on disk", () => {
  const folder = mkdtempSync(join(tmpdir(), "records-"));
  after(() => rmSync(folder, { recursive: true }));
  let count = 0;
  const open = () => {
    const records = new RecordFolder<number>(join(folder, String(count++)));
    records.open();
    return records;
  };
  const fail = (error: unknown) => assert.fail(String(error));

  it("written soon are there soon, or when they are flushed", async () => {
    const records = open();
    records.writeSoon("a", 1, fail);
    assert.deepEqual(records.list(), []);

    await until(() => records.list()[0]?.record === 1);
    records.writeSoon("b", 2, fail);
    records.flush();

    assert.deepEqual(
      records.list().map(({ record }) => record),
      [1, 2],
    );
  });

  it("that are damaged are none, and those that cannot be read are not taken for damaged", () => {
    const records = open();
    records.write("a", 1);
    writeFileSync(join(records.path("a"), "record.json"), "{");
    assert.deepEqual(records.list(), [{ id: "a", record: undefined }]);

    rmSync(join(records.path("a"), "record.json"));
    mkdirSync(join(records.path("a"), "record.json"));
    assert.throws(() => records.list(), { code: "EISDIR" });
  });

  it("written meanwhile or removed are not overwritten by what was due", async () => {
    const records = open();
    records.writeSoon("a", 1, fail);
    records.writeSoon("b", 1, fail);
    records.write("a", 2);
    await records.remove("b");
    records.writeSoon("last", 3, fail);

    await until(() => records.list().some(({ record }) => record === 3));

    assert.deepEqual(records.list(), [
      { id: "a", record: 2 },
      { id: "last", record: 3 },
    ]);
  });

  it("written or removed while an older one is on its way are not overwritten by that", async () => {
    const records = open();
    records.writeSoon("a", 1, fail);
    await new Promise((resolve) => setImmediate(resolve));
    records.write("a", 2);
    await until(() => existsSync(records.path("a")) && records.list()[0]?.record === 2);
    records.writeSoon("b", 1, fail);
    await new Promise((resolve) => setImmediate(resolve));
    await records.remove("b");
    records.writeSoon("last", 3, fail);

    await until(() => records.list().some(({ record }) => record === 3));
    assert.deepEqual(records.list(), [
      { id: "a", record: 2 },
      { id: "last", record: 3 },
    ]);
  });

  it("that cannot be written are told of, and the others are written", async () => {
    const records = open();
    writeFileSync(records.path("a"), "in the way");
    const failures: unknown[] = [];
    records.writeSoon("a", 1, (error) => failures.push(error));
    records.writeSoon("b", 2, fail);

    await until(() => records.list().at(-1)?.record === 2);

    assert.equal(failures.length, 1);
    assert.deepEqual(records.list().at(-1), { id: "b", record: 2 });
  });
});

/** Waits for what is written beside this. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

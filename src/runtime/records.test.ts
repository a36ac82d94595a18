import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it("written soon are there after the turn, or when they are flushed", async () => {
    const records = open();
    records.writeSoon("a", 1, fail);
    assert.deepEqual(records.list(), []);

    await turn();
    records.writeSoon("b", 2, fail);
    records.flush();

    assert.deepEqual(
      records.list().map(({ record }) => record),
      [1, 2],
    );
  });

  it("written meanwhile or removed are not overwritten by what was due", async () => {
    const records = open();
    records.writeSoon("a", 1, fail);
    records.writeSoon("b", 1, fail);
    records.write("a", 2);
    await records.remove("b");

    await turn();

    assert.deepEqual(records.list(), [{ id: "a", record: 2 }]);
  });

  it("that cannot be written are told of, and the others are written", async () => {
    const records = open();
    writeFileSync(records.path("a"), "in the way");
    const failures: unknown[] = [];
    records.writeSoon("a", 1, (error) => failures.push(error));
    records.writeSoon("b", 2, fail);

    await turn();

    assert.equal(failures.length, 1);
    assert.deepEqual(records.list().at(-1), { id: "b", record: 2 });
  });
});

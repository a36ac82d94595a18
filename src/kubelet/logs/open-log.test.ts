import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { StatusError } from "#apimachinery/status-error.ts";
import { openLog } from "./open-log.ts";

const follow = { follow: true, previous: false, timestamps: false };
const never = new AbortController().signal;

describe("an opened log", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "open-log-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const sourceAt = (path: string) => ({ path, isRunning: () => true, ended: new AbortController().signal });
  const watches = () => process.getActiveResourcesInfo().filter((one) => one === "FSEventWrap").length;

  it("keeps nothing of whoever follows it and leaves after the first piece", async () => {
    const path = join(folder, "0.log");
    await writeFile(path, "2026-01-01T00:00:01.000000000+00:00 stdout F hello\n");
    const before = watches();
    const source = sourceAt(path);
    for await (const piece of await openLog(source, follow, never)) {
      assert.equal(String(piece), "hello\n");
      assert.equal(watches(), before + 1);
      break;
    }
    assert.equal(watches(), before);
    for (const end of [source.ended, never]) assert.deepEqual(getEventListeners(end, "abort"), []);
  });

  it("that is not there is refused before anything is answered", async () => {
    const missing = openLog(sourceAt(join(folder, "1.log")), follow, never);

    await assert.rejects(missing, (error) => error instanceof StatusError && /no such file/.test(error.message));
  });
});

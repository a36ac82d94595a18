import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { withFolder } from "#store/lmdb/testing/temporary-folder.ts";

const program = fileURLToPath(new URL("./testing/one-write.ts", import.meta.url));
const hasStrace = spawnSync("strace", ["-V"]).status === 0;
const skip = hasStrace ? false : "strace is not installed";

test("a write is acknowledged after its data was synced and the meta page written through to the disk", {
  skip,
}, async () => {
  await withFolder(async (folder) => {
    const trace = join(folder, "trace");
    const calls = "trace=openat,write,pwrite64,writev,pwritev,fdatasync";
    const args = ["-f", "-e", calls, "-o", trace, process.execPath, program, join(folder, "store")];
    assert.equal(spawnSync("strace", args).status, 0);

    const lines = readFileSync(trace, "utf8").split("\n");
    const between = lines.slice(indexOf(lines, /"opened\\n"/), indexOf(lines, /"acknowledged\\n"/));
    // LMDB writes the meta page on a descriptor that does not return before the disk has it.
    const meta = /= (\d+)$/.exec(lines[indexOf(lines, /data\.mdb", O_WRONLY\|O_DSYNC/)]!)![1]!;
    const synced = indexOf(between, /fdatasync\(/);
    const committed = indexOf(between, new RegExp(`pwrite64\\(${meta},`));
    const lastData = between.findLastIndex(
      (line) => /(pwrite64|p?writev)\(/.test(line) && !line.includes(`pwrite64(${meta},`),
    );
    assert.ok(lastData >= 0 && lastData < synced && synced < committed, between.join("\n"));
  });
});

function indexOf(lines: readonly string[], pattern: RegExp): number {
  const index = lines.findIndex((line) => pattern.test(line));
  assert.ok(index >= 0, `no ${pattern} in the trace`);
  return index;
}

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadLibc } from "#linux/libc.ts";
import { findMonitors } from "./monitors.ts";

test("a monitor is found by its file, without one by the FIFO that it holds, and a number that is somebody else's is not believed", async (t) => {
  const bundle = mkdtempSync(join(tmpdir(), "monitors-"));
  const alive = join(bundle, "alive");
  (await loadLibc()).mkfifo(alive, 0o600);
  assert.deepEqual(findMonitors(bundle), []);
  const child = spawn("sh", ["-c", 'exec 3<>"$0/alive"; echo; exec sleep 100', bundle]);
  t.after(() => {
    child.kill("SIGKILL");
    rmSync(bundle, { recursive: true });
  });
  await once(child.stdout, "data");
  const pids = () => findMonitors(bundle).map(({ pid }) => pid);

  assert.deepEqual(pids(), [child.pid], "by the FIFO");
  writeFileSync(join(bundle, "conmon.pid"), String(process.pid));
  assert.deepEqual(pids(), [child.pid], "this process is no monitor of it");
  const named = spawn("sleep", ["100"], { argv0: `conmon -b ${bundle}` });
  t.after(() => named.kill("SIGKILL"));
  await once(named, "spawn");
  writeFileSync(join(bundle, "conmon.pid"), String(named.pid));
  assert.deepEqual(pids(), [named.pid], "by the file");
});

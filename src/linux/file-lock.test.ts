import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { lockFile } from "./file-lock.ts";
import { loadLibc } from "./libc.ts";

const folder = mkdtempSync(join(tmpdir(), "file-lock-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("a lock is held by one at a time, in whatever order they ask", async () => {
  const path = join(folder, "one");
  let [holders, most, done] = [0, 0, 0];
  await Promise.all(
    Array.from({ length: 5 }, async () => {
      const lock = await lockFile(path);
      most = Math.max(most, ++holders);
      await new Promise((resolve) => setImmediate(resolve));
      holders -= 1;
      done += 1;
      lock.release();
    }),
  );

  assert.deepEqual({ most, done }, { most: 1, done: 5 });
  assert.equal(existsSync(path), false);
});

test("who waits is told who holds it", async () => {
  const path = join(folder, "told");
  const first = await lockFile(path);
  const told: (number | undefined)[] = [];

  const second = lockFile(path, { onWait: (holder) => told.push(holder) });
  while (told.length === 0) await new Promise((resolve) => setImmediate(resolve));
  first.release();
  (await second).release();

  assert.deepEqual(told, [process.pid]);
});

test("who waits is told it also of one that got the lock only just now, and has not said its number yet", async () => {
  const path = join(folder, "young");
  const file = openSync(path, "a+");
  (await loadLibc()).tryLock(file);
  const told: (number | undefined)[] = [];

  const second = lockFile(path, { onWait: (holder) => told.push(holder) });
  await new Promise((resolve) => setImmediate(resolve));
  writeSync(file, "4711\n");
  while (told.length === 0) await new Promise((resolve) => setImmediate(resolve));
  closeSync(file);
  (await second).release();

  assert.deepEqual(told, [4711]);
});

test("the lock of a process that was killed is free, however young it is", async () => {
  const path = join(folder, "killed");
  const script = `import(${JSON.stringify(join(import.meta.dirname, "file-lock.ts"))}).then(async ({ lockFile }) => {
    await lockFile(${JSON.stringify(path)}); console.log("held"); setInterval(() => {}, 1000); });`;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");

  child.kill("SIGKILL");
  const lock = await lockFile(path);

  lock.release();
});

import assert from "node:assert/strict";
import { closeSync, constants, existsSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { loadLibc } from "#linux/libc.ts";
import type { OciRuntime } from "./machine.ts";
import { finishStart, isUnstarted, startCreated } from "./start.ts";

const crun = { name: "crun", path: "/nonexistent/crun" } as OciRuntime;

/** A container "c" at its FIFO, as crun leaves it after a create. */
async function created(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), "start-"));
  const fifo = join(root, "c/exec.fifo");
  mkdirSync(join(root, "c"));
  (await loadLibc()).mkfifo(fifo, 0o600);
  const waiting = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  t.after(() => rmSync(root, { recursive: true }));
  const heard = () => {
    const byte = Buffer.alloc(2);
    const count = readSync(waiting, byte);
    closeSync(waiting);
    return byte.toString("latin1", 0, count);
  };
  return { root, fifo, heard, goOn: () => closeSync(waiting) };
}

test("a start writes one byte to the waiting container and takes the FIFO away", async (t) => {
  const { root, fifo, heard } = await created(t);
  assert.equal(isUnstarted(root, "c"), true);

  await startCreated(crun, root, "c");

  assert.equal(heard(), "0");
  assert.equal(existsSync(fifo), false);
  assert.equal(isUnstarted(root, "c"), false);
});

test("a start that was broken off before it began is made good", async (t) => {
  const { root, fifo, heard } = await created(t);

  await finishStart(crun, root, "c");

  assert.equal(heard(), "0");
  assert.equal(existsSync(fifo), false);
});

test("a start that was broken off after the container had been let go starts nothing again", async (t) => {
  const { root, fifo, goOn } = await created(t);
  goOn();

  await finishStart(crun, root, "c");

  assert.equal(existsSync(fifo), false);
});

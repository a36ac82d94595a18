import assert from "node:assert/strict";
import { closeSync, readFileSync, readSync } from "node:fs";
import { test } from "node:test";
import { loadPrograms, runOn } from "./programs.ts";

const programs = await loadPrograms();

async function output(script: string, options: { readonly folder?: string; readonly ownSession?: boolean } = {}) {
  const { read, write } = programs.openPipe();
  const pid = await programs.start({
    path: "sh",
    args: ["-c", script],
    env: { PATH: "/usr/bin:/bin", WORD: "told" },
    descriptors: [undefined, write, undefined],
    ...options,
  });
  closeSync(write);
  const end = await programs.waitFor(pid);
  const said = Buffer.alloc(4096);
  const text = said.toString("utf8", 0, readSync(read, said));
  closeSync(read);
  return { pid, end, text };
}

test("a program is looked for in PATH and has the environment, folder and descriptors that it was given, and no others", async () => {
  const kept = programs.openMemoryFile("");
  const script = `echo "$WORD $(pwd)"; [ -e /proc/self/fd/2 ] && echo two; [ -e /proc/self/fd/${kept} ] && echo kept; exit 3`;
  const { end, text } = await output(script, { folder: "/proc" });
  closeSync(kept);

  assert.deepEqual(end, { code: 3 });
  assert.equal(text, "told /proc\ntwo\n");
});

test("descriptors may be given to each other's numbers", async () => {
  const [first, second] = [programs.openMemoryFile("first"), programs.openMemoryFile("second")];
  const { read, write } = programs.openPipe();
  const descriptors: (number | undefined)[] = [undefined, write, undefined];
  while (descriptors.length <= Math.max(first, second)) descriptors.push(undefined);
  descriptors[first] = second;
  descriptors[second] = first;

  const script = `cat /proc/self/fd/${first} /proc/self/fd/${second}`;
  const pid = await programs.start({ path: "/bin/sh", args: ["-c", script], descriptors });
  await programs.waitFor(pid);

  const said = Buffer.alloc(100);
  assert.equal(said.toString("utf8", 0, readSync(read, said)), "secondfirst");
  for (const fd of [first, second, read, write]) closeSync(fd);
});

test("no signal is ignored or held back in it, and it may have a session of its own", async () => {
  const fields = (text: string) => [/SigBlk:\s*0+\n/, /SigIgn:\s*0+\n/].every((line) => line.test(text));
  const shared = await output("cat /proc/self/status; cut -d ' ' -f 6 /proc/$$/stat");
  const own = await output("cut -d ' ' -f 6 /proc/$$/stat", { ownSession: true });

  assert.ok(fields(shared.text), shared.text);
  assert.equal(own.text.trim(), String(own.pid));
  const session = readFileSync("/proc/self/stat", "utf8").split(") ")[1]?.split(" ")[3];
  assert.equal(shared.text.trim().split("\n").at(-1), session);
});

test("what a signal ends is told so; a program that is not there, and a process of others, fail", async () => {
  await assert.rejects(programs.waitFor(1), { kind: "SystemCallError", systemCall: "waitpid" });
  assert.deepEqual((await output("kill -9 $$")).end, { signal: 9 });
  await assert.rejects(programs.start({ path: "/no/such/program", args: [], descriptors: [] }), {
    kind: "SystemCallError",
    code: "ENOENT",
  });
});

test("a program runs on an input of any size and what it says on standard error is given back", async () => {
  const input = "line\n".repeat(200_000);
  const ran = await runOn(programs, { path: "sh", args: ["-c", "wc -c >&2; exit 1"], input });

  assert.deepEqual(ran, { end: { code: 1 }, errors: "1000000\n" });
});

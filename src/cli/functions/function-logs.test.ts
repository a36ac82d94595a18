import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { Machine } from "#cli/machine.ts";
import type { Terminal } from "#cli/terminal.ts";
import { printFunctionLogs } from "./function-logs.ts";

test("what an instance said before it was started anew comes first, with why it ended", async () => {
  const terminated = { exitCode: 137, reason: "OOMKilled", finishedAt: "2026-01-01T00:00:00Z" };
  const statusOf = (restartCount: number, lastState: object) => ({
    phase: "Running",
    containerStatuses: [{ name: "user-container", restartCount, lastState }],
  });
  const items = [
    { metadata: { name: "a", uid: "1" }, status: statusOf(2, { terminated }) },
    { metadata: { name: "b", uid: "2" }, status: statusOf(0, {}) },
  ];
  const client = { list: async () => ({ items, metadata: {} }) } as unknown as Client;
  const said: string[] = [];
  const say = (line: string) => void said.push(line);
  const terminal = { print: say, warn: say } as unknown as Terminal;
  const machine = {
    async readStream(_cluster: string, path: string) {
      const { pathname, searchParams } = new URL(path, "http://x");
      const isPrevious = searchParams.get("previous") === "true";
      if (pathname.includes("/b/") && isPrevious) assert.fail("b never ended");
      if (pathname.includes("/a/") && !isPrevious)
        throw new StatusError({
          reason: "BadRequest",
          code: 400,
          message: 'container "user-container" in pod "a" is waiting to start: CrashLoopBackOff',
        });
      return [Buffer.from(isPrevious ? "[id] before\n" : "[id] now\n")] as unknown as AsyncIterable<Uint8Array>;
    },
  } as unknown as Machine;
  const names = { cluster: "default", namespace: "default", name: "hello" };

  const count = await printFunctionLogs({
    ...names,
    client,
    machine,
    terminal,
    follow: false,
    tail: undefined,
    request: undefined,
    revision: undefined,
  });

  assert.equal(count, 2);
  const [, before, why] = [said.length, ...said.filter((line) => line !== "[id] now")];
  assert.equal(before, "[id] before");
  assert.equal(why, "-- a was started anew 2 times, last after 2026-01-01T00:00:00Z: OOMKilled, exit code 137 --");
  assert.ok(said.includes("[id] now"));
});

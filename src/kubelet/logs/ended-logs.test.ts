import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { EndedLogs } from "./ended-logs.ts";

const root = mkdtempSync(join(tmpdir(), "nodeless-ended-logs-"));
after(() => rmSync(root, { recursive: true }));
let count = 0;

/** A pod's log folder whose container `c` has had these attempts. */
function podLogs(...attempts: readonly (readonly string[])[]): string {
  const folder = join(root, `pod-${++count}`);
  mkdirSync(join(folder, "c"), { recursive: true });
  for (const [attempt, lines] of attempts.entries())
    writeFileSync(
      join(folder, "c", `${attempt}.log`),
      lines.map((line) => `2026-01-01T00:00:00.000000000Z stdout F ${line}\n`).join(""),
    );
  return folder;
}

const pod = (name: string): Pod => ({ metadata: { name } });

function openLogs(): { readonly logs: EndedLogs; readonly folder: string } {
  const folder = join(root, `ended-${++count}`);
  const logs = new EndedLogs({
    folder,
    of: ({ metadata }) => (metadata?.name === "other" ? undefined : { name: "rev", container: "c" }),
  });
  return { logs, folder };
}

describe("logs of pods that are gone", () => {
  it("are there under the name that the pods share, the oldest first, with what was said before a start anew", async () => {
    const { logs } = openLogs();
    await logs.keep(pod("a"), podLogs(["one"], ["two"]));
    await logs.keep(pod("b"), podLogs(["three"]));
    await logs.keep(pod("other"), podLogs(["of no interest"]));
    await logs.keep(pod("silent"), podLogs([]));
    await logs.keep(pod("never started"), join(root, "nowhere"));

    assert.equal((await logs.read("rev"))?.toString(), "one\ntwo\nthree\n");
    assert.equal(await logs.read("else"), undefined);
  });

  it("are bounded: whole lines from the end of each, and of the last pods", async () => {
    const { logs, folder } = openLogs();
    const line = "x".repeat(1000);
    await logs.keep(pod("a"), podLogs([...Array.from({ length: 100 }, () => line), "last"]));
    const text = (await logs.read("rev"))?.toString() ?? "";
    assert.ok(text.length < 64 * 1024 && text.length > 60_000, String(text.length));
    assert.ok(text.startsWith(`${line}\n`) && text.endsWith("\nlast\n"));

    for (let next = 0; next < 12; next++) await logs.keep(pod("a"), podLogs([`pod ${next}`]));
    assert.equal((await logs.read("rev"))?.toString(), "pod 8\npod 9\npod 10\npod 11\n");
    assert.equal(readdirSync(join(folder, "rev")).length, 4);
  });
});

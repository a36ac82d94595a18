import assert from "node:assert/strict";
import { appendFile, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import type { LogOptions } from "#kubelet/provider.ts";
import { readLog } from "./log-reader.ts";
import { LogRotator } from "./log-rotator.ts";

const all: LogOptions = { follow: false, previous: false, timestamps: false };
const never = new AbortController().signal;

async function withLog(body: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "logs-"));
  try {
    await body(join(folder, "0.log"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function line(second: number, text: string, stream = "stdout", tag = "F"): string {
  return `2026-01-01T00:00:${String(second).padStart(2, "0")}.000000000+00:00 ${stream} ${tag} ${text}\n`;
}

async function textOf(path: string, options: Partial<LogOptions>): Promise<string> {
  const chunks: Uint8Array[] = [];
  const source = { path, isRunning: () => false, ended: AbortSignal.abort() };
  for await (const chunk of readLog(source, { ...all, ...options }, never)) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

describe("a container's log", () => {
  it("is read without stamps, with parts of long lines joined", async () => {
    await withLog(async (path) => {
      await writeFile(
        path,
        line(1, "hello") + line(2, "long ", "stdout", "P") + line(2, "line") + line(3, "oops", "stderr"),
      );

      assert.equal(await textOf(path, {}), "hello\nlong line\noops\n");
      assert.equal(await textOf(path, { stream: "Stderr" }), "oops\n");
      assert.equal(await textOf(path, { timestamps: true, tailLines: 1 }), "2026-01-01T00:00:03.000000000Z oops\n");
    });
  });

  it("is bounded by lines, bytes and time", async () => {
    await withLog(async (path) => {
      await writeFile(path, [1, 2, 3, 4, 5].map((second) => line(second, `line ${second}`)).join(""));

      assert.equal(await textOf(path, { tailLines: 2 }), "line 4\nline 5\n");
      assert.equal(await textOf(path, { tailLines: 0 }), "");
      assert.equal(await textOf(path, { tailLines: 99 }), "line 1\nline 2\nline 3\nline 4\nline 5\n");
      assert.equal(await textOf(path, { limitBytes: 9 }), "line 1\nli");
      assert.equal(await textOf(path, { sinceTimeMs: Date.parse("2026-01-01T00:00:04Z") }), "line 4\nline 5\n");
    });
  });

  it("ends, unless followed, with what was there when it was asked for", async () => {
    await withLog(async (path) => {
      const long = "x".repeat(100_000);
      await writeFile(path, line(1, long));
      const source = { path, isRunning: () => true, ended: new AbortController().signal };
      let text = "";
      for await (const chunk of readLog(source, { ...all, tailLines: 1 }, never)) {
        if (text === "") await appendFile(path, line(2, "late"));
        text += Buffer.from(chunk).toString();
      }

      assert.equal(text, `${long}\n`);
    });
  });

  it("takes what a tail lacks from the file that was rotated away last", async () => {
    await withLog(async (path) => {
      await writeFile(`${path}.20260101-000000`, line(1, "one") + line(2, "two"));
      await writeFile(path, line(3, "three"));

      assert.equal(await textOf(path, { tailLines: 2 }), "two\nthree\n");
      assert.equal(await textOf(path, {}), "one\ntwo\nthree\n");
    });
  });

  it("is followed across a rotation until the container ends", async () => {
    await withLog(async (path) => {
      await writeFile(path, line(1, "one"));
      let isRunning = true;
      const ended = new AbortController();
      const source = { path, isRunning: () => isRunning, ended: ended.signal };
      const log = readLog(source, { ...all, follow: true }, never);
      const next = async () => Buffer.from((await log.next()).value ?? []).toString("utf8");
      assert.equal(await next(), "one\n");

      const second = next();
      await appendFile(path, line(2, "two"));
      assert.equal(await second, "two\n");
      const third = next();
      await rename(path, `${path}.20260101-000000`);
      await writeFile(path, line(3, "three"));
      assert.equal(await third, "three\n");
      const end = log.next();
      isRunning = false;
      ended.abort();

      assert.equal((await end).done, true);
    });
  });

  it("stops being followed when the reader leaves", async () => {
    await withLog(async (path) => {
      await writeFile(path, "");
      const leave = new AbortController();
      const source = { path, isRunning: () => true, ended: new AbortController().signal };
      const log = readLog(source, { ...all, follow: true }, leave.signal);
      const next = log.next();

      leave.abort();

      assert.equal((await next).done, true);
    });
  });

  it("is rotated when it is large: old ones compressed, at most five files", async () => {
    await withLog(async (path) => {
      const clock = new FakeClock();
      const reopen = () => writeFile(path, "x".repeat(2000));
      const options = { running: () => [{ path, reopen }], maxBytes: 1000, clock, logger: silentLogger };
      const rotator = new LogRotator(options);
      await reopen();

      for (let round = 0; round < 8; round += 1) {
        await clock.advance(1000);
        await rotator.rotateAll();
      }

      const names = (await readdir(join(path, ".."))).sort();
      assert.deepEqual(names, [
        "0.log",
        "0.log.20260101-000005.gz",
        "0.log.20260101-000006.gz",
        "0.log.20260101-000007.gz",
        "0.log.20260101-000008",
      ]);
    });
  });
});

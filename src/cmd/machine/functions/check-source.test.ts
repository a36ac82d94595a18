import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { askFunction } from "./ask-function.ts";
import { checkSource } from "./check-source.ts";

test("a folder without code of its runtime is told before anything is made of it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nl-check-"));
  const check = (runtime: string, entrypoint?: string) => checkSource(folder, { runtime, entrypoint });
  try {
    await assert.rejects(check("isolate"), {
      exitCode: 2,
      message: `${folder}: no entrypoint was found: there is none of index.ts, index.js, src/index.ts; --source names another folder, --entrypoint a file in it`,
    });
    await assert.rejects(check("python"), { exitCode: 2, message: /none of main\.py/ });
    await assert.rejects(check("container"), { exitCode: 2, message: /has no Dockerfile/ });
    for (const name of ["code.ts", "main.py", "Dockerfile"]) writeFileSync(join(folder, name), "");
    await assert.rejects(check("node"), { exitCode: 2 });

    await check("node", "code.ts");
    await check("python");
    await check("container");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("what no request can have is refused before anybody is asked", async () => {
  const ask = (method: string, headers: Readonly<Record<string, string>> = {}) =>
    askFunction(undefined as never, "one", { url: "http://a/", method, headers, body: undefined });

  await assert.rejects(ask("BAD METHOD"), { exitCode: 2, message: 'there is no method "BAD METHOD"' });
  await assert.rejects(ask("GET", { "a b": "c" }), { exitCode: 2, message: /a b/ });
  await assert.rejects(ask("GET", { a: "b\nc" }), { exitCode: 2, message: /Invalid character/ });
});

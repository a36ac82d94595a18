import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { UserError } from "./command.ts";
import { readObjects } from "./object-files.ts";

const configMap = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`;

async function namesIn(places: readonly string[], isRecursive = false): Promise<(string | undefined)[]> {
  return (await readObjects(places, isRecursive)).map(({ metadata }) => metadata?.name);
}

test("a folder gives its files by name, those in folders of it only when asked for", async () => {
  const folder = mkdtempSync(join(tmpdir(), "objects-"));
  try {
    mkdirSync(join(folder, "c"));
    for (const [file, text] of [
      ["b.yml", `${configMap("b1")}---\n${configMap("b2")}`],
      ["a.json", `{"kind": "List", "items": [${JSON.stringify({ kind: "ConfigMap", metadata: { name: "a" } })}]}`],
      ["c/c.yaml", configMap("c")],
      ["README.md", "# not an object"],
    ] as const)
      writeFileSync(join(folder, file), text);

    assert.deepEqual(await namesIn([folder]), ["a", "b1", "b2"]);
    assert.deepEqual(await namesIn([folder], true), ["a", "b1", "b2", "c"]);
    assert.deepEqual(await namesIn([join(folder, "c/c.yaml"), join(folder, "a.json")]), ["c", "a"]);
    await assert.rejects(namesIn([join(folder, "README.md")]), /README\.md holds no|no objects are in/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a URL is read, and what it answers otherwise is said", async () => {
  const server = createServer(({ url }, response) => {
    response.statusCode = url === "/app.yaml" ? 200 : 404;
    response.end(url === "/app.yaml" ? configMap("far") : "nothing here");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    assert.deepEqual(await namesIn([`${origin}/app.yaml`]), ["far"]);
    await assert.rejects(namesIn([`${origin}/other.yaml`]), /cannot read http:.*: the server answers 404 Not Found/);
  } finally {
    server.close();
  }
  await assert.rejects(namesIn([`${origin}/app.yaml`]), UserError);
});

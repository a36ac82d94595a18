import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { codeOf, readLayers, readMounts } from "./bundle.ts";

const newestDate = "2026-03-01";

describe("a bundle", () => {
  it("is made of modules by their extension", () => {
    const files = bytesOf({
      "index.js": "export default {}",
      "lib/old.cjs": "module.exports = 1",
      "types.ts": "export const one: number = 1;",
      "data.json": `{"a":1}`,
      "page.html": "<p>",
      "add.wasm": "\0asm",
      "blob.bin": "xyz",
    });

    const { modules, mainModule, compatibilityDate } = codeOf(files, { A: "b" }, newestDate);

    assert.equal(mainModule, "index.js");
    assert.equal(compatibilityDate, newestDate);
    assert.deepEqual(modules["index.js"], { js: "export default {}" });
    assert.deepEqual(modules["lib/old.cjs"], { cjs: "module.exports = 1" });
    assert.match((modules["types.ts"] as { js: string }).js, /^export const one\s+= 1;$/);
    assert.deepEqual(modules["data.json"], { json: { a: 1 } });
    assert.deepEqual(modules["page.html"], { text: "<p>" });
    assert.deepEqual(modules["add.wasm"], { wasm: Buffer.from("\0asm").toString("base64") });
    assert.deepEqual(modules["blob.bin"], { data: Buffer.from("xyz").toString("base64") });
  });

  it("says in its package.json where it begins and how it is to behave", () => {
    const description = {
      main: "./src/main.js",
      nodeless: { compatibilityDate: "2025-01-01", compatibilityFlags: [] },
    };
    const files = bytesOf({ "package.json": JSON.stringify(description), "src/main.js": "", "index.js": "" });

    const code = codeOf(files, {}, newestDate);

    assert.equal(code.mainModule, "src/main.js");
    assert.equal(code.compatibilityDate, "2025-01-01");
    assert.deepEqual(code.compatibilityFlags, []);
    assert.equal(code.lazyTimers, false);
  });

  it("says what it may connect to, and is refused when that is not understood", () => {
    const of = (outbound: unknown) =>
      codeOf(bytesOf({ "index.js": "", "package.json": JSON.stringify({ nodeless: { outbound } }) }), {}, newestDate);

    assert.deepEqual(of({ allow: [] }).outbound, { allow: [] });
    assert.deepEqual(of({ allow: ["public", "*.example.com"] }).outbound, { allow: ["public", "*.example.com"] });
    assert.equal(codeOf(bytesOf({ "index.js": "" }), {}, newestDate).outbound, undefined);
    for (const wrong of [{}, { allow: "none" }, { allow: [1] }])
      assert.throws(() => of(wrong), { reason: "CreateContainerError", message: /outbound .*has no list "allow"/ });
  });

  it("is refused without a main module, with JSON that is none and with types that cannot be taken out", () => {
    const refused = (files: Readonly<Record<string, string | Uint8Array>>, message: RegExp) =>
      assert.throws(() => codeOf(bytesOf(files), {}, newestDate), { reason: "CreateContainerError", message });

    refused({ "readme.md": "" }, /it has none of index\.js/);
    refused({ "index.js": "", "package.json": "{" }, /package\.json is not JSON/);
    refused({ "index.ts": "enum A { B }" }, /index\.ts: .*enum/i);
  });

  it("is read from layers: higher ones win and delete, links that lead out are left out", () => {
    withFolder((folder) => {
      const low = makeFolder(folder, "low", { "index.js": "low", "lib/a.js": "a" });
      const high = makeFolder(folder, "high", { "index.js": "high" });
      writeFileSync(join(folder, "secret"), "secret");
      symlinkSync("../secret", join(high, "out.txt"));
      symlinkSync("/etc/passwd", join(high, "passwd.txt"));
      symlinkSync("index.js", join(high, "alias.js"));
      symlinkSync(".", join(high, "circle"));

      const files = readLayers([low, high]);

      assert.deepEqual(textOf(files), { "index.js": "high", "lib/a.js": "a", "alias.js": "high" });
    });
  });

  it("is refused before it is read whole when it is too large or has too many files", () => {
    withFolder((folder) => {
      const large = makeFolder(folder, "large", { "index.js": "" });
      truncateSync(join(large, "index.js"), 65 << 20);
      const many = makeFolder(folder, "many", { "index.js": "" });
      for (let index = 0; index < 10_001; index++) symlinkSync("absent", join(many, String(index)));

      assert.throws(() => readLayers([large]), { message: /more than the 67108864 bytes/ });
      assert.throws(() => readLayers([many]), { message: /more than the 10000 files/ });
    });
  });

  it("is read from what is mounted at /bundle and below, as the kubelet lays out its volumes", () => {
    withFolder((folder) => {
      const volume = makeFolder(folder, "volume", { "..2026/index.js": "code", "..2026/data.json": "{}" });
      symlinkSync("..2026", join(volume, "..data"));
      for (const name of ["index.js", "data.json"]) symlinkSync(`..data/${name}`, join(volume, name));
      const more = makeFolder(folder, "more", { "b.txt": "b" });
      const mount = (hostPath: string, containerPath: string) =>
        ({ hostPath, containerPath, readOnly: true, propagation: "None" }) as const;

      const files = readMounts([
        mount(volume, "/bundle"),
        mount(more, "/bundle/lib/"),
        mount(join(more, "b.txt"), "/bundle/single.txt"),
        mount(more, "/elsewhere"),
        mount(more, "/bundles"),
      ]);

      assert.deepEqual(textOf(files), { "index.js": "code", "data.json": "{}", "lib/b.txt": "b", "single.txt": "b" });
    });
  });
});

function bytesOf(files: Readonly<Record<string, string | Uint8Array>>): ReadonlyMap<string, Uint8Array> {
  return new Map(Object.entries(files).map(([name, content]) => [name, Buffer.from(content)]));
}

function textOf(files: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  return Object.fromEntries([...files].map(([name, bytes]) => [name, Buffer.from(bytes).toString()]));
}

function makeFolder(root: string, name: string, files: Readonly<Record<string, string>>): string {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, name, path, ".."), { recursive: true });
    writeFileSync(join(root, name, path), content);
  }
  return join(root, name);
}

function withFolder(body: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "nl-bundle-"));
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { bundleCode, type CodeBundle, createRebundler } from "./bundle-code.ts";
import { loadEsbuild } from "./esbuild.ts";

describe("bundling a function's code", () => {
  const root = mkdtempSync(join(tmpdir(), "nl-bundle-"));
  after(async () => {
    rmSync(root, { recursive: true });
    // Its program would keep this process.
    await (await loadEsbuild()).stop();
  });
  const sourceOf = (files: Readonly<Record<string, string>>): string => {
    const folder = mkdtempSync(join(root, "source-"));
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    return folder;
  };
  const bundle = async (files: Readonly<Record<string, string>>, options: Partial<CodeBundle> = {}) => {
    const folder = sourceOf(files);
    const given = { folder, entrypoint: "index.ts", runtime: "isolate", ...options } as const;
    const bundled = await bundleCode(await loadEsbuild(), given);
    return { ...bundled, code: Buffer.from(bundled.files.get("index.js") ?? "").toString() };
  };

  it("makes one module of TypeScript, packages and text, with what stands around the handler", async () => {
    const { code, files } = await bundle({
      "index.ts": `import left from "left"; import page from "./page.html"; import { tmpdir } from "os";
        enum Kind { One } export default { fetch: (request: Request) => new Response(left + page + Kind.One + tmpdir()) }`,
      "page.html": "<p>here</p>",
      "node_modules/left/package.json": '{"name":"left","main":"main.js"}',
      "node_modules/left/main.js": 'module.exports = "left-pad" + require("path").sep;',
    });

    assert.deepEqual([...files.keys()], ["index.js", "nodeless-lines.json"]);
    for (const part of [/left-pad/, /<p>here<\/p>/, /from "node:os"/, /from "node:path"/, /x-request-id/, /export \{/])
      assert.match(code, part);
    assert.doesNotMatch(code, /Dynamic require/);
  });

  it("gives WebAssembly as a module of its own", async () => {
    const { files, code } = await bundle({
      "index.ts": 'import add from "./add.wasm"; export default { fetch: () => new Response(String(add)) }',
      "add.wasm": "\0asm",
    });
    const [main, wasm = ""] = files.keys();

    assert.equal(main, "index.js");
    assert.match(wasm, /^add-\w+\.wasm$/);
    assert.ok(code.includes(`"./${wasm}"`));
  });

  it("says where code does not compile, with the line that it is about", async () => {
    const source = { "index.ts": "export default {\n  fetch() { return new Response('a) }\n}\n" };

    await assert.rejects(bundle(source), {
      kind: "BuildError",
      failure: {
        stage: "build",
        reason: "DoesNotCompile",
        message: "index.ts:2:38: Unterminated string literal\n    fetch() { return new Response('a) }",
        isPassing: false,
      },
    });
    await assert.rejects(bundle({ "index.ts": 'import { Hono } from "hono"; export default new Hono();' }), {
      message: /^index\.ts:1:22: Could not resolve "hono"\n.*\n {2}no node_modules has hono/,
    });
  });

  it("publishes nothing of what is outside of the folder", async () => {
    writeFileSync(join(root, "secret.json"), '{"password":"xyz"}');
    const foreign = { kind: "BuildError", failure: { reason: "OutsideOfSource" } };
    const code = (path: string) => ({
      "index.ts": `import secret from "${path}"; export default { fetch: () => secret };`,
    });
    const refused = async (files: Readonly<Record<string, string>>, prepare: (folder: string) => void = () => {}) => {
      const folder = sourceOf(files);
      prepare(folder);
      const bundling = bundleCode(await loadEsbuild(), { folder, entrypoint: "index.ts", runtime: "isolate" });
      await assert.rejects(bundling, (error: typeof foreign) => error.failure.reason === foreign.failure.reason);
    };

    await refused(code("../secret.json"));
    await refused(code(join(root, "secret.json")));
    await refused(code("./link.json"), (folder) => symlinkSync("../secret.json", join(folder, "link.json")));
  });

  it("bundles for Node with source maps and require()", async () => {
    const { code } = await bundle(
      { "index.ts": 'import fs from "fs"; export default () => new Response(String(fs))' },
      { runtime: "node" },
    );

    assert.match(code, /createRequire/);
    assert.match(code, /sourceMappingURL=data:/);
    assert.match(code, /serveNode\(/);
    const map = /sourceMappingURL=data:[^,]*,(\S+)/.exec(code)?.[1] ?? "";
    const { sources } = JSON.parse(Buffer.from(map, "base64").toString()) as { readonly sources: readonly string[] };
    assert.ok(sources.includes("index.ts") && sources.includes("nodeless:shim"), sources.join(", "));
  });

  it("bundles again what was changed, and names what it read", async () => {
    const folder = sourceOf({
      "index.ts": 'import { a } from "./a.ts"; export default () => new Response(a);',
      "a.ts": 'export const a = "first";',
    });
    const rebundler = await createRebundler(await loadEsbuild(), {
      folder,
      entrypoint: "index.ts",
      runtime: "isolate",
    });
    const codeOf = async () => Buffer.from((await rebundler.bundle()).files.get("index.js") ?? "").toString();
    try {
      assert.match(await codeOf(), /"first"/);
      writeFileSync(join(folder, "a.ts"), 'export const a = "second";');
      assert.match(await codeOf(), /"second"/);
      assert.deepEqual((await rebundler.bundle()).inputs.filter((path) => path.startsWith(folder)).toSorted(), [
        join(folder, "a.ts"),
        join(folder, "index.ts"),
      ]);
    } finally {
      await rebundler.dispose();
    }
  });
});

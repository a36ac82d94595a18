import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { bundleCode, linesFile } from "./bundle-code.ts";
import { loadEsbuild } from "./esbuild.ts";
import { type LineTable, lineTableOf } from "./line-table.ts";

describe("the table of a bundle's lines", () => {
  const folder = mkdtempSync(join(tmpdir(), "nl-lines-"));
  after(async () => {
    rmSync(folder, { recursive: true });
    await (await loadEsbuild()).stop();
  });
  const placeOf = ({ sources, runs }: LineTable, line: number): string => {
    let run: readonly number[] = [0, 0, 0];
    for (const steps of runs.split(";")) {
      const next = steps.split(",").map((step, index) => Number.parseInt(step || "0", 36) + (run[index] ?? 0));
      if ((next[0] ?? 0) > line) break;
      run = next;
    }
    const [from = 0, source = 0, first = 0] = run;
    return source < 0 ? "ours" : `${sources[source]}:${first + line - from}`;
  };

  it("joins lines that follow each other in both, and leaves out what is ours", () => {
    // Lines 1 and 2 of a.ts, line 5 of it, line 1 of the shim, line 7 of a.ts.
    const map = { sources: ["a.ts", "shim"], mappings: "AAAA;AACA;EAGA,IAAI;;ACJA;ADMA" };

    const table = lineTableOf("index.js", map, (source) => source === "shim");

    assert.deepEqual(table, {
      file: "index.js",
      sources: ["a.ts"],
      runs: "1,,1;2,,4;2,-1,-5;1,1,7",
    });
    assert.equal(placeOf(table, 4), "a.ts:6");
  });

  it("names each marked line of a real bundle, of the author's files and of packages", async () => {
    mkdirSync(join(folder, "node_modules/left"), { recursive: true });
    mkdirSync(join(folder, "lib"));
    writeFileSync(join(folder, "node_modules/left/package.json"), '{"name":"left","main":"main.js"}');
    writeFileSync(join(folder, "node_modules/left/main.js"), '\n\nexports.a = () => {\n\n  throw "here 5";\n};\n');
    writeFileSync(
      join(folder, "lib/b.ts"),
      '// b\ninterface B {\n  b: string;\n}\nexport const b = (): never => { throw "here 5"; };\n',
    );
    writeFileSync(
      join(folder, "index.ts"),
      'import left from "left";\nimport { b } from "./lib/b.ts";\ntype A = {\n  a: 1,\n};\n\nexport default {\n  fetch(): Response {\n    if (left.a()) throw "here 9";\n    b();\n    throw "here 11";\n  },\n};\n',
    );
    const { files } = await bundleCode(await loadEsbuild(), { folder, entrypoint: "index.ts", runtime: "isolate" });
    const code = Buffer.from(files.get("index.js") ?? "")
      .toString()
      .split("\n");
    const table = JSON.parse(Buffer.from(files.get(linesFile) ?? "").toString()) as LineTable;

    const marked = code.flatMap((text, index) => {
      const expected = /here (\d+)/.exec(text)?.[1];
      return expected === undefined ? [] : [[placeOf(table, index + 1), expected] as const];
    });

    assert.deepEqual(marked.map(([place]) => place).sort(), [
      "index.ts:11",
      "index.ts:9",
      "lib/b.ts:5",
      "node_modules/left/main.js:5",
    ]);
    assert.equal(placeOf(table, code.findIndex((text) => text.includes("x-request-id")) + 1), "ours");
    assert.ok(
      table.sources.every((source) => !source.includes("..")),
      "nothing says where nodeless is",
    );
  });
});

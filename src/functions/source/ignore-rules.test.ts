import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IgnoreRules } from "./ignore-rules.ts";

describe("patterns of files that do not belong to a function", () => {
  const cases: readonly (readonly [pattern: string, path: string, isFolder: boolean, verdict: boolean | undefined])[] =
    [
      ["*.log", "a.log", false, true],
      ["*.log", "deep/er/a.log", false, true],
      ["*.log", "a.logs", false, undefined],
      ["/a.txt", "a.txt", false, true],
      ["/a.txt", "b/a.txt", false, undefined],
      ["dist/", "dist", true, true],
      ["dist/", "dist", false, undefined],
      ["b/dist", "a/b/dist", true, undefined],
      ["**/b", "a/x/b", false, true],
      ["a/**/b", "a/b", false, true],
      ["a/**/b", "a/x/y/b", false, true],
      ["a/**", "a/x", false, true],
      ["a/**", "a", true, undefined],
      ["a?c", "abc", false, true],
      ["a?c", "a/c", false, undefined],
      ["[ab].txt", "b.txt", false, true],
      ["[!ab].txt", "b.txt", false, undefined],
      ["\\#x", "#x", false, true],
      ["# x", "# x", false, undefined],
      ["x   ", "x", false, true],
      ["a.b", "axb", false, undefined],
      ["ü*", "über", false, true],
    ];
  for (const [pattern, path, isFolder, verdict] of cases)
    it(`${JSON.stringify(pattern)} on ${path}${isFolder ? "/" : ""}: ${String(verdict)}`, () => {
      assert.equal(new IgnoreRules(pattern).verdict(path, isFolder), verdict);
    });

  it("the last one that fits decides", () => {
    const rules = new IgnoreRules("*.env\n!keep.env\n");

    assert.equal(rules.verdict("x.env", false), true);
    assert.equal(rules.verdict("keep.env", false), false);
  });
});

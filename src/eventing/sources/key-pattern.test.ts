import assert from "node:assert/strict";
import { it } from "node:test";
import { compileKeyPattern } from "./key-pattern.ts";

const cases: readonly (readonly [pattern: string, key: string, isTaken: boolean])[] = [
  ["", "a/b", true],
  ["*.png", "a.png", true],
  ["*.png", "a/b.png", false],
  ["*.png", "a.pngx", false],
  ["**/*.png", "a.png", true],
  ["**/*.png", "a/b/c.png", true],
  ["a/**/b", "a/b", true],
  ["a/**/b", "a/x/y/b", true],
  ["a/**", "a/x/y", true],
  ["a/**", "b/x", false],
  ["??.txt", "ab.txt", true],
  ["?.txt", "/.txt", false],
  ["[a].txt", "a.txt", false],
  ["a.c", "abc", false],
];

for (const [pattern, key, isTaken] of cases) {
  it(`a key pattern ${pattern} ${isTaken ? "takes" : "does not take"} ${key}`, () => {
    assert.equal(compileKeyPattern(pattern)(key), isTaken);
  });
}

it("a hostile key pattern takes no time that explodes", () => {
  const takes = compileKeyPattern(`${"*a".repeat(200)}b`);
  const before = process.cpuUsage();

  assert.equal(takes("a".repeat(1000)), false);

  const { user, system } = process.cpuUsage(before);
  assert(user + system < 5_000_000, `${user + system} µs`);
});

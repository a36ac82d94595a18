import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { previewName, roleOf, slugOf } from "./branch-names.ts";

describe("branches", () => {
  it("are themselves in names where they can be, and told apart where they cannot", () => {
    assert.equal(slugOf("blue"), "blue");
    assert.match(slugOf("feature/Blue"), /^feature-blue-[0-9a-f]{6}$/);
    assert.notEqual(slugOf("feature/blue"), slugOf("feature-blue-"));
    assert.match(slugOf("___"), /^[0-9a-f]{6}$/);
  });

  it("give names that hosts can have, however long they are", () => {
    for (const branch of ["x".repeat(200), "release/2026-11-21/a-b-c", "-", "é"]) {
      const name = previewName("a".repeat(63), branch);
      assert.ok(name.length <= 63 && /^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(name), name);
    }
  });

  it("are live, previews or only kept, as the repository says", () => {
    const of = (branches: readonly string[] | undefined, branch: string) =>
      roleOf({ spec: { branch: "trunk", ...(branches && { previews: { branches } }) } }, branch);

    assert.equal(of(undefined, "trunk"), "live");
    assert.equal(of(undefined, "any"), "preview");
    assert.equal(of(["feature/*"], "feature/a/b"), "preview");
    assert.equal(of(["feature/*"], "fix"), "stored");
    assert.equal(of([], "fix"), "stored");
    assert.equal(of(["a.c"], "abc"), "stored");
  });
});

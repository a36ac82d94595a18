import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planOf } from "./plan.ts";

describe("what a tree holds", () => {
  const folders = (...paths: readonly string[]) => planOf(paths).functions.map(({ folder }) => folder);

  it("is a function where its root looks like one, whatever else is in it", () => {
    for (const file of ["index.ts", "src/index.js", "Dockerfile", "function.yaml", "main.py"])
      assert.deepEqual(folders(file, "README.md", "api/index.ts", "other.yaml"), [""]);
    assert.equal(planOf(["index.ts", "a.yaml"]).manifests, undefined);
  });

  it("are several functions where its folders look like them", () => {
    assert.deepEqual(folders("README.md", "api/index.ts", "web/Dockerfile", "docs/x.md"), ["api", "web"]);
    assert.deepEqual(folders("functions/a/main.py", "functions/b/function.yaml"), ["functions/a", "functions/b"]);
    assert.deepEqual(folders("api/index.ts", ".github/index.js"), ["api"]);
  });

  it("is a kustomization, or manifests, at the root or in a folder of theirs", () => {
    assert.deepEqual(planOf(["kustomization.yaml", "a.yaml"]).manifests, { kind: "kustomization", folder: "" });
    assert.deepEqual(planOf(["k8s/b.yml", "k8s/a.json", "README.md"]).manifests, {
      kind: "files",
      files: ["k8s/a.json", "k8s/b.yml"],
    });
  });

  it("are functions and manifests beside each other", () => {
    const { functions, manifests } = planOf(["api/index.ts", "manifests/kustomization.yaml"]);

    assert.deepEqual(functions, [{ folder: "api", isOnly: false }]);
    assert.deepEqual(manifests, { kind: "kustomization", folder: "manifests" });
  });

  it("is nothing where there are only files of other tools", () => {
    assert.throws(() => planOf(["README.md", "package.json", "tsconfig.json", "nodeless.yaml"]), /nothing to deploy/);
  });
});

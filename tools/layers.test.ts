import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { checkLayers } from "./layers.ts";

function problemsOf(files: Readonly<Record<string, string>>): readonly string[] {
  const root = mkdtempSync(join(tmpdir(), "layers-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, "src", name)), { recursive: true });
      writeFileSync(join(root, "src", name), text);
    }
    return checkLayers(root).problems;
  } finally {
    rmSync(root, { recursive: true });
  }
}

test("a controller that imports the store breaks law 1", () => {
  const [problem] = problemsOf({ "controllers/job/job.ts": 'import type { Store } from "#store/store.ts";\n' });

  assert.match(problem ?? "", /Law 1/);
});

test("a part that imports another part breaks law 2", () => {
  const [problem] = problemsOf({ "scheduler/queue.ts": 'import { Kubelet } from "#kubelet/kubelet.ts";\n' });

  assert.match(problem ?? "", /Law 2/);
});

test("an import of cmd breaks law 3", () => {
  const [problem] = problemsOf({ "cli/up.ts": 'const x = await import("#cmd/nodeless.ts");\n' });

  assert.match(problem ?? "", /Law 3/);
});

test("a cycle of type imports is a cycle", () => {
  const problems = problemsOf({
    "client/a.ts": 'import type { B } from "./b.ts";\n',
    "client/b.ts": 'export type { A } from "./a.ts";\n',
  });

  assert.match(problems.join(), /import cycle: client\/a.ts → client\/b.ts → client\/a.ts/);
});

test("ways out of a room, barrels and default exports are refused", () => {
  const problems = problemsOf({
    "client/index.ts": "export default 1;\n",
    "api/core/pod.ts": 'import { x } from "../kind-facts.ts";\n',
  });

  assert.equal(problems.length, 3);
});

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { wantedFunction } from "./function-spec.ts";

type Flags = Readonly<Record<string, string | readonly string[]>>;

describe("what is to be deployed", () => {
  const of = (flags: Flags, ...positionals: readonly string[]) => wantedFunction({ positionals, flags });

  it("is a folder, with what its function.yaml says and, before that, what flags say", () => {
    const file = `apiVersion: nodeless.dev/v1alpha1
kind: Function
metadata: {name: from-file, labels: {a: b}}
spec:
  runtime: node
  env: [{name: A, value: file}, {name: B, value: file}]
  scale: {min: 1, window: 30s}
  resources: {limits: {cpu: 1}}
`;
    withFolder({ "function.yaml": file }, (folder) => {
      const wanted = of({
        source: folder,
        env: ["A=flag=1"],
        window: "6s",
        memory: "64Mi",
        allow: ["none"],
        secret: ["keys"],
      });

      assert.deepEqual(wanted, {
        name: "from-file",
        folder,
        metadata: { labels: { a: "b" } },
        spec: {
          runtime: "node",
          env: [
            { name: "B", value: "file" },
            { name: "A", value: "flag=1" },
          ],
          scale: { min: 1, window: "6s" },
          resources: { limits: { cpu: 1, memory: "64Mi" } },
          secrets: ["keys"],
          network: { outbound: { allow: [] } },
        },
      });
    });
  });

  it("is what the folder can only be, when nobody says it", () => {
    for (const [name, runtime] of [
      ["Dockerfile", "container"],
      ["main.py", "python"],
      ["index.ts", "isolate"],
    ] as const)
      withFolder({ [name]: "" }, (folder) => assert.equal(of({ source: folder }, "x").spec.runtime, runtime));
  });

  it("is a repository or an image of somewhere else", () => {
    assert.deepEqual(of({ git: "https://x/y.git", revision: "v1", path: "fn" }, "api"), {
      name: "api",
      folder: undefined,
      metadata: {},
      spec: { source: { git: { url: "https://x/y.git", revision: "v1", path: "fn" } } },
    });
    assert.deepEqual(of({ image: "nginx" }, "web").spec, { runtime: "container", source: { image: "nginx" } });
  });

  it("is refused with a word on what is wrong", () => {
    withFolder({ "function.yaml": "kind: Pod\n" }, (folder) => {
      assert.throws(() => of({ source: folder }, "x"), /function\.yaml is no Function/);
    });
    withFolder({}, (folder) => {
      assert.throws(() => of({ source: join(folder, "absent") }, "x"), /is no folder/);
      assert.throws(() => of({ source: folder, env: ["A"] }, "x"), /--env wants NAME=VALUE, not "A"/);
      assert.throws(() => of({ source: folder, memory: "128" }, "x"), /--memory 128 is less than a megabyte/);
      assert.throws(
        () => of({ source: folder, memory: "1GB" }, "x"),
        /--memory wants an amount such as 128Mi, not "1GB"/,
      );
      assert.throws(() => of({ source: folder, concurrency: "many" }, "x"), /--concurrency must be a whole number/);
    });
    assert.throws(() => of({ git: "https://x", image: "y" }, "x"), /not both/);
    assert.throws(() => of({ image: "nginx" }), /wants the function's NAME/);
    assert.throws(() => of({ image: "nginx", source: "." }, "x"), /takes --source or --image, not both/);
    assert.throws(() => of({ path: "fn" }, "x"), /--path is about a repository: say with --git which one/);
    assert.throws(() => of({ image: "nginx", revision: "v1" }, "x"), /--revision is about a repository/);
    for (const name of ["Bad_Name", "-a", "1a", "a".repeat(64)])
      assert.throws(() => of({ image: "nginx" }, name), { exitCode: 2, message: /cannot name a function/ });
    for (const source of ["/", homedir()])
      assert.throws(() => of({ source }, "x"), { exitCode: 2, message: /is not the folder of one function/ });
  });
});

function withFolder(files: Readonly<Record<string, string>>, body: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "nl-spec-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { announceHosts } from "#images/registry/hosts.ts";
import { loadLibc } from "#linux/libc.ts";

it("a build waits for its turn at the image store, however long nothing else is to do", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "nl-function-build-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [work, imageStore] = [join(folder, "work"), join(folder, "images")];
  for (const one of [work, imageStore]) mkdirSync(one);
  await announceHosts(imageStore, "test", { address: "localhost:5000", hosts: ["localhost:5000"], path: folder });
  const lock = openSync(join(imageStore, "lock"), "a", 0o600);
  assert.ok((await loadLibc()).tryLock(lock));
  const job = {
    work,
    imageStore,
    cluster: "test",
    repository: "functions/test/default/hello",
    runtime: "isolate",
    source: { inline: { files: { "index.js": "export default () => new Response('hello');" } } },
    bases: { node: "none", python: "none" },
    buildah: { program: undefined, folder: join(folder, "buildah"), searchPath: "" },
    mostSourceBytes: 1 << 20,
  };

  const build = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "src/cmd/function-build.ts"]);
  t.after(() => build.kill("SIGKILL"));
  let [told, complaints] = ["", ""];
  const bundled = Promise.withResolvers<void>();
  build.stdout.on("data", (piece) => {
    told += String(piece);
    if (told.includes("Bundled")) bundled.resolve();
  });
  build.stderr.on("data", (piece) => (complaints += String(piece)));
  const ended = once(build, "exit");
  build.stdin.end(JSON.stringify(job));
  await Promise.race([bundled.promise, ended]);
  // Longer than it takes to come to the lock: a process with nothing to do ends at once.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const codeWhileLocked = build.exitCode;
  closeSync(lock);
  const [code] = await ended;

  assert.equal(codeWhileLocked, null, complaints);
  assert.equal(code, 0, complaints);
  assert.match(told, /"image":"\S*functions\/test\/default\/hello@sha256:/);
});

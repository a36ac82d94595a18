/**
 * The containers provider on this machine, with real crun (or runc) and conmon. Root only; about a minute.
 * Run: node tools/node24.mjs test/e2e/containers-runtime.e2e.ts (with NODELESS_TEST_RUNTIME=runc for the fallback)
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { loadImages } from "#images/load.ts";
import { containerRuntimeSuite } from "#kubelet/container-runtime-suite.ts";
import type { RuntimeUnderTest } from "#kubelet/container-runtime-suite/suite-house.ts";
import { createContainersProvider } from "#providers/containers/create.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { runInside, testCgroup, testFolder } from "./inside-namespaces.ts";

const folder = testFolder();
const isRoot = process.getuid?.() === 0;
const linkPrefix = "nlsuite";

if (folder === undefined) {
  test("the containers provider keeps the contract", { skip: !isRoot && "needs root" }, async () => {
    assert.equal(await runInside(import.meta.filename), 0);
  });
} else {
  containerRuntimeSuite("containers provider", () => make(folder));
}

async function make(root: string): Promise<RuntimeUnderTest> {
  const options = {
    stateFolder: join(root, "state"),
    runFolder: join(root, "r"),
    imagesFolder: join(root, "images"),
    podCidr: "10.98.0.0/24",
    cgroupParent: testCgroup(root),
    linkPrefix,
    searchPath: process.env["PATH"] ?? "",
    ociRuntime: process.env["NODELESS_TEST_RUNTIME"] === "runc" ? ("runc" as const) : undefined,
    clock: systemClock,
    logger: createLogger({ level: "error" }),
  };
  // As a careful administrator's shell has it: containers must not notice.
  process.umask(0o077);
  const logFolder = join(root, "logs");
  mkdirSync(logFolder, { recursive: true });
  let provider = await createContainersProvider(options);
  await provider.runtime.start(new AbortController().signal);
  await loadImages(provider.imageStore, await ensureLayout("busybox"));
  return {
    runtime: provider.runtime,
    images: provider.images,
    imageReference: "busybox",
    logFolder,
    async restart() {
      await provider.runtime.stop();
      provider = await createContainersProvider(options);
      await provider.runtime.start(new AbortController().signal);
      return provider.runtime;
    },
    async close() {
      for (const sandbox of await provider.runtime.listSandboxes()) await provider.runtime.removeSandbox(sandbox.pod);
      await provider.runtime.stop();
      await assertNothingLeft(root);
    },
  };
}

async function assertNothingLeft(root: string): Promise<void> {
  assert.deepEqual(readdirSync(join(root, "state", "containers")), []);
  assert.deepEqual(readdirSync(join(root, "state", "sandboxes")), []);
  assert.deepEqual(readdirSync(join(root, "r", "ns")), []);
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  assert.deepEqual(
    mounts.filter((line) => line.includes(join(root, "state"))),
    [],
  );
  const links = () => execFileSync("ip", ["-o", "link"], { encoding: "utf8" });
  // The kernel takes devices away a moment after their namespaces.
  for (let tries = 0; tries < 100 && links().includes(linkPrefix); tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.doesNotMatch(links(), new RegExp(linkPrefix));
  for (const controller of ["memory", "pids", "cpu", ""]) {
    const left = join("/sys/fs/cgroup", controller, testCgroup(root));
    if (existsSync(left)) execFileSync("find", [left, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
    assert.ok(!existsSync(left), `${left} is gone`);
  }
}

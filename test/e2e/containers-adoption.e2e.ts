/**
 * What a restarted agent finds when things went wrong before: monitors killed, the agent killed in the middle of a start, the machine restarted. Root only.
 * Run: node tools/node24.mjs test/e2e/containers-adoption.e2e.ts
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { loadImages } from "#images/load.ts";
import type { ContainerSpec, ContainerState } from "#kubelet/container-runtime.ts";
import { plainSecurity, sandboxSpec } from "#kubelet/container-runtime-suite/suite-house.ts";
import type { PodRef } from "#kubelet/provider.ts";
import { openCgroups } from "#linux/cgroups/open-cgroups.ts";
import { type ContainersProvider, createContainersProvider } from "#providers/containers/create.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { runInside, testCgroup, testFolder } from "./inside-namespaces.ts";

const folder = testFolder();
const never = new AbortController().signal;
const crashVariable = "NODELESS_TEST_CRASH";

if (folder === undefined) {
  test("a restarted agent finds its way", { skip: process.getuid?.() !== 0 && "needs root" }, async () => {
    assert.equal(await runInside(import.meta.filename), 0);
  });
} else if (process.env[crashVariable] !== undefined) {
  await startForEver(folder);
} else {
  defineTests(folder);
}

function defineTests(root: string): void {
  let provider: ContainersProvider;
  const changes: ContainerState[] = [];

  before(async () => {
    provider = await open(root);
    await loadImages(provider.imageStore, await ensureLayout("busybox"));
    provider.runtime.onChange((state) => changes.push(state));
  });
  after(async () => {
    for (const sandbox of await provider.runtime.listSandboxes()) await provider.runtime.removeSandbox(sandbox.pod);
    await provider.runtime.stop();
    // The network of the one that « was restarted » is nobody's; a real restart would have taken it along.
  });

  async function reopen(): Promise<void> {
    await provider.runtime.stop();
    provider = await open(root);
    provider.runtime.onChange((state) => changes.push(state));
  }

  test("a container whose monitor was killed is killed too, and says why", async () => {
    const { id, pod } = await start(provider, root, "orphan");
    const { monitor, container } = recordOf(root, id);

    process.kill(monitor.pid, "SIGKILL");

    const state = await changed(changes, id);
    assert.equal(state.exitCode, 137);
    assert.match(state.message ?? "", /monitor of the container died/);
    assert.ok(!existsSync(`/proc/${container.pid}/root/bin`), "its process is gone");
    await provider.runtime.removeSandbox(pod);
  });

  test("a monitor that was killed while no agent ran is noticed at the next start", async () => {
    const { id, pod } = await start(provider, root, "orphan-later");
    const { monitor } = recordOf(root, id);
    await provider.runtime.stop();
    process.kill(monitor.pid, "SIGKILL");

    provider = await open(root);
    provider.runtime.onChange((state) => changes.push(state));

    assert.match((await changed(changes, id)).message ?? "", /monitor of the container died/);
    await provider.runtime.removeSandbox(pod);
  });

  test("an agent killed in the middle of starts leaves nothing that its successor does not know or remove", async () => {
    for (let round = 0; round < 5; round++) {
      const child = crashChild();
      await new Promise((resolve) => setTimeout(resolve, 400 + 97 * round));
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("exit", resolve));
      await reopen();

      const known = await provider.runtime.listContainers();
      assert.ok(known.every((state) => state.phase !== "created"));
      const onDisk = readdirSync(join(root, "state", "containers"));
      assert.deepEqual(onDisk.sort(), known.map((state) => state.id).sort());
      for (const sandbox of await provider.runtime.listSandboxes()) await provider.runtime.removeSandbox(sandbox.pod);

      assert.deepEqual(openCgroups().listProcesses(testCgroup(root)), [], "no process is left");
      assert.deepEqual(readdirSync(join(root, "r", "ns")), [], "no namespace is left");
      assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(`${root}/state`), "no mount is left");
    }
  });

  test("after a restart of the machine sandboxes are not ready and containers have ended", async () => {
    const { id, pod } = await start(provider, root, "rebooted");
    const { container } = recordOf(root, id);
    await provider.runtime.stop();
    process.kill(container.pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const path of [join(root, "state/containers", id), join(root, "state/sandboxes", pod.uid)]) {
      const file = join(path, "record.json");
      writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, "utf8")) as object), bootId: "another" }));
    }

    await reopen();

    const [sandbox] = (await provider.runtime.listSandboxes()).filter((other) => other.pod.uid === pod.uid);
    assert.equal(sandbox?.ready, false);
    const [state] = (await provider.runtime.listContainers()).filter((other) => other.id === id);
    assert.equal(state?.phase, "exited");
    assert.match(state?.message ?? "", /machine was restarted/);
    await assert.rejects(provider.runtime.ensureSandbox(sandboxSpec(pod), never), /must be removed first/);
    await provider.runtime.removeSandbox(pod);
    assert.equal((await provider.runtime.ensureSandbox(sandboxSpec(pod), never)).ready, true);
    await provider.runtime.removeSandbox(pod);
  });
}

/** Starts pods one after another until it is killed: what the crashing agent does. */
async function startForEver(root: string): Promise<void> {
  const provider = await open(root);
  for (let index = 0; ; index++) {
    const batch = [0, 1, 2].map((part) => start(provider, root, `crash-${process.pid}-${index}-${part}`));
    await Promise.all(batch);
  }
}

function crashChild(): ChildProcess {
  return spawn(process.execPath, [import.meta.filename], {
    stdio: "inherit",
    env: { ...process.env, [crashVariable]: "1" },
  });
}

async function open(root: string): Promise<ContainersProvider> {
  mkdirSync(join(root, "logs"), { recursive: true });
  const provider = await createContainersProvider({
    stateFolder: join(root, "state"),
    runFolder: join(root, "r"),
    imagesFolder: join(root, "images"),
    podCidr: "10.96.0.0/24",
    cgroupParent: testCgroup(root),
    linkPrefix: "nladopt",
    searchPath: process.env["PATH"] ?? "",
    clock: systemClock,
    logger: createLogger({ level: "error" }),
  });
  await provider.runtime.start(never);
  return provider;
}

async function start(
  provider: ContainersProvider,
  root: string,
  name: string,
): Promise<{ readonly id: string; readonly pod: PodRef }> {
  const pod = { namespace: "adoption", name, uid: `uid-${name}` };
  const image = await provider.images.findImage("busybox");
  const spec: ContainerSpec = {
    pod,
    name: "main",
    attempt: 0,
    imageId: image?.id ?? "",
    command: ["sleep", "100000"],
    args: [],
    env: [],
    mounts: [],
    devices: [],
    security: plainSecurity,
    resources: {},
    oomScoreAdj: 1000,
    tty: false,
    stdin: false,
    stdinOnce: false,
    logPath: join(root, "logs", `${name}.log`),
  };
  await provider.runtime.ensureSandbox(sandboxSpec(pod), never);
  const { id } = await provider.runtime.startContainer(spec, never);
  return { id, pod };
}

function recordOf(
  root: string,
  id: string,
): { readonly monitor: { readonly pid: number }; readonly container: { readonly pid: number } } {
  return JSON.parse(readFileSync(join(root, "state/containers", id, "record.json"), "utf8")) as ReturnType<
    typeof recordOf
  >;
}

async function changed(changes: readonly ContainerState[], id: string): Promise<ContainerState> {
  for (let tries = 0; tries < 500; tries++) {
    const found = changes.find((state) => state.id === id);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("the change was not told");
}

/**
 * How long a sandbox with one busybox container takes, from nothing to its process running and away again: one after another, and many at once. Root only.
 * Run: node tools/node24.mjs bench/containers.ts [COUNT]
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { loadImages } from "#images/load.ts";
import type { ContainerSpec } from "#kubelet/container-runtime.ts";
import { plainSecurity, sandboxSpec } from "#kubelet/container-runtime-suite/suite-house.ts";
import type { PodRef } from "#kubelet/provider.ts";
import { type ContainersProvider, createContainersProvider } from "#providers/containers/create.ts";
import { runInside, testCgroup, testFolder } from "../test/e2e/inside-namespaces.ts";
import { ensureLayout } from "../tools/image-builder/build.ts";

const folder = testFolder();
if (folder === undefined) process.exitCode = await runInside(import.meta.filename);
else await measure(folder, Number(process.argv[2] ?? 30));

async function measure(root: string, count: number): Promise<void> {
  const provider = await createContainersProvider({
    stateFolder: join(root, "state"),
    runFolder: join(root, "r"),
    imagesFolder: join(root, "images"),
    podCidr: "10.97.0.0/24",
    cgroupParent: testCgroup(root),
    linkPrefix: "nlbench",
    searchPath: process.env["PATH"] ?? "",
    clock: systemClock,
    logger: createLogger({ level: "error" }),
  });
  // The runtime's own timers do not keep a process alive; a node's process has servers that do.
  const alive = setInterval(() => {}, 60_000);
  await provider.runtime.start(new AbortController().signal);
  const layout = await ensureLayout("busybox");
  const [image] = await loadImages(provider.imageStore, layout);
  const logs = join(root, "logs");
  mkdirSync(logs);
  const one = (name: string) => startPod(provider, image?.id ?? "", logs, name);

  await one("warm-up");
  const rows: Steps[] = [];
  for (let index = 0; index < count; index++) rows.push(await one(`after-${index}`));
  report(
    "one after another, total",
    rows.map((row) => row.sandboxMs + row.containerMs),
  );
  report(
    "  sandbox",
    rows.map((row) => row.sandboxMs),
  );
  report(
    "  container",
    rows.map((row) => row.containerMs),
  );
  const removing: number[] = [];
  for (const row of rows) removing.push(await time(() => provider.runtime.removeSandbox(row.pod)));
  report("  kill and remove", removing);

  for (const wide of [2, 4, 30]) {
    const pods: PodRef[] = [];
    const names = Array.from({ length: 2 * 30 }, (_, index) => `wide-${wide}-${index}`);
    const tookMs = await time(async () => {
      const worker = async (): Promise<void> => {
        for (let name = names.shift(); name !== undefined; name = names.shift()) pods.push((await one(name)).pod);
      };
      await Promise.all(Array.from({ length: wide }, worker));
    });
    const awayMs = await time(() => Promise.all(pods.map((pod) => provider.runtime.removeSandbox(pod))));
    console.log(
      `${wide} at once: ${((pods.length * 1000) / tookMs).toFixed(1)} started/s, ${((pods.length * 1000) / awayMs).toFixed(1)} removed/s`,
    );
  }
  for (const sandbox of await provider.runtime.listSandboxes()) await provider.runtime.removeSandbox(sandbox.pod);
  await provider.runtime.stop();
  clearInterval(alive);
}

type Steps = { readonly pod: PodRef; readonly sandboxMs: number; readonly containerMs: number };

async function startPod(provider: ContainersProvider, imageId: string, logs: string, name: string): Promise<Steps> {
  const pod = { namespace: "bench", name, uid: `uid-${name}` };
  const never = new AbortController().signal;
  const spec: ContainerSpec = {
    pod,
    name: "main",
    attempt: 0,
    imageId,
    command: ["sleep", "100000"],
    args: [],
    env: [],
    mounts: [],
    devices: [],
    security: plainSecurity,
    resources: { cpuShares: 2 },
    oomScoreAdj: 1000,
    tty: false,
    stdin: false,
    stdinOnce: false,
    logPath: join(logs, `${name}.log`),
  };
  const sandboxMs = await time(() => provider.runtime.ensureSandbox(sandboxSpec(pod), never));
  const containerMs = await time(() => provider.runtime.startContainer(spec, never));
  return { pod, sandboxMs, containerMs };
}

async function time(work: () => Promise<unknown>): Promise<number> {
  const begunMs = performance.now();
  await work();
  return performance.now() - begunMs;
}

function report(what: string, values: readonly number[]): void {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1);
  console.log(`${what}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
}

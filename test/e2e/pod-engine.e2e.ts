/**
 * The pod engine on real containers keeps the contract of providers. Root only.
 * Run: node tools/node24.mjs test/e2e/pod-engine.e2e.ts
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { loadImages } from "#images/load.ts";
import { PodEngine } from "#kubelet/engine/pod-engine.ts";
import { silentEvents } from "#kubelet/events.ts";
import { type ProviderUnderTest, providerSuite } from "#kubelet/provider-suite.ts";
import { MemoryObjects } from "#kubelet/testing/engine-house.ts";
import { systemMounts } from "#kubelet/volumes/mounts.ts";
import { VolumeManager } from "#kubelet/volumes/volume-manager.ts";
import { createContainersProvider } from "#providers/containers/create.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { runInside, testCgroup, testFolder } from "./inside-namespaces.ts";

const folder = testFolder();
const isRoot = process.getuid?.() === 0;
const never = new AbortController().signal;

if (folder === undefined) {
  test("the pod engine on containers keeps the contract", { skip: !isRoot && "needs root" }, async () => {
    assert.equal(await runInside(import.meta.filename), 0);
  });
} else {
  providerSuite("pod engine on containers", () => make(folder));
}

async function make(root: string): Promise<ProviderUnderTest> {
  const logger = createLogger({ level: "error" });
  const containers = await createContainersProvider({
    stateFolder: join(root, "state"),
    runFolder: join(root, "r"),
    imagesFolder: join(root, "images"),
    podCidr: "10.96.0.0/24",
    cgroupParent: testCgroup(root),
    linkPrefix: "nlengine",
    searchPath: process.env["PATH"] ?? "",
    clock: systemClock,
    logger,
  });
  await containers.runtime.start(never);
  await loadImages(containers.imageStore, await ensureLayout("busybox"));
  const folders = { root: join(root, "kubelet"), logs: join(root, "logs") };
  await mkdir(folders.root, { recursive: true });
  const objects = new MemoryObjects();
  const allocatable = () => ({ cpu: "2", memory: "4Gi" });
  const common = { folders, objects, clock: systemClock, logger };
  const volumes = new VolumeManager({ ...common, mounts: await systemMounts(), hostIPs: [], allocatable });
  const engine = new PodEngine({
    ...common,
    runtime: containers.runtime,
    images: containers.images,
    volumes,
    events: silentEvents,
    node: {
      hostIPs: ["127.0.0.1"],
      clusterDns: [],
      clusterDomain: "cluster.local",
      memoryBytes: 4 * 2 ** 30,
      allocatable,
      pidsLimit: undefined,
      resolvConf: "/etc/resolv.conf",
      seccompFolder: folders.root,
    },
  });
  await engine.start(never);
  return {
    provider: engine,
    image: "busybox",
    command: ["sleep", "1000"],
    async close() {
      for (const { ref } of await engine.listPods()) await engine.deletePod(ref, 0, never);
      await engine.stop();
      await containers.runtime.stop();
    },
  };
}

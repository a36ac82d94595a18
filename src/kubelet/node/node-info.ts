/**
 * What this machine is: what node.status tells of it. Read once at start from /proc and os-release; nothing here changes while the machine runs.
 */
import { readFile, statfs } from "node:fs/promises";
import { arch, availableParallelism, release, totalmem } from "node:os";
import type { NodeSystemInfo } from "#api/generated/types/core-v1.ts";

/** Facts of the machine. Bytes, counts, and the strings of nodeInfo. */
export type MachineInfo = {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly storageBytes: number;
  readonly system: Omit<NodeSystemInfo, "containerRuntimeVersion" | "kubeletVersion" | "kubeProxyVersion">;
};

/** Reads the facts; `dataDir` is where pods write to (its file system is the node's ephemeral storage). */
export async function readMachineInfo(dataDir: string): Promise<MachineInfo> {
  const [machineID, systemUUID, bootID, osImage, storageBytes] = await Promise.all([
    readLine("/etc/machine-id"),
    readLine("/sys/class/dmi/id/product_uuid"),
    readLine("/proc/sys/kernel/random/boot_id"),
    readOsImage(),
    readStorageBytes(dataDir),
  ]);
  return {
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    storageBytes,
    system: {
      architecture: kubernetesArchitecture(),
      bootID,
      kernelVersion: release(),
      machineID,
      operatingSystem: "linux",
      osImage,
      systemUUID: systemUUID || machineID,
    },
  };
}

/** Go's name of this machine's architecture, as labels and nodeInfo use it. */
export function kubernetesArchitecture(): string {
  return { x64: "amd64", ia32: "386" }[arch() as string] ?? arch();
}

async function readOsImage(): Promise<string> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? "Linux";
}

async function readStorageBytes(folder: string): Promise<number> {
  const facts = await statfs(folder).catch(() => undefined);
  return facts ? facts.blocks * facts.bsize : 0;
}

async function readLine(path: string): Promise<string> {
  return (await readFile(path, "utf8").catch(() => "")).trim();
}

/**
 * How the machine feels: memory, disk and process numbers left, as the conditions of the Node tell. Three small reads each time.
 */
import { readFile, statfs } from "node:fs/promises";
import type { NodeHealth } from "./node-object.ts";

/** From when on the node is under pressure. Memory as upstream's eviction-hard; disk is upstream's 10 %, but never more than 2 GiB, for large disks of laptops. */
export type PressureBounds = {
  readonly memoryBytes: number;
  readonly diskFraction: number;
  readonly diskBytes: number;
  readonly inodesFraction: number;
  readonly pidsFraction: number;
};

export const defaultBounds: PressureBounds = {
  memoryBytes: 100 * 2 ** 20,
  diskFraction: 0.1,
  diskBytes: 2 * 2 ** 30,
  inodesFraction: 0.05,
  pidsFraction: 0.02,
};

/** Looks at the machine. `folder` lies on the disk that pods write to. */
export async function readNodeHealth(folder: string, bounds: PressureBounds): Promise<NodeHealth> {
  const [memoryPressure, diskPressure, pidPressure] = await Promise.all([
    isMemoryShort(bounds),
    isDiskShort(folder, bounds),
    isPidShort(bounds),
  ]);
  return { memoryPressure, diskPressure, pidPressure, notReady: [] };
}

async function isMemoryShort({ memoryBytes }: PressureBounds): Promise<boolean> {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const kibibytes = /^MemAvailable:\s+(\d+)/m.exec(text)?.[1];
  return kibibytes !== undefined && Number(kibibytes) * 1024 < memoryBytes;
}

async function isDiskShort(folder: string, bounds: PressureBounds): Promise<boolean> {
  const facts = await statfs(folder).catch(() => undefined);
  if (!facts || facts.blocks === 0) return false;
  const freeBytes = facts.bavail * facts.bsize;
  const isFull = freeBytes < bounds.diskBytes && facts.bavail / facts.blocks < bounds.diskFraction;
  return isFull || (facts.files > 0 && facts.ffree / facts.files < bounds.inodesFraction);
}

async function isPidShort({ pidsFraction }: PressureBounds): Promise<boolean> {
  const [load, max] = await Promise.all(
    ["/proc/loadavg", "/proc/sys/kernel/pid_max"].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  const used = Number(/\/(\d+) /.exec(load ?? "")?.[1] ?? 0);
  const limit = Number(max);
  return limit > 0 && (limit - used) / limit < pidsFraction;
}

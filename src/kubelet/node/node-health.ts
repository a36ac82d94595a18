/**
 * How the machine feels: memory, disk and process numbers left, as the conditions of the Node tell. Three small reads each time. A pressure is told for five minutes after
 * it was last seen, as upstream's eviction-pressure-transition-period has it, so that a node at the edge does not take pods and end them in turn.
 */
import { readFile, statfs } from "node:fs/promises";
import type { Clock } from "#component-base/clock.ts";
import type { NodeHealth, Shortage } from "./node-object.ts";

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

const transitionMs = 5 * 60_000;

type Pressure = "memoryPressure" | "diskPressure" | "pidPressure";

/** What the machine has left, by what pressure it means. */
export type Measurements = { readonly shortages: readonly Shortage[]; readonly pidPressure: boolean };

/** Looks at the machine, and remembers pressure for a while. */
export class HealthReader {
  readonly #measure: () => Promise<Measurements>;
  readonly #clock: Clock;
  readonly #seenMs = new Map<Pressure, number>();

  constructor(measure: () => Promise<Measurements>, clock: Clock) {
    this.#measure = measure;
    this.#clock = clock;
  }

  async read(): Promise<NodeHealth> {
    const { shortages, pidPressure } = await this.#measure();
    const isShortOf = (resource: Shortage["resource"]) => shortages.some((it) => it.resource === resource);
    return {
      memoryPressure: this.#lasting("memoryPressure", isShortOf("memory")),
      diskPressure: this.#lasting("diskPressure", isShortOf("ephemeral-storage")),
      pidPressure: this.#lasting("pidPressure", pidPressure),
      shortages,
      notReady: [],
    };
  }

  #lasting(pressure: Pressure, isThere: boolean): boolean {
    const nowMs = this.#clock.now();
    if (isThere) this.#seenMs.set(pressure, nowMs);
    const seenMs = this.#seenMs.get(pressure);
    return seenMs !== undefined && nowMs - seenMs < transitionMs;
  }
}

/** Looks at the machine. `folder` lies on the disk that pods write to. */
export async function measureMachine(folder: string, bounds: PressureBounds): Promise<Measurements> {
  const [memory, disk, pidPressure] = await Promise.all([
    memoryShortage(bounds),
    diskShortage(folder, bounds),
    isPidShort(bounds),
  ]);
  return { shortages: [memory, disk].filter((it) => it !== undefined), pidPressure };
}

async function memoryShortage({ memoryBytes: threshold }: PressureBounds): Promise<Shortage | undefined> {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const kibibytes = /^MemAvailable:\s+(\d+)/m.exec(text)?.[1];
  const available = Number(kibibytes) * 1024;
  if (kibibytes === undefined || available >= threshold) return undefined;
  return { resource: "memory", signal: "memory.available", threshold, available };
}

async function diskShortage(folder: string, bounds: PressureBounds): Promise<Shortage | undefined> {
  const facts = await statfs(folder).catch(() => undefined);
  if (!facts || facts.blocks === 0) return undefined;
  const available = facts.bavail * facts.bsize;
  const threshold = Math.min(bounds.diskBytes, facts.blocks * facts.bsize * bounds.diskFraction);
  if (available < threshold)
    return { resource: "ephemeral-storage", signal: "nodefs.available", threshold: Math.floor(threshold), available };
  const inodes = Math.floor(facts.files * bounds.inodesFraction);
  if (facts.files === 0 || facts.ffree >= inodes) return undefined;
  return { resource: "ephemeral-storage", signal: "nodefs.inodesFree", threshold: inodes, available: facts.ffree };
}

async function isPidShort({ pidsFraction }: PressureBounds): Promise<boolean> {
  const [load, max] = await Promise.all(
    ["/proc/loadavg", "/proc/sys/kernel/pid_max"].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  const used = Number(/\/(\d+) /.exec(load ?? "")?.[1] ?? 0);
  const limit = Number(max);
  return limit > 0 && (limit - used) / limit < pidsFraction;
}

/**
 * Both reasons why a node ends pods of itself, joined with what pods use: too little memory or disk, and pods that write more than they may.
 */
import type { NodeHealth, Shortage } from "#kubelet/node/node-object.ts";
import { refOf } from "#kubelet/pod-object.ts";
import type { PodDisk, PodDiskUsage, PodStats } from "#kubelet/provider.ts";
import { NodePressureEviction, type NodePressureOptions, type ResourceUse } from "./node-pressure.ts";
import { StorageLimits } from "./storage-limits.ts";

export type PodEvictionsOptions = Omit<NodePressureOptions, "usage"> & {
  /** What pods use, as far as their provider tells. */
  readonly stats: Partial<PodStats> & Partial<PodDisk>;
};

/** Ends pods where the node must. */
export class PodEvictions {
  readonly #options: PodEvictionsOptions;
  readonly #pressure: NodePressureEviction;
  readonly #limits: StorageLimits;
  #isLooking = false;

  constructor(options: PodEvictionsOptions) {
    this.#options = options;
    this.#pressure = new NodePressureEviction({ ...options, usage: (resource) => this.#usage(resource) });
    this.#limits = new StorageLimits({ ...options, disk: async (refs) => (await options.stats.podDisk?.(refs)) ?? [] });
  }

  /** One look; called every few seconds. Does nothing while the last one lasts. Never rejects. */
  async look({ shortages = [] }: NodeHealth): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      await this.#limits.check();
      for (const shortage of shortages) await this.#pressure.relieve(shortage);
    } catch (error) {
      this.#options.logger.warn("Could not look at what pods use", { error });
    } finally {
      this.#isLooking = false;
    }
  }

  async #usage(resource: Shortage["resource"]): Promise<readonly ResourceUse[]> {
    const { stats, pods } = this.#options;
    if (resource === "memory") return ((await stats.podUsage?.()) ?? []).map(memoryUse);
    return ((await stats.podDisk?.(pods().map(refOf))) ?? []).map(diskUse);
  }
}

function memoryUse({ ref, containers }: Awaited<ReturnType<PodStats["podUsage"]>>[number]): ResourceUse {
  const uses = containers.map(({ name, memoryWorkingSetBytes }) => ({ name, bytes: memoryWorkingSetBytes }));
  return { ref, containers: uses, sharedBytes: 0 };
}

function diskUse({ ref, containers, volumes }: PodDiskUsage): ResourceUse {
  const uses = containers.map(({ name, logBytes, rootBytes }) => ({ name, bytes: logBytes + rootBytes }));
  return { ref, containers: uses, sharedBytes: [...volumes.values()].reduce((total, bytes) => total + bytes, 0) };
}

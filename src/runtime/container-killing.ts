/**
 * Ends processes of containers, and takes away what held them: however far a container had come, and whoever else is in its control group.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Cgroups } from "#linux/cgroups/cgroups.ts";
import { signalProcess } from "#linux/processes.ts";
import type { ContainerRecord } from "./container-record.ts";
import { findMonitors } from "./monitors.ts";
import type { ProcessMaker } from "./process-maker.ts";

export type KillingParts = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maker: Pick<ProcessMaker, "abort">;
  readonly cgroups: Cgroups;
};

export class ContainerKilling {
  readonly #parts: KillingParts;

  constructor(parts: KillingParts) {
    this.#parts = parts;
  }

  /** Its first process, and all others. */
  kill(record: ContainerRecord): void {
    if (record.container) signalProcess(record.container, "SIGKILL");
    this.killAll(record);
  }

  /** All processes of its control group. */
  killAll(record: ContainerRecord): void {
    for (const pid of this.#parts.cgroups.listProcesses(record.cgroupPath)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself in the meantime.
      }
    }
  }

  /** Resolves when none is left, or after a few seconds with what cannot be killed. */
  async killUntilGone(record: ContainerRecord): Promise<void> {
    for (let waitMs = 1; waitMs < 5000; waitMs *= 2) {
      this.kill(record);
      if (this.#parts.cgroups.listProcesses(record.cgroupPath).length === 0) return;
      await this.#parts.clock.sleep(waitMs);
    }
  }

  wasOutOfMemory(record: ContainerRecord, folder: string): boolean {
    return existsSync(join(folder, "oom")) || this.#parts.cgroups.countOutOfMemoryKills(record.cgroupPath) > 0;
  }

  /** Its processes and its control group. */
  async takeApart(record: ContainerRecord, folder: string): Promise<void> {
    if (record.phase !== "exited") {
      // The monitor first: it may be about to create what is to be killed.
      const monitors = record.monitor ? [record.monitor] : findMonitors(folder);
      for (const monitor of monitors) signalProcess(monitor, "SIGKILL");
      if (!record.container) this.#parts.maker.abort(folder);
      await this.killUntilGone(record);
    }
    this.killAll(record);
    await this.#removeCgroup(record.cgroupPath);
  }

  async #removeCgroup(path: string): Promise<void> {
    const { cgroups, clock, logger } = this.#parts;
    // Killed processes leave their group a moment later.
    for (let waitMs = 1; waitMs < 1000; waitMs *= 2) {
      if (cgroups.remove(path)) return;
      await clock.sleep(waitMs);
    }
    logger.warn("Could not remove a control group", { path });
  }
}

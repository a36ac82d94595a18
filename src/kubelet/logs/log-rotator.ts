/**
 * Keeps container logs small: a log above 10 MiB is renamed and begun anew, all but the newest of the old ones are compressed, and at most five files stay. Figures and
 * names as pkg/kubelet/logs.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { rotatedFiles, rotationStamp } from "./log-files.ts";

const lookEveryMs = 10_000;

export type LogRotatorOptions = {
  /** Logs that are being written: path, and how to have a new file begun after a rename. */
  readonly running: () => readonly { readonly path: string; readonly reopen: () => Promise<void> }[];
  /** Default 10 MiB. */
  readonly maxBytes?: number;
  /** Default 5, the one being written included. */
  readonly maxFiles?: number;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Looks at the size of running containers' logs every ten seconds: one stat each. */
export class LogRotator implements Service {
  readonly #options: LogRotatorOptions;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: LogRotatorOptions) {
    this.#options = options;
  }

  async start(_signal: AbortSignal): Promise<void> {
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.clear();
  }

  /** One look at all logs. */
  async rotateAll(): Promise<void> {
    const { running, logger, maxBytes = 10 * 2 ** 20 } = this.#options;
    for (const log of running()) {
      try {
        const size = await stat(log.path).then(
          (it) => it.size,
          () => 0,
        );
        if (size > maxBytes) await this.#rotate(log.path, log.reopen);
      } catch (error) {
        logger.warn("Could not rotate log", { path: log.path, error });
      }
    }
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(lookEveryMs, () => {
      void this.rotateAll().finally(() => this.#schedule());
    });
  }

  async #rotate(path: string, reopen: () => Promise<void>): Promise<void> {
    const { maxFiles = 5, clock } = this.#options;
    const before = await rotatedFiles(path);
    // Room for the file that is written and the one that is renamed now.
    const tooMany = before.slice(0, Math.max(0, before.length - (maxFiles - 2)));
    await Promise.all(tooMany.map((file) => rm(file, { force: true })));
    for (const file of before.filter((it) => !tooMany.includes(it) && !it.endsWith(".gz"))) await compress(file);
    const rotated = `${path}.${rotationStamp(clock.now())}`;
    await rename(path, rotated);
    try {
      await reopen();
    } catch (error) {
      await rename(rotated, path);
      throw error;
    }
  }
}

async function compress(file: string): Promise<void> {
  const temporary = `${file}.tmp`;
  await pipeline(createReadStream(file), createGzip(), createWriteStream(temporary));
  await rename(temporary, `${file}.gz`);
  await rm(file, { force: true });
}

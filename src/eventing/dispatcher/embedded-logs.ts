/**
 * Events in files of this machine: a journal for each log, and one small file for all places.
 */
import { existsSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { openDiskFolder } from "#disk/disk-files.ts";
import { DurableMap } from "#disk/durable-map.ts";
import { Journal } from "#disk/journal/journal.ts";
import type { EventLog, EventLogs, Places, Retention } from "./event-log.ts";

/** What they are opened with. */
export type EmbeddedLogsOptions = {
  /** Nobody else's. */
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
};

const smallestSegment = 64 * 1024;
const largestSegment = 16 * 2 ** 20;
const namePattern = /^[A-Za-z0-9][A-Za-z0-9.-]{0,200}$/;

/** Opens them, or begins them. Throws DiskError. */
export async function openEmbeddedLogs(options: EmbeddedLogsOptions): Promise<EventLogs> {
  const places = await DurableMap.open(await openDiskFolder(join(options.folder, "places")));
  const logs = join(options.folder, "logs");
  await openDiskFolder(logs);
  // A removal that a crash has cut short.
  for (const name of await readdir(logs)) if (!namePattern.test(name)) await rm(join(logs, name), { recursive: true });
  return new EmbeddedLogs(options, logs, places);
}

class EmbeddedLogs implements EventLogs {
  readonly #options: EmbeddedLogsOptions;
  readonly #folder: string;
  readonly #places: DurableMap;
  readonly #open = new Map<string, Promise<Journal>>();

  constructor(options: EmbeddedLogsOptions, folder: string, places: DurableMap) {
    this.#options = options;
    this.#folder = folder;
    this.#places = places;
  }

  get places(): Places {
    return this.#places;
  }

  async open(name: string, retention: Retention): Promise<EventLog> {
    if (!namePattern.test(name)) throw new Error(`"${name}" cannot name a log`);
    const known = this.#open.get(name);
    if (known) return await known;
    const opening = this.#openJournal(name, retention);
    this.#open.set(name, opening);
    opening.catch(() => this.#open.delete(name));
    return await opening;
  }

  async remove(name: string): Promise<void> {
    const opened = await this.#open.get(name);
    this.#open.delete(name);
    await opened?.close();
    const path = join(this.#folder, name);
    if (!existsSync(path)) return;
    // At once under this name, and whatever happens in between.
    const gone = join(this.#folder, `~${name}`);
    await rm(gone, { recursive: true, force: true });
    await rename(path, gone);
    await rm(gone, { recursive: true, force: true });
  }

  async list(): Promise<readonly string[]> {
    return (await readdir(this.#folder)).filter((name) => namePattern.test(name));
  }

  async close(): Promise<void> {
    for (const journal of this.#open.values()) await (await journal).close();
    await this.#places.close();
  }

  async #openJournal(log: string, { maxBytes }: Retention): Promise<Journal> {
    const { clock, logger } = this.#options;
    const folder = await openDiskFolder(join(this.#folder, log));
    const journal = await Journal.open({
      folder,
      clock,
      segmentBytes: Math.min(largestSegment, Math.max(smallestSegment, Math.floor(maxBytes / 8))),
      onDamage: (damage) => logger.error("Found records that cannot be read", { log, ...damage }),
    });
    if (journal.cutBytes > 0) logger.warn("Cut off an unfinished write", { log, bytes: journal.cutBytes });
    return journal;
  }
}

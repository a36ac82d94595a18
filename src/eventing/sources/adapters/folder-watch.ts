/**
 * Tells which paths below a folder were touched, once they have been quiet for a moment: a file that is still being written is not told of with every block. Links are not followed.
 */
import { type FSWatcher, watch } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Timer } from "#component-base/clock.ts";

/** How long a path must be quiet. */
const quietMs = 300;
/** More touches than this between two looks: the kernel may have dropped some. */
const manyTouches = 8000;

export type FolderWatchOptions = {
  readonly root: string;
  readonly clock: Clock;
  /** Paths relative to the root, files and folders, there or gone. */
  readonly onQuiet: (paths: readonly string[]) => void;
  /** Something may have been missed: everything is to be looked at. */
  readonly onGap: () => void;
};

export class FolderWatch {
  readonly #options: FolderWatchOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #touched = new Map<string, number>();
  #timer: Timer | undefined;
  #touches = 0;
  #isStopped = false;

  constructor(options: FolderWatchOptions) {
    this.#options = options;
  }

  /** Watches the folder of this path ("" is the root) and all in it. Throws when the kernel gives no more watches (ENOSPC). A folder that is gone is success. */
  async add(path: string): Promise<void> {
    if (this.#isStopped || this.#watchers.has(path)) return;
    const folder = join(this.#options.root, path);
    try {
      const watcher = watch(folder, (_, name) => this.#touch(path, name));
      watcher.on("error", () => this.#forget(path));
      this.#watchers.set(path, watcher);
      for (const entry of await readdir(folder, { withFileTypes: true }))
        if (entry.isDirectory()) await this.add(join(path, entry.name));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
      this.#forget(path);
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.clear();
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** The folder, and what was below it. */
  #forget(path: string): void {
    if (!this.#watchers.has(path)) return;
    for (const [known, watcher] of this.#watchers) {
      if (known !== path && path !== "" && !known.startsWith(`${path}/`)) continue;
      watcher.close();
      this.#watchers.delete(known);
    }
  }

  #touch(folder: string, name: string | null): void {
    if (this.#isStopped) return;
    this.#touches++;
    if (name !== null) this.#touched.set(join(folder, name), this.#options.clock.now());
    this.#timer ??= this.#options.clock.setTimer(quietMs, () => this.#tell());
  }

  #tell(): void {
    const { clock, onQuiet, onGap } = this.#options;
    const nowMs = clock.now();
    const quiet = [...this.#touched].filter(([, touchedMs]) => nowMs - touchedMs >= quietMs).map(([path]) => path);
    for (const path of quiet) {
      this.#touched.delete(path);
      // A folder of this name may be another one now.
      this.#forget(path);
    }
    this.#timer = this.#touched.size === 0 ? undefined : clock.setTimer(quietMs, () => this.#tell());
    if (quiet.length > 0) onQuiet(quiet);
    if (this.#touches > manyTouches) onGap();
    this.#touches = 0;
  }
}

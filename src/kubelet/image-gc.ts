/**
 * Makes room on a disk that fills up by removing images that no pod of this node uses, the longest unused first. As pkg/kubelet/images/image_gc_manager.go; bounds are
 * in absolute figures too, so that a large disk that is 90 % full is left alone.
 */
import { statfs } from "node:fs/promises";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageService } from "./container-runtime.ts";

/** Below both of these the disk counts as filling up: upstream's image-gc-high-threshold of 85 %. */
const begin = { fraction: 0.15, bytes: 4 * 2 ** 30 };
/** Images go until this much is free: upstream's image-gc-low-threshold of 80 %. */
const enough = { fraction: 0.2, bytes: 5 * 2 ** 30 };
/** Images used or seen for the first time within this stay. */
const minAgeMs = 120_000;

export type ImageGcOptions = {
  readonly images: ImageService;
  /** Ids of images that pods here use. */
  readonly inUse: () => ReadonlySet<string>;
  /** Lies on the disk that images are on. */
  readonly folder: string;
  /** Default: what the kernel says of the folder's file system. */
  readonly disk?: (
    folder: string,
  ) => Promise<{ readonly blocks: number; readonly bavail: number; readonly bsize: number }>;
  /** Not enough could be removed: what an event about the node says. */
  readonly onFailure: (message: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Remembers when images were used; removes them when asked and needed. */
export class ImageGc {
  readonly #options: ImageGcOptions;
  readonly #lastUsedMs = new Map<string, number>();
  #hasFailed = false;

  constructor(options: ImageGcOptions) {
    this.#options = options;
  }

  /** One look. Cheap while there is room. */
  async run(): Promise<void> {
    if ((await this.#missing(begin)) === 0) return this.#forgetFailure();
    const { images, inUse, clock, logger } = this.#options;
    const nowMs = clock.now();
    const used = inUse();
    const all = await images.listImages();
    for (const { id } of all) if (used.has(id) || !this.#lastUsedMs.has(id)) this.#lastUsedMs.set(id, nowMs);
    const age = (id: string): number => nowMs - (this.#lastUsedMs.get(id) ?? nowMs);
    const unused = all.filter(({ id }) => !used.has(id) && age(id) >= minAgeMs).sort((a, b) => age(b.id) - age(a.id));
    // Images that came just now may be removed soon.
    const areSomeYoung = all.some(({ id }) => !used.has(id) && age(id) < minAgeMs);
    for (const { id, tags, sizeBytes } of unused) {
      await images.removeImage(id);
      this.#lastUsedMs.delete(id);
      logger.info("Removed image to free disk space", { image: tags[0] ?? id, bytes: sizeBytes });
      if ((await this.#missing(enough)) === 0) return this.#forgetFailure();
    }
    if (areSomeYoung) return;
    this.#complain(
      await this.#missing(enough),
      unused.reduce((total, { sizeBytes }) => total + sizeBytes, 0),
    );
  }

  /** Once for each time that the disk fills up. */
  #complain(missingBytes: number, foundBytes: number): void {
    if (missingBytes === 0 || this.#hasFailed) return;
    this.#hasFailed = true;
    this.#options.onFailure(
      `Failed to garbage collect required amount of images. Attempted to free ${missingBytes + foundBytes} bytes, but only found ${foundBytes} bytes eligible to free.`,
    );
  }

  #forgetFailure(): void {
    this.#hasFailed = false;
  }

  /** Bytes that would have to go so that this much is free; 0 where it is. */
  async #missing({ fraction, bytes }: typeof begin): Promise<number> {
    const { folder, disk = (path: string) => statfs(path) } = this.#options;
    const facts = await disk(folder).catch(() => undefined);
    if (!facts || facts.blocks === 0) return 0;
    const free = facts.bavail * facts.bsize;
    return Math.max(0, Math.ceil(Math.min(bytes, facts.blocks * facts.bsize * fraction) - free));
  }
}

/**
 * Makes room on a disk that fills up by removing images that no pod of this node uses, the longest unused first. As pkg/kubelet/images/image_gc_manager.go; bounds are
 * in absolute figures too, so that a large disk that is 90 % full is left alone.
 */
import { statfs } from "node:fs/promises";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageService } from "./container-runtime.ts";

/** Below both of these the disk counts as filling up. */
const lowFraction = 0.15;
const lowBytes = 4 * 2 ** 30;
/** Images used or seen for the first time within this stay. */
const minAgeMs = 120_000;

export type ImageGcOptions = {
  readonly images: ImageService;
  /** Ids of images that pods here use. */
  readonly inUse: () => ReadonlySet<string>;
  /** Lies on the disk that images are on. */
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Remembers when images were used; removes them when asked and needed. */
export class ImageGc {
  readonly #options: ImageGcOptions;
  readonly #lastUsedMs = new Map<string, number>();

  constructor(options: ImageGcOptions) {
    this.#options = options;
  }

  /** One look. Cheap while there is room. */
  async run(): Promise<void> {
    if (!(await this.#isFillingUp())) return;
    const { images, inUse, clock, logger } = this.#options;
    const nowMs = clock.now();
    const used = inUse();
    const all = await images.listImages();
    for (const { id } of all) if (used.has(id) || !this.#lastUsedMs.has(id)) this.#lastUsedMs.set(id, nowMs);
    const age = (id: string) => nowMs - (this.#lastUsedMs.get(id) ?? nowMs);
    const unused = all.filter(({ id }) => !used.has(id) && age(id) >= minAgeMs).sort((a, b) => age(b.id) - age(a.id));
    for (const { id, tags, sizeBytes } of unused) {
      await images.removeImage(id);
      this.#lastUsedMs.delete(id);
      logger.info("Removed image to free disk space", { image: tags[0] ?? id, bytes: sizeBytes });
      if (!(await this.#isFillingUp())) return;
    }
  }

  async #isFillingUp(): Promise<boolean> {
    const facts = await statfs(this.#options.folder).catch(() => undefined);
    if (!facts || facts.blocks === 0) return false;
    return facts.bavail * facts.bsize < lowBytes && facts.bavail / facts.blocks < lowFraction;
  }
}

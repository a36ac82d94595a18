/**
 * Which features are on, for who takes events while nobody answers: as it was known last, until the ConfigMap is read again. Otherwise a restart would let everybody in for a while.
 */
import type { Logger } from "#component-base/logger.ts";
import type { DiskFolder } from "#disk/disk-files.ts";
import { readWholeFile, replaceFile } from "#disk/replace-file.ts";
import type { EventingConfigStore } from "./config-store.ts";
import { defaultFeaturesConfig, type FeaturesConfig } from "./features-config.ts";

const fileName = "features.json";

/** Reads and writes them in a folder. */
export class RememberedFeatures {
  readonly #folder: DiskFolder;
  readonly #config: EventingConfigStore;
  readonly #logger: Logger;
  #known: FeaturesConfig = defaultFeaturesConfig;
  #written = "";
  #work: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly folder: DiskFolder;
    readonly config: EventingConfigStore;
    readonly logger: Logger;
  }) {
    this.#folder = options.folder;
    this.#config = options.config;
    this.#logger = options.logger;
  }

  get current(): FeaturesConfig {
    return this.#config.informer.hasSynced() ? this.#config.current.features : this.#known;
  }

  /** Reads what was known last. */
  async restore(): Promise<void> {
    try {
      const content = await readWholeFile(this.#folder, fileName);
      if (content === undefined) return;
      this.#written = content.toString();
      this.#known = { ...defaultFeaturesConfig, ...(JSON.parse(this.#written) as Partial<FeaturesConfig>) };
    } catch (error) {
      this.#logger.warn("The features that were known last could not be read", { error });
    }
  }

  /** Writes them down whenever they are others. Gives what ends that, and waits for what is being written. */
  follow(signal: AbortSignal): () => Promise<void> {
    const look = () => {
      if (this.#config.informer.hasSynced()) this.#work = this.#work.then(() => this.#write());
    };
    this.#config.onChange(look);
    const end = this.#config.start();
    void this.#config.informer.waitForSync(signal).then(look, () => {}); // the process stops
    return async () => {
      end();
      await this.#work;
    };
  }

  async #write(): Promise<void> {
    const text = JSON.stringify(this.#config.current.features);
    if (text === this.#written) return;
    try {
      await replaceFile(this.#folder, fileName, Buffer.from(text));
      this.#written = text;
    } catch (error) {
      this.#logger.warn("The features could not be written down", { error });
    }
  }
}

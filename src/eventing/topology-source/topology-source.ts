/**
 * Follows the objects that a topology is made of, and tells when it is another one. What was told last is written down: a dispatcher that starts while nobody answers goes on with that.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { DiskFolder } from "#disk/disk-files.ts";
import { readWholeFile, replaceFile } from "#disk/replace-file.ts";
import type { Topology } from "#eventing/dispatcher/topology.ts";
import {
  type Broker,
  brokers,
  type InMemoryChannel,
  inMemoryChannels,
  type Subscription,
  subscriptions,
  type Trigger,
  triggers,
} from "#eventing/kinds.ts";
import { compileTopology, type PlainTopology } from "./plain-topology.ts";
import { topologyOf } from "./topology-of.ts";

/** What it works with. */
export type TopologySourceOptions = {
  readonly informers: InformerFactory;
  /** Where the last topology is kept. */
  readonly folder: DiskFolder;
  /** Puts a topology in force. */
  readonly apply: (topology: Topology) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
};

const fileName = "topology.json";
/** What changes within this time is applied at once. */
const settleMs = 20;
/** A topology that could not be put in force as a whole is tried again after this. */
const retryMs = 5000;

/** Applies the last topology, then every new one. */
export class TopologySource {
  readonly #options: TopologySourceOptions;
  readonly #informers: {
    readonly brokers: Informer<Broker>;
    readonly triggers: Informer<Trigger>;
    readonly channels: Informer<InMemoryChannel>;
    readonly subscriptions: Informer<Subscription>;
  };
  readonly #first = Promise.withResolvers<void>();
  #inForce: string | undefined;
  #timer: Timer | undefined;
  #work: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: TopologySourceOptions) {
    this.#options = options;
    const { informers } = options;
    this.#informers = {
      brokers: informers.informer({ resource: brokers }),
      triggers: informers.informer({ resource: triggers }),
      channels: informers.informer({ resource: inMemoryChannels }),
      subscriptions: informers.informer({ resource: subscriptions }),
    };
  }

  /** Resolves when what was known last is in force; false when nothing was. */
  async restore(): Promise<boolean> {
    const { folder, logger } = this.#options;
    try {
      const content = await readWholeFile(folder, fileName);
      if (!content) return false;
      await this.#put(JSON.parse(content.toString()) as PlainTopology, content.toString());
      return true;
    } catch (error) {
      logger.error("The last topology could not be restored", { error });
      return false;
    }
  }

  /** Follows the objects from now on. */
  follow(): void {
    for (const informer of Object.values(this.#informers) as Informer<KubeObject>[]) {
      const look = () => this.#schedule(settleMs);
      informer.addHandler({ onAdd: look, onUpdate: look, onDelete: look });
    }
    void this.#awaitLists(); // never rejects
  }

  /** Resolves when the objects were seen, and are in force. */
  async seen(): Promise<void> {
    await this.#first.promise;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.clear();
    await this.#work;
  }

  /** A list that is empty looks like none that was deleted. */
  async #awaitLists(): Promise<void> {
    const all = Object.values(this.#informers).map((informer) => informer.waitForSync(new AbortController().signal));
    await Promise.all(all).then(
      () => this.#schedule(0),
      () => {}, // the process stops
    );
  }

  #schedule(afterMs: number): void {
    if (this.#isStopped) return;
    this.#timer ??= this.#options.clock.setTimer(afterMs, () => {
      this.#timer = undefined;
      this.#work = this.#work.then(() => this.#look()); // never rejects
    });
  }

  async #look(): Promise<void> {
    if (this.#isStopped || Object.values(this.#informers).some((informer) => !informer.hasSynced())) return;
    const topology = topologyOf({
      brokers: this.#informers.brokers.lister.list(),
      triggers: this.#informers.triggers.lister.list(),
      channels: this.#informers.channels.lister.list(),
      subscriptions: this.#informers.subscriptions.lister.list(),
    });
    const text = JSON.stringify(sorted(topology));
    if (text !== this.#inForce) await this.#change(topology, text);
    this.#first.resolve();
  }

  async #change(topology: PlainTopology, text: string): Promise<void> {
    const { folder, logger } = this.#options;
    try {
      await replaceFile(folder, fileName, Buffer.from(text));
    } catch (error) {
      logger.error("The topology could not be written down", { error });
    }
    try {
      await this.#put(topology, text);
    } catch (error) {
      logger.error("The topology could not be put in force", { error });
      this.#inForce = undefined;
      this.#schedule(retryMs);
    }
  }

  async #put(topology: PlainTopology, text: string): Promise<void> {
    const { apply, logger } = this.#options;
    await apply(compileTopology(topology, logger));
    this.#inForce = text;
    logger.info("Put a topology in force", {
      topics: topology.topics.length,
      subscriptions: topology.subscriptions.length,
    });
  }
}

/** The same objects give the same text, in whatever order they came. */
function sorted({ topics, subscriptions: all }: PlainTopology): PlainTopology {
  const byId = (a: { readonly id: string }, b: { readonly id: string }) => (a.id < b.id ? -1 : 1);
  return { topics: topics.toSorted(byId), subscriptions: all.toSorted(byId) };
}

/**
 * One running adapter per source that is ready, begun anew when what it goes by changes, ended when the source goes. Follows an informer; what fails is begun again later.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { SourcePlaces } from "./adapter-context.ts";
import { sourceRef } from "./deliver.ts";
import type { SourceMetrics } from "./source-metrics.ts";

/** How a kind of sources is run. */
export type AdapterKind<T extends KubeObject> = {
  /** For the log: "pingsource". */
  readonly name: string;
  /** What the adapter goes by, as text: it is begun anew when this changes. Undefined while it cannot run. */
  readonly fingerprint: (source: T) => string | undefined;
  /** Runs until the signal aborts. One that ends or throws is begun again. */
  readonly run: (source: T, signal: AbortSignal) => Promise<void>;
  /** Its places are `PREFIX/UID…`; they go with the source. */
  readonly placePrefix: string;
};

type Running = { readonly fingerprint: string; readonly abort: AbortController; readonly done: Promise<void> };

export type AdapterSetOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly places: SourcePlaces;
  readonly metrics: Pick<SourceMetrics, "forget">;
};

const firstPauseMs = 1000;
const longestPauseMs = 60_000;

export class AdapterSet<T extends KubeObject> {
  readonly #kind: AdapterKind<T>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #places: SourcePlaces;
  readonly #metrics: Pick<SourceMetrics, "forget">;
  readonly #running = new Map<string, Running>();
  #isStopped = false;

  constructor(kind: AdapterKind<T>, options: AdapterSetOptions) {
    this.#kind = kind;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#places = options.places;
    this.#metrics = options.metrics;
  }

  /** How many run. */
  get size(): number {
    return this.#running.size;
  }

  /** Follows the informer. Gives what ends that. */
  follow(informer: Informer<T>): () => void {
    return informer.addHandler({
      onAdd: (source) => this.#look(source),
      onUpdate: (_, source) => this.#look(source),
      onDelete: (source) => {
        const { uid = "" } = source.metadata ?? {};
        const done = this.#running.get(uid)?.done;
        this.#end(uid);
        // Not before the adapter has ended: it may be writing them.
        void (done ?? Promise.resolve()).then(() => {
          this.#forget((other) => other === uid);
          this.#metrics.forget(sourceRef(this.#kind.name, source));
        });
      },
    });
  }

  /** Forgets the places of sources that went while nobody looked. To be called when the informer has its first list. */
  forgetOthers(uids: ReadonlySet<string>): void {
    this.#forget((uid) => !uids.has(uid));
  }

  #forget(isGone: (uid: string) => boolean): void {
    for (const key of this.#places.keys()) {
      const [prefix, uid = ""] = key.split("/", 2);
      if (prefix === this.#kind.placePrefix && isGone(uid)) this.#places.delete(key);
    }
  }

  /** Resolves when all adapters have ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const all = [...this.#running.values()];
    for (const uid of this.#running.keys()) this.#end(uid);
    await Promise.all(all.map(({ done }) => done));
  }

  #look(source: T): void {
    const uid = source.metadata?.uid ?? "";
    const fingerprint = source.metadata?.deletionTimestamp === undefined ? this.#kind.fingerprint(source) : undefined;
    const before = this.#running.get(uid);
    if (before?.fingerprint === fingerprint || this.#isStopped) return;
    this.#end(uid);
    if (fingerprint === undefined) return;
    const abort = new AbortController();
    const done = this.#keepRunning(source, abort.signal, before?.done);
    this.#running.set(uid, { fingerprint, abort, done });
  }

  #end(uid: string): void {
    this.#running.get(uid)?.abort.abort(new Error("the source has changed or is gone"));
    this.#running.delete(uid);
  }

  /** Never rejects. `before`: an adapter of the same source that is ending; two at once would write one place. */
  async #keepRunning(source: T, signal: AbortSignal, before: Promise<void> | undefined): Promise<void> {
    await before;
    for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      const startedMs = this.#clock.now();
      try {
        await this.#kind.run(source, signal);
      } catch (error) {
        if (signal.aborted) return;
        const { namespace, name } = source.metadata ?? {};
        this.#logger.warn("Source failed, trying again later", { [this.#kind.name]: `${namespace}/${name}`, error });
      }
      if (this.#clock.now() - startedMs > longestPauseMs) pauseMs = firstPauseMs;
      await this.#clock.sleep(pauseMs, signal).catch(() => {});
    }
  }
}

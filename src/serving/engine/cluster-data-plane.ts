/**
 * The data planes of a cluster as the control side sees them: the nodes' DataPlane objects. Their addresses make a DataPlane, their reports go to the autoscaler.
 */
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import type { ColdStartSink, DataPlane, StatSink } from "#serving/data-plane.ts";
import { type DataPlaneObject, dataPlanes } from "./data-plane-object.ts";

const usualPort = 80;

/** All nodes' data planes. */
export class ClusterDataPlane implements DataPlane {
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  readonly #informer: Informer<DataPlaneObject>;

  constructor(options: { readonly informers: InformerFactory; readonly clock: Clock }) {
    this.#clock = options.clock;
    this.#informer = options.informers.informer<DataPlaneObject>({ resource: dataPlanes });
  }

  addresses(): readonly string[] {
    return this.#informer.lister
      .list()
      .flatMap(({ spec }) => spec?.addresses ?? [])
      .toSorted();
  }

  get httpPort(): number {
    return this.#informer.lister.list()[0]?.spec?.httpPort ?? usualPort;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows the objects, and hands their reports to `sink`. Resolves when what is there is known; gives what ends it. */
  async start(sink: StatSink & ColdStartSink, signal: AbortSignal): Promise<() => void> {
    await this.#informer.waitForSync(signal);
    const changed = () => {
      for (const listener of this.#listeners) listener();
    };
    return this.#informer.addHandler({
      onAdd: changed,
      onUpdate: (before, object) => {
        if (JSON.stringify(before.spec) !== JSON.stringify(object.spec)) changed();
        if (before.status?.reportTime !== object.status?.reportTime) this.#pass(object, sink);
      },
      onDelete: changed,
    });
  }

  /** By this process's clock: the nodes' may differ. */
  #pass({ metadata, status }: DataPlaneObject, sink: StatSink & ColdStartSink): void {
    const atMs = this.#clock.now();
    for (const { namespace, name, concurrency, requests } of status?.revisions ?? [])
      sink.record({
        revision: { namespace, name },
        reporter: metadata?.name ?? "",
        atMs,
        averageConcurrentRequests: concurrency,
        requestCount: requests,
      });
    for (const start of status?.coldStarts ?? []) sink.recordColdStart(metadata?.name ?? "", start);
  }
}

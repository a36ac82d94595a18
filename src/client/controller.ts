/**
 * What every controller gets, and the frame that most of them fill: handlers queue keys, a loop reconciles them.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "./client.ts";
import type { EventRecorder } from "./event-recorder.ts";
import type { InformerFactory } from "./informer-factory.ts";
import type { Informer, InformerHandler } from "./informer.ts";
import { Reconciler } from "./reconciler.ts";

/** What a controller works with. Informers are shared by all controllers of the process. */
export type ControllerContext = {
  readonly client: Client;
  readonly informers: InformerFactory;
  /** A recorder of Events that names this component ("deployment-controller") as their source. */
  readonly recorderFor: (component: string) => EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A controller, under the name that kube-controller-manager gives it. */
export type NamedController = Service & {
  readonly name: string /** True when nothing waits to be done. */;
  readonly isIdle: boolean;
};

/** Builds a {@link NamedController} around a queue of keys. */
export class KeyedController implements NamedController {
  readonly name: string;
  readonly #reconciler: Reconciler;
  readonly #watched: { readonly informer: Informer<KubeObject>; readonly connect: () => () => void }[] = [];
  #disconnect: (() => void)[] = [];

  constructor(
    context: ControllerContext,
    options: {
      readonly name: string;
      readonly workers?: number;
      /** As {@link Reconciler}'s. */
      readonly reconcile: (key: string, signal: AbortSignal) => Promise<number | void>;
    },
  ) {
    this.name = options.name;
    this.#reconciler = new Reconciler({ ...options, clock: context.clock, logger: context.logger });
  }

  get isIdle(): boolean {
    return this.#reconciler.isIdle;
  }

  get queue(): Reconciler["queue"] {
    return this.#reconciler.queue;
  }

  /** Declares an informer that must be in before work begins, and what to do on its changes. Before the start. */
  watch<T extends KubeObject>(informer: Informer<T>, handler: InformerHandler<T> = {}): Informer<T> {
    this.#watched.push({
      informer: informer as unknown as Informer<KubeObject>,
      connect: () => informer.addHandler(handler),
    });
    return informer;
  }

  /** Resolves when all informers are in and the loop runs. */
  async start(signal: AbortSignal): Promise<void> {
    this.#disconnect = this.#watched.map(({ connect }) => connect());
    await Promise.all(this.#watched.map(({ informer }) => informer.waitForSync(signal)));
    await this.#reconciler.start(signal);
  }

  async stop(): Promise<void> {
    for (const disconnect of this.#disconnect.splice(0)) disconnect();
    await this.#reconciler.stop();
  }
}

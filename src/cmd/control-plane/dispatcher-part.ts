/**
 * The control plane's watch over the process that delivers events: started with the first object of Eventing's, and at once where there were some before.
 */
import { existsSync } from "node:fs";
import type { Client } from "#client/client.ts";
import type { Cluster, MachineContext } from "#cmd/machine/clusters.ts";
import { eventingProcess } from "#cmd/machine/eventing-process.ts";
import { Guardian } from "#cmd/machine/guardian.ts";
import { hangPatienceMs } from "#cmd/machine/hang-watch.ts";
import { eventingLayout } from "#cmd/machine/layout.ts";
import type { RunPermit } from "#cmd/machine/run-permit.ts";
import type { StopMode } from "#cmd/machine/supervision.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { PartOfEventing } from "#eventing/eventing.ts";

/** Of which cluster, and under which permit. */
export type DispatcherPartOptions = {
  readonly cluster: Cluster;
  readonly context: MachineContext;
  readonly permit: RunPermit | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** The process, as the control plane sees it. */
export class DispatcherPart {
  readonly #guardian: Guardian;
  readonly #options: DispatcherPartOptions;
  #isWatched = false;

  constructor(options: DispatcherPartOptions) {
    const { cluster, context, permit, clock, logger } = options;
    this.#options = options;
    this.#guardian = new Guardian({
      socket: eventingLayout(cluster.layout).socket,
      process: async () => eventingProcess(context, cluster, permit),
      permit,
      hangPatienceMs: hangPatienceMs(context.environment),
      clock,
      logger,
    });
  }

  /** Watches over it when events were kept before: what waits must not wait for objects to be read. */
  async resume(): Promise<void> {
    const { data } = eventingLayout(this.#options.cluster.layout);
    if (!existsSync(data)) return;
    this.#isWatched = true;
    try {
      await this.#guardian.ensure();
    } catch (error) {
      // The node whose network it lives in may come later.
      this.#options.logger.warn("Eventing did not start at once", { error });
      await this.#guardian.watch();
    }
  }

  /** What Eventing starts with its first object. `ca` signs the process's certificate, PEM. */
  asPart(client: Client, ca: string): PartOfEventing {
    return async (signal) => {
      await this.#ensure(client, ca, signal);
      return { stop: async () => {} }; // it outlives this process
    };
  }

  /** Stops watching, and with a mode the process too. */
  async stop(mode?: StopMode): Promise<void> {
    await this.#guardian.stop(mode);
  }

  /** Resolves when events are taken, or are about to be again. Rejects with the signal's reason. */
  async #ensure(client: Client, ca: string, signal: AbortSignal): Promise<void> {
    const { ensureDispatcherObjects } = await import("./dispatcher-objects.ts");
    await ensureDispatcherObjects(client, ca, signal);
    if (this.#isWatched) return;
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([this.#guardian.ensure(), aborted.promise]);
      this.#isWatched = true;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}

/**
 * A part of the control plane that no start waits for: begun once everything else runs, in the background, and tried again when that does not go well.
 */
import type { Node } from "#api/generated/types/core-v1.ts";
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import type { ControllerContext } from "#client/controller.ts";
import type { Service } from "#component-base/life-cycle.ts";

/** Longest wait for a node: kinds are wanted without one too. */
const patienceMs = 10_000;
const quietMs = 500;
/** A start that failed is tried again after this. */
const retryMs = 5000;

export type LatePartOptions = Pick<ControllerContext, "client" | "informers" | "clock" | "logger"> & {
  /** "Knative Serving". */
  readonly title: string;
  /** After a restart, whoever has such objects waits for the part: it is begun at once. */
  readonly usedBy: GroupVersionResource;
  readonly signal: AbortSignal;
  /** Loads and starts the part. */
  readonly begin: (signal: AbortSignal) => Promise<Pick<Service, "stop">>;
};

/** Starts in the background; stopping ends a start that is under way. */
export class LatePart {
  readonly #options: LatePartOptions;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  #running: Promise<void> | undefined;
  #part: Pick<Service, "stop"> | undefined;

  constructor(options: LatePartOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#abort.signal]);
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error(`${this.#options.title} stops`));
    await this.#running;
    await this.#part?.stop();
  }

  async #run(): Promise<void> {
    const { title, begin, clock, logger } = this.#options;
    if (!(await this.#isUsed())) await this.#untilQuiet().catch(() => {}); // the loop sees that it was aborted
    while (!this.#signal.aborted) {
      try {
        this.#part = await begin(this.#signal);
        logger.info("Started part", { part: title });
        return;
      } catch (error) {
        if (this.#signal.aborted) return;
        logger.error("Part could not be started", { part: title, error });
        await clock.sleep(retryMs, this.#signal).catch(() => {}); // the loop sees that it was aborted
      }
    }
  }

  async #isUsed(): Promise<boolean> {
    const { client, usedBy: resource } = this.#options;
    try {
      return (await client.list({ resource }, { limit: 1, signal: this.#signal })).items.length > 0;
    } catch {
      return false; // the kinds are not there yet
    }
  }

  /** A start's own work goes first: a node is ready, and what was waiting for it is on its way. */
  async #untilQuiet(): Promise<void> {
    const { informers, clock } = this.#options;
    const nodes = informers.informer<Node>({ resource: { group: "", version: "v1", resource: "nodes" } });
    const ready = Promise.withResolvers<void>();
    const look = ({ status }: Node) => {
      if (status?.conditions?.some((one) => one.type === "Ready" && one.status === "True")) ready.resolve();
    };
    const remove = nodes.addHandler({ onAdd: look, onUpdate: (_before, node) => look(node) });
    try {
      await Promise.race([ready.promise, clock.sleep(patienceMs, this.#signal)]);
    } finally {
      remove();
    }
    await clock.sleep(quietMs, this.#signal);
  }
}

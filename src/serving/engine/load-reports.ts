/**
 * Writes what a node's data plane sees into its DataPlane object: once a second while there is something to say, and at once when asked to.
 */
import { formatMicroTime } from "#apimachinery/time.ts";
import type { Client } from "#client/client.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { type DataPlaneStatus, dataPlanes } from "./data-plane-object.ts";

const reportMs = 1000;

/** What reports are made with. */
export type LoadReportsOptions = {
  readonly nodeName: string;
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What is to be said now; undefined: nothing, and reports end until somebody arms them again. */
  readonly read: () => Omit<DataPlaneStatus, "reportTime"> | undefined;
};

/** One write at a time; what comes meanwhile follows it. */
export class LoadReports {
  readonly #options: LoadReportsOptions;
  readonly #abort = new AbortController();
  #timer: Timer | undefined;
  #reporting: Promise<void> | undefined;
  #mustReportAgain = false;

  constructor(options: LoadReportsOptions) {
    this.#options = options;
  }

  /** Reports a second from now, and on as long as there is something to say. */
  arm(): void {
    if (this.#timer !== undefined || this.#abort.signal.aborted) return;
    this.#timer = this.#options.clock.setTimer(reportMs, () => {
      this.#timer = undefined;
      if (this.now()) this.arm();
    });
  }

  /** Reports. False when there was nothing to say. */
  now(): boolean {
    if (this.#reporting !== undefined) {
      this.#mustReportAgain = true;
      return true;
    }
    const { client, clock, nodeName, logger, read } = this.#options;
    const said = read();
    if (said === undefined || this.#abort.signal.aborted) return false;
    const ref = { resource: dataPlanes, name: nodeName, subresource: "status" };
    const body = { status: { reportTime: formatMicroTime(clock.now()), ...said } };
    this.#reporting = client
      .patch(ref, { type: "merge", body }, { signal: this.#abort.signal })
      .then(
        () => {},
        (error: unknown) => logger.debug("Requests could not be reported", { error }),
      )
      .finally(() => this.#onReported());
    return true;
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error("the data plane stops"));
    this.#timer?.clear();
    await this.#reporting;
  }

  #onReported(): void {
    this.#reporting = undefined;
    if (!this.#mustReportAgain) return;
    this.#mustReportAgain = false;
    this.now();
  }
}

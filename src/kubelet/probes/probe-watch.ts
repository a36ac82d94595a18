/**
 * One probe of one running container, over time: eager looks until the first regular one, then one look a period; thresholds make results of them.
 * probe-schedule.ts says when it looks.
 */
import type { Probe } from "#api/generated/types/core-v1.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import { eagerPauseMs } from "./probe-schedule.ts";
import type { ProbeSchedule } from "./probe-schedule.ts";

export type ProbeKind = "Startup" | "Readiness" | "Liveness";

export type ProbeWatchOptions = {
  readonly probe: Probe;
  readonly schedule: ProbeSchedule;
  /** Whether to look before the first regular look is due. */
  readonly isEager: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** One look; undefined says nothing about the container. A loud one tells the user of failures. Never rejects. */
  readonly look: (isLoud: boolean) => Promise<boolean | undefined>;
  /** A threshold was reached; called again only when the result turns. */
  readonly onResult: (isGood: boolean) => void;
};

/** Looks from {@link ProbeWatch.start} until the signal aborts. */
export class ProbeWatch {
  readonly #options: ProbeWatchOptions;
  #eager: Timer | undefined;
  #isEarly = true;
  #isLooking = false;
  #last: boolean | undefined;
  #run = 0;
  #told: boolean | undefined;

  constructor(options: ProbeWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const { isEager, schedule } = this.#options;
    this.#later(schedule.regularInMs, () => this.#repeat());
    if (!isEager || schedule.eagerInMs >= schedule.regularInMs) return;
    if (schedule.eagerInMs === 0)
      void this.#lookEagerly(undefined); // never rejects
    else this.#eager = this.#later(schedule.eagerInMs, () => void this.#lookEagerly(undefined)); // never rejects
  }

  #repeat(): void {
    this.#isEarly = false;
    this.#eager?.clear();
    this.#later(this.#options.schedule.periodMs, () => this.#repeat());
    void this.#lookRegularly(); // never rejects
  }

  async #lookRegularly(): Promise<void> {
    // A look may take longer than a period; there is never more than one.
    if (this.#isLooking) return;
    this.#isLooking = true;
    const isGood = await this.#options.look(true);
    this.#isLooking = false;
    if (isGood !== undefined && !this.#options.signal.aborted) this.#judge(isGood);
  }

  async #lookEagerly(pauseMs: number | undefined): Promise<void> {
    const isGood = await this.#options.look(false);
    if (this.#options.signal.aborted || this.#last === true) return;
    if (isGood) return this.#judge(true);
    if (!this.#isEarly) return;
    const nextMs = eagerPauseMs(this.#options.probe, pauseMs);
    this.#eager = this.#later(nextMs, () => void this.#lookEagerly(nextMs)); // never rejects
  }

  #judge(isGood: boolean): void {
    const { probe, onResult } = this.#options;
    this.#run = this.#last === isGood ? this.#run + 1 : 1;
    this.#last = isGood;
    const threshold = isGood ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3);
    if (this.#run < threshold || this.#told === isGood) return;
    this.#told = isGood;
    onResult(isGood);
  }

  #later(delayMs: number, callback: () => void): Timer {
    const { clock, signal } = this.#options;
    const timer = clock.setTimer(delayMs, () => {
      signal.removeEventListener("abort", timer.clear);
      if (!signal.aborted) callback();
    });
    signal.addEventListener("abort", timer.clear, { once: true });
    return timer;
  }
}

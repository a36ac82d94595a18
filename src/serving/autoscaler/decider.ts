/**
 * The KPA: how many pods a revision should have, from what its requests were in the last minute and in the last seconds. Pure but for what it remembers of its own decisions;
 * algorithm and figures as upstream's `pkg/autoscaler/scaling/autoscaler.go` (v1.23).
 */
import type { DeciderSpec } from "./decider-spec.ts";
import { MaxWindow } from "./max-window.ts";

/** Time between two decisions. */
export const tickMs = 2000;

/** What is known at a tick. */
export type Observation = {
  readonly nowMs: number;
  readonly readyPods: number;
  /** Average over the stable window. */
  readonly stableValue: number;
  /** Average over the panic window. */
  readonly panicValue: number;
};

/** What was decided. */
export type Decision = {
  readonly desiredScale: number;
  /** What the pods could take beyond the requests and the burst one wants to be ready for. Below zero: requests are to be buffered. */
  readonly excessBurstCapacity: number;
  readonly isPanicking: boolean;
};

/** Decides for one revision, tick by tick. */
export class Decider {
  #spec: DeciderSpec;
  #panickingSinceMs: number | undefined;
  #maxPanicPods: number;
  #delay: { readonly window: MaxWindow; readonly ms: number } | undefined;

  /** With more than one pod it begins in panic: its predecessor knew what for, and the first minute without a history must not scale down. */
  constructor(spec: DeciderSpec, start: { readonly nowMs: number; readonly readyPods: number }) {
    this.#spec = spec;
    this.#panickingSinceMs = start.readyPods > 1 ? start.nowMs : undefined;
    this.#maxPanicPods = start.readyPods;
    this.update(spec);
  }

  get spec(): DeciderSpec {
    return this.#spec;
  }

  /** Goes by another spec from now on. */
  update(spec: DeciderSpec): void {
    this.#spec = spec;
    const ms = spec.scaleDownDelayMs;
    if (ms !== this.#delay?.ms) this.#delay = ms > 0 ? { window: new MaxWindow(ms, tickMs), ms } : undefined;
  }

  /** One tick. */
  decide(observation: Observation): Decision {
    const { stable, panic, panicRatio } = this.#wanted(observation);
    this.#panic(panicRatio >= this.#spec.panicThreshold, observation.nowMs);
    const calm = this.#panickingSinceMs === undefined ? stable : this.#neverLess(Math.max(stable, panic));
    return {
      desiredScale: this.#delayed(calm, observation.nowMs),
      excessBurstCapacity: this.#excessBurst(observation),
      isPanicking: this.#panickingSinceMs !== undefined,
    };
  }

  /** Pods by either window, within what one tick may change. */
  #wanted({ readyPods, stableValue, panicValue }: Observation): {
    readonly stable: number;
    readonly panic: number;
    readonly panicRatio: number;
  } {
    const { targetValue, maxScaleUpRate, maxScaleDownRate, isReachable, activationScale } = this.#spec;
    const ready = Math.max(1, readyPods);
    // Rounded outwards, so that slow rates still move by one pod.
    const most = Math.ceil(maxScaleUpRate * ready);
    const least = isReachable ? Math.floor(ready / maxScaleDownRate) : 0;
    const [rawStable, rawPanic] = [Math.ceil(stableValue / targetValue), Math.ceil(panicValue / targetValue)];
    const bounded = (raw: number): number => {
      const pods = Math.min(Math.max(raw, least), most);
      return activationScale > 1 && raw > 0 ? Math.max(pods, activationScale) : pods;
    };
    return { stable: bounded(rawStable), panic: bounded(rawPanic), panicRatio: rawPanic / ready };
  }

  #panic(isOver: boolean, nowMs: number): void {
    if (isOver) this.#panickingSinceMs = nowMs;
    else if (this.#panickingSinceMs !== undefined && this.#panickingSinceMs + this.#spec.stableWindowMs < nowMs) {
      this.#panickingSinceMs = undefined;
      this.#maxPanicPods = 0;
    }
  }

  #neverLess(pods: number): number {
    this.#maxPanicPods = Math.max(this.#maxPanicPods, pods);
    return this.#maxPanicPods;
  }

  #delayed(pods: number, nowMs: number): number {
    if (this.#delay === undefined || !this.#spec.isReachable) return pods;
    return this.#delay.window.record(nowMs, pods);
  }

  #excessBurst({ readyPods, panicValue }: Observation): number {
    const { targetBurstCapacity: burst, totalValue } = this.#spec;
    if (burst === 0) return 0;
    return burst < 0 ? -1 : Math.floor(readyPods * totalValue - burst - panicValue);
  }
}

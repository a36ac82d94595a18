/**
 * Keeps requests for their holds: so many at once, so long, and no longer than their clients stay.
 */
import type { Clock } from "#component-base/clock.ts";
import {
  defaultHoldLimits,
  type HeldRequest,
  type Hold,
  type HoldLimits,
  type HoldVerdict,
} from "#proxy/config/hold.ts";
import type { ProxyMetrics } from "#proxy/observe/proxy-metrics.ts";

/** A request that is held. */
export type Held = { /** The client is gone; no verdict follows. */ cancel(): void };

/** The holds of one thread. */
export class HoldGate {
  readonly #holds: ReadonlyMap<string, Hold>;
  readonly #limits: HoldLimits;
  readonly #metrics: ProxyMetrics;
  readonly #clock: Clock;
  #count = 0;

  constructor(
    holds: ReadonlyMap<string, Hold>,
    parts: { readonly metrics: ProxyMetrics; readonly clock: Clock; readonly limits?: Partial<HoldLimits> },
  ) {
    this.#holds = holds;
    this.#limits = { ...defaultHoldLimits, ...parts.limits };
    this.#metrics = parts.metrics;
    this.#clock = parts.clock;
  }

  /** Asks the hold `name` and calls `onVerdict` once, later, unless it is cancelled. */
  keep(name: string, request: HeldRequest, onVerdict: (verdict: HoldVerdict) => void): Held {
    const abort = new AbortController();
    let isOver = false;
    const startedMs = this.#clock.now();
    const timer = this.#clock.setTimer(this.#limits.timeoutMs, () =>
      end({ kind: "refuse", status: 504, message: "the request was held for too long" }),
    );
    const end = (verdict: HoldVerdict | undefined) => {
      if (isOver) return;
      isOver = true;
      this.#count--;
      timer.clear();
      this.#metrics.held.with(name).add(-1);
      this.#metrics.heldSeconds.with(name).observe((this.#clock.now() - startedMs) / 1000);
      abort.abort();
      if (verdict !== undefined) onVerdict(verdict);
    };
    this.#count++;
    this.#metrics.held.with(name).add(1);
    void this.#ask(name, request, abort.signal).then(end);
    return { cancel: () => end(undefined) };
  }

  /** A request that was held and let go is answered. */
  tellAnswer(name: string, request: HeldRequest): void {
    this.#holds.get(name)?.onAnswer?.(request);
  }

  async #ask(name: string, request: HeldRequest, signal: AbortSignal): Promise<HoldVerdict> {
    const hold = this.#holds.get(name);
    if (hold === undefined) return refusal(`there is no hold ${name}`);
    if (this.#count > this.#limits.requests) return refusal("too many requests are held");
    try {
      return await hold.admit(request, signal);
    } catch {
      return refusal("the request could not be held");
    }
  }
}

function refusal(message: string): HoldVerdict {
  return { kind: "refuse", status: 503, message };
}

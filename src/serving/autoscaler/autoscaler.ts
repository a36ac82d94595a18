/**
 * The autoscaler of all revisions: keeps the windows of what was reported, ticks while there are reports, and says when a decision has changed. Without reports nothing is decided:
 * silence may be a data plane that is away. A revision at rest at zero costs no timer and no window.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { RevisionStat, StatSink } from "#serving/data-plane.ts";
import { Decider, tickMs } from "./decider.ts";
import type { DeciderSpec } from "./decider-spec.ts";
import { WindowAverage } from "./window-average.ts";

/** What was decided last. Undefined scale: nothing is known yet. */
export type AutoscalerView = {
  readonly desiredScale: number | undefined;
  readonly excessBurstCapacity: number;
};

type Windows = { readonly stable: WindowAverage; readonly panic: WindowAverage };

type Entry = {
  spec: DeciderSpec;
  decider: Decider;
  windows: Windows | undefined;
  timer: Timer | undefined;
  view: AutoscalerView;
};

/** Decides for all revisions, by key "namespace/name". */
export class Autoscaler implements StatSink {
  readonly #clock: Clock;
  readonly #readyPods: (key: string) => number;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners: ((key: string) => void)[] = [];

  constructor(options: { readonly clock: Clock; readonly readyPods: (key: string) => number }) {
    this.#clock = options.clock;
    this.#readyPods = options.readyPods;
  }

  /** Calls back with the key whenever a decision, or whether requests are to be buffered, has changed. */
  onDecision(listener: (key: string) => void): void {
    this.#listeners.push(listener);
  }

  /** Follows a revision under this spec, and gives what is decided. */
  ensure(key: string, spec: DeciderSpec): AutoscalerView {
    const entry = this.#entries.get(key) ?? this.#create(key, spec);
    this.#respecify(entry, spec);
    return entry.view;
  }

  forget(key: string): void {
    this.#entries.get(key)?.timer?.clear();
    this.#entries.delete(key);
  }

  record(stat: RevisionStat): void {
    const key = `${stat.revision.namespace}/${stat.revision.name}`;
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    const value = entry.spec.metric === "rps" ? stat.requestCount : stat.averageConcurrentRequests;
    entry.windows ??= windowsOf(entry.spec);
    entry.windows.stable.record(stat.atMs, value);
    entry.windows.panic.record(stat.atMs, value);
    // Somebody waits: the next tick would be two seconds too late.
    if (stat.averageConcurrentRequests > 0 && !(entry.view.desiredScale ?? 0)) this.#tick(key, entry);
    else this.#arm(key, entry);
  }

  stop(): void {
    for (const key of this.#entries.keys()) this.forget(key);
  }

  #create(key: string, spec: DeciderSpec): Entry {
    const start = { nowMs: this.#clock.now(), readyPods: this.#readyPods(key) };
    const entry: Entry = {
      spec,
      decider: new Decider(spec, start),
      windows: undefined,
      timer: undefined,
      view: { desiredScale: undefined, excessBurstCapacity: firstBurst(spec) },
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #respecify(entry: Entry, spec: DeciderSpec): void {
    const nowMs = this.#clock.now();
    const isOther = entry.spec.metric !== spec.metric || entry.spec.aggregation !== spec.aggregation;
    entry.spec = spec;
    entry.decider.update(spec);
    if (isOther) entry.windows = undefined;
    entry.windows?.stable.resize(spec.stableWindowMs, nowMs);
    entry.windows?.panic.resize(spec.panicWindowMs, nowMs);
  }

  #arm(key: string, entry: Entry): void {
    entry.timer ??= this.#clock.setTimer(tickMs, () => {
      entry.timer = undefined;
      if (this.#entries.get(key) === entry) this.#tick(key, entry);
    });
  }

  #tick(key: string, entry: Entry): void {
    const nowMs = this.#clock.now();
    const { windows, view } = entry;
    if (windows === undefined || windows.stable.isEmpty(nowMs)) {
      entry.windows = undefined;
      return;
    }
    this.#arm(key, entry);
    const { desiredScale, excessBurstCapacity } = entry.decider.decide({
      nowMs,
      readyPods: this.#readyPods(key),
      stableValue: windows.stable.average(nowMs),
      panicValue: windows.panic.average(nowMs),
    });
    entry.view = { desiredScale, excessBurstCapacity };
    const wasShort = view.excessBurstCapacity < 0;
    if (view.desiredScale === desiredScale && wasShort === excessBurstCapacity < 0) return;
    for (const listener of this.#listeners) listener(key);
  }
}

function windowsOf(spec: DeciderSpec): Windows {
  return {
    stable: new WindowAverage(spec.stableWindowMs, spec.aggregation),
    panic: new WindowAverage(spec.panicWindowMs, spec.aggregation),
  };
}

function firstBurst({ targetBurstCapacity, initialScale, totalValue }: DeciderSpec): number {
  return targetBurstCapacity <= 0 ? targetBurstCapacity : Math.trunc(initialScale * totalValue - targetBurstCapacity);
}

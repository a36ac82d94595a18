/**
 * The last cold starts of each revision, as nodes tell of them, and what they come to: for the PodAutoscaler's status, where people and programs read it.
 */
import type { ColdStart, ColdStartPart, ColdStartSink } from "#serving/data-plane.ts";
import type { ColdStartSummary } from "#serving/kinds.ts";

const parts: readonly ColdStartPart[] = ["decision", "schedule", "start", "ready", "firstByte"];
/** So many of each revision are remembered. */
const remembered = 50;

type Log = { readonly starts: ColdStart[]; count: number };

/** By revision's key "namespace/name". */
export class ColdStartLog implements ColdStartSink {
  readonly #logs = new Map<string, Log>();
  /** By reporter and revision: the newest that was heard of. */
  readonly #newest = new Map<string, string>();
  readonly #listeners: ((key: string) => void)[] = [];

  /** Calls back with the key of a revision that has had one. */
  onColdStart(listener: (key: string) => void): void {
    this.#listeners.push(listener);
  }

  recordColdStart(reporter: string, start: ColdStart): void {
    const key = `${start.namespace}/${start.name}`;
    const seen = `${key} ${reporter}`;
    if (start.time <= (this.#newest.get(seen) ?? "")) return;
    this.#newest.set(seen, start.time);
    const log = this.#logs.get(key) ?? { starts: [], count: 0 };
    this.#logs.set(key, log);
    log.starts.push(start);
    if (log.starts.length > remembered) log.starts.shift();
    log.count++;
    for (const listener of this.#listeners) listener(key);
  }

  /** What the status says; `before` is what it said: of the time before this process. */
  summaryOf(key: string, before: ColdStartSummary | undefined): ColdStartSummary | undefined {
    const log = this.#logs.get(key);
    const last = log?.starts.at(-1);
    if (log === undefined || last === undefined || last.time === before?.last?.time) return before;
    // What was counted before this process is in `before` only once.
    const count = (before?.count ?? 0) + log.starts.filter(({ time }) => time > (before?.last?.time ?? "")).length;
    const of = (pick: (start: ColdStart) => number) => log.starts.map(pick).toSorted((a, b) => a - b);
    const totals = of(({ totalMs }) => totalMs);
    const { namespace: _namespace, name: _name, ...kept } = last;
    return {
      count,
      p50Ms: quantile(totals, 0.5),
      p99Ms: quantile(totals, 0.99),
      parts: parts.map((part) => {
        const sorted = of((start) => start[`${part}Ms`]);
        return { part, p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99) };
      }),
      last: kept,
    };
  }

  forget(key: string): void {
    this.#logs.delete(key);
    for (const seen of this.#newest.keys()) if (seen.startsWith(`${key} `)) this.#newest.delete(seen);
  }
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

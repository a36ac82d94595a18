/**
 * What sources have sent and not sent, per source: as Prometheus metrics (names and labels as upstream's `event_count` and `retry_event_count` of sources, under a prefix, since the receiver has those names here), and as the
 * facts that `nodeless event status` shows. Counted since the process began.
 */
import type { MetricRegistry } from "#component-base/metrics.ts";

/** A source, by the name of its kind in small letters: "pingsource". */
export type SourceRef = { readonly kind: string; readonly namespace: string; readonly name: string };

/** The last try that failed. */
export type SourceFailure = { readonly time: string; readonly status: number; readonly why: string };

/** How one source's sending goes. */
export type SourceDelivery = SourceRef & {
  readonly sent: number;
  /** Tries that were put off. */
  readonly retried: number;
  /** Events that were given up: refused for good, or overtaken by the next. */
  readonly failed: number;
  /** From what happened to when the sink took the event of it; of the last one. */
  readonly lagMs?: number;
  readonly lastSentAt?: string;
  /** An event is on its way since then, and was refused at least once. */
  readonly waitingSince?: string;
  readonly lastFailure?: SourceFailure;
};

type Counts = { -readonly [K in keyof SourceDelivery]: SourceDelivery[K] };

const groups: ReadonlyMap<string, string> = new Map([
  ["objectsource", "nodeless.dev"],
  ["gitsource", "nodeless.dev"],
]);
const longestWhy = 200;

/** Counts for all sources of a process. */
export class SourceMetrics {
  readonly #sources = new Map<string, Counts>();
  readonly #tries;
  readonly #retried;
  readonly #failed;
  readonly #lag;

  constructor(registry: MetricRegistry) {
    const labels = ["namespace_name", "name", "resource_group"];
    this.#tries = registry.counter({
      name: "source_event_count",
      help: "Tries of sources to send events, by the answer",
      labels: [...labels, "response_code", "response_code_class"],
    });
    this.#retried = registry.counter({
      name: "source_retry_event_count",
      help: "Tries of sources that were put off after a failure",
      labels,
    });
    this.#failed = registry.counter({
      name: "source_failed_total",
      help: "Events of sources that were given up: refused for good, or overtaken by the next",
      labels,
    });
    this.#lag = registry.gauge({
      name: "source_lag_milliseconds",
      help: "Time from what happened until the sink took the event of it, of the last event",
      labels,
    });
  }

  /** All that have sent, or tried to. */
  all(): readonly SourceDelivery[] {
    return [...this.#sources.values()];
  }

  /** A try that was answered so. */
  tried(source: SourceRef, status: number): void {
    this.#tries.with(...labelsOf(source), String(status), `${Math.floor(status / 100)}xx`).add();
  }

  /** The sink took the event of what happened then. */
  sent(source: SourceRef, happenedMs: number, nowMs: number): void {
    const counts = this.#countsOf(source);
    counts.sent++;
    counts.lastSentAt = new Date(nowMs).toISOString();
    delete counts.waitingSince;
    counts.lagMs = Math.max(0, nowMs - happenedMs);
    this.#lag.with(...labelsOf(source)).set(counts.lagMs);
  }

  /** It was refused, and is tried again. */
  retried(source: SourceRef, failure: { readonly status: number; readonly why: string }, nowMs: number): void {
    const counts = this.#countsOf(source);
    counts.retried++;
    counts.waitingSince ??= new Date(nowMs).toISOString();
    counts.lastFailure = failureOf(failure, nowMs);
    this.#retried.with(...labelsOf(source)).add();
  }

  /** It was refused, and is given up. */
  failed(source: SourceRef, failure: { readonly status: number; readonly why: string }, nowMs: number): void {
    const counts = this.#countsOf(source);
    counts.failed++;
    counts.lastFailure = failureOf(failure, nowMs);
    delete counts.waitingSince;
    this.#failed.with(...labelsOf(source)).add();
  }

  /** The source is no more. */
  forget(source: SourceRef): void {
    this.#sources.delete(keyOf(source));
    const wanted = labelsOf(source).join("\0");
    for (const metric of [this.#tries, this.#retried, this.#failed, this.#lag])
      metric.forget((labels) => labels.slice(0, 3).join("\0") === wanted);
  }

  #countsOf(source: SourceRef): Counts {
    const key = keyOf(source);
    const known = this.#sources.get(key) ?? { ...source, sent: 0, retried: 0, failed: 0 };
    this.#sources.set(key, known);
    return known;
  }
}

function failureOf({ status, why }: { readonly status: number; readonly why: string }, nowMs: number): SourceFailure {
  return { time: new Date(nowMs).toISOString(), status, why: why.slice(0, longestWhy) };
}

function labelsOf({ kind, namespace, name }: SourceRef): readonly [string, string, string] {
  return [namespace, name, `${kind}s.${groups.get(kind) ?? "sources.knative.dev"}`];
}

function keyOf({ kind, namespace, name }: SourceRef): string {
  return `${kind}/${namespace}/${name}`;
}

/**
 * /metrics/probes: how often containers were looked at, with what result, and how long it took. Names as pkg/kubelet/prober, v1.36; the series of a container end with
 * its pod.
 */
import { family, labels } from "#kubelet/server/metric-text.ts";
import type { ProbeKind } from "./probe-watch.ts";

export type ProbeResult = "successful" | "failed" | "unknown";

/** One look. */
export type ProbeLook = {
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  readonly container: string;
  readonly kind: ProbeKind;
  readonly result: ProbeResult;
  readonly tookMs: number;
};

type Names = Readonly<Record<"container" | "namespace" | "pod" | "probe_type", string>>;
type Durations = { readonly names: Names; count: number; seconds: number; readonly buckets: number[] };
type PodSeries = {
  /** By labels as text. */
  readonly totals: Map<string, number>;
  readonly durations: Map<string, Durations>;
};

const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Counts looks. */
export class ProbeMetrics {
  readonly #pods = new Map<string, PodSeries>();

  count(look: ProbeLook): void {
    const { container, namespace, pod, uid, kind, result } = look;
    const series = this.#pods.get(uid) ?? { totals: new Map(), durations: new Map() };
    this.#pods.set(uid, series);
    const names = { container, namespace, pod, probe_type: kind };
    const total = labels({ ...names, pod_uid: uid, result });
    series.totals.set(total, (series.totals.get(total) ?? 0) + 1);
    // A failed look says nothing about how long one takes.
    if (result !== "failed") observe(series.durations, names, look.tookMs / 1000);
  }

  /** The pod is gone. */
  forget(uid: string): void {
    this.#pods.delete(uid);
  }

  /** The text in Prometheus' format. */
  text(): string {
    const pods = [...this.#pods.values()];
    const totals = pods.flatMap((pod) => [...pod.totals].map(([names, count]) => `${names} ${count}`));
    return (
      family(
        "prober_probe_total",
        "counter",
        "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
        totals,
      ) + histogram(pods.flatMap((pod) => [...pod.durations.values()]))
    );
  }
}

function observe(durations: Map<string, Durations>, names: Names, seconds: number): void {
  const key = `${names.container} ${names.probe_type}`;
  const series = durations.get(key) ?? { names, count: 0, seconds: 0, buckets: bounds.map(() => 0) };
  durations.set(key, series);
  series.count += 1;
  series.seconds += seconds;
  bounds.forEach((bound, index) => {
    if (seconds <= bound) series.buckets[index] = (series.buckets[index] ?? 0) + 1;
  });
}

function histogram(all: readonly Durations[]): string {
  if (all.length === 0) return "";
  const name = "prober_probe_duration_seconds";
  const lines = all.flatMap(({ names, count, seconds, buckets }) => [
    ...bounds.map((bound, index) => `${name}_bucket${labels({ ...names, le: String(bound) })} ${buckets[index]}`),
    `${name}_bucket${labels({ ...names, le: "+Inf" })} ${count}`,
    `${name}_sum${labels(names)} ${seconds}`,
    `${name}_count${labels(names)} ${count}`,
  ]);
  return `# HELP ${name} [ALPHA] Duration in seconds for a probe response.\n# TYPE ${name} histogram\n${lines.join("\n")}\n`;
}

/**
 * Counters, gauges and histograms in Prometheus' text format (0.0.4). Who counts often keeps the series it counts in: then counting is an addition. What several threads or processes counted is
 * added up from their snapshots.
 */

/** Values of a metric's labels, in the order of their names. */
export type LabelValues = readonly string[];

export type MetricType = "counter" | "gauge" | "histogram";

/** What a metric is. */
export type MetricDescription = {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
};

/** A metric's series at one moment, as plain data. */
export type MetricSnapshot = MetricDescription & {
  readonly type: MetricType;
  /** Upper bounds of a histogram's buckets. */
  readonly bounds: readonly number[];
  /** One value for counters and gauges; for histograms the buckets (each alone, the last is +Inf) and the sum. */
  readonly series: readonly { readonly labels: LabelValues; readonly values: readonly number[] }[];
};

/** Seconds; client_golang's default. */
export const defaultBounds: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** One counter or gauge. */
export class Value {
  value = 0;

  add(by: number = 1): void {
    this.value += by;
  }

  set(to: number): void {
    this.value = to;
  }
}

/** One distribution. */
export class Distribution {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] as number)) at++;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#sum += value;
  }

  /** Buckets, each alone, and the sum. */
  values(): number[] {
    return [...this.#counts, this.#sum];
  }
}

/** All series of one metric. */
export class Metric<Series> {
  readonly #make: () => Series;
  readonly #series = new Map<string, { readonly labels: LabelValues; readonly series: Series }>();

  constructor(make: () => Series) {
    this.#make = make;
  }

  /** The series with these values; made when it is first asked for. */
  with(...labels: LabelValues): Series {
    const key = labels.join("\0");
    const known = this.#series.get(key);
    if (known !== undefined) return known.series;
    const series = this.#make();
    this.#series.set(key, { labels, series });
    return series;
  }

  /** Forgets the series that `isGone` names: what they counted about is no more. */
  forget(isGone: (labels: LabelValues) => boolean): void {
    for (const [key, { labels }] of this.#series) if (isGone(labels)) this.#series.delete(key);
  }

  entries(): { readonly labels: LabelValues; readonly series: Series }[] {
    return [...this.#series.values()];
  }
}

/** The metrics of one part. */
export class MetricRegistry {
  readonly #snapshots: (() => MetricSnapshot)[] = [];

  counter(description: MetricDescription): Metric<Value> {
    return this.#values("counter", description);
  }

  gauge(description: MetricDescription): Metric<Value> {
    return this.#values("gauge", description);
  }

  histogram(description: MetricDescription, bounds: readonly number[] = defaultBounds): Metric<Distribution> {
    const metric = new Metric(() => new Distribution(bounds));
    this.#snapshots.push(() => ({
      ...description,
      type: "histogram",
      bounds,
      series: metric.entries().map(({ labels, series }) => ({ labels, values: series.values() })),
    }));
    return metric;
  }

  snapshot(): MetricSnapshot[] {
    return this.#snapshots.map((make) => make());
  }

  #values(type: "counter" | "gauge", description: MetricDescription): Metric<Value> {
    const metric = new Metric(() => new Value());
    this.#snapshots.push(() => ({
      ...description,
      type,
      bounds: [],
      series: metric.entries().map(({ labels, series }) => ({ labels, values: [series.value] })),
    }));
    return metric;
  }
}

/** Adds up what several counted under the same names. */
export function sumSnapshots(all: readonly (readonly MetricSnapshot[])[]): MetricSnapshot[] {
  const sums = new Map<string, MetricSnapshot>();
  for (const snapshot of all.flat()) {
    const known = sums.get(snapshot.name);
    sums.set(snapshot.name, known === undefined ? snapshot : { ...known, series: sumSeries(known, snapshot) });
  }
  return [...sums.values()];
}

function sumSeries(a: MetricSnapshot, b: MetricSnapshot): MetricSnapshot["series"] {
  const sums = new Map(a.series.map((series) => [series.labels.join("\0"), series]));
  for (const series of b.series) {
    const key = series.labels.join("\0");
    const known = sums.get(key);
    const values = series.values.map((value, index) => value + (known?.values[index] ?? 0));
    sums.set(key, { labels: series.labels, values });
  }
  return [...sums.values()];
}

/** The text in Prometheus' format. Metrics without series are left out. */
export function metricText(snapshots: readonly MetricSnapshot[]): string {
  return snapshots
    .filter(({ series }) => series.length > 0)
    .map((snapshot) => {
      const { name, help, type } = snapshot;
      const lines = type === "histogram" ? histogramLines(snapshot) : valueLines(snapshot);
      return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
    })
    .join("");
}

function valueLines({ name, labels = [], series }: MetricSnapshot): string[] {
  return series.map((it) => `${name}${labelText(labels, it.labels)} ${it.values[0]}`);
}

function histogramLines({ name, labels = [], bounds, series }: MetricSnapshot): string[] {
  return series.flatMap((it) => {
    let count = 0;
    const buckets = [...bounds.map(String), "+Inf"].map((bound, index) => {
      count += it.values[index] ?? 0;
      return `${name}_bucket${labelText([...labels, "le"], [...it.labels, bound])} ${count}`;
    });
    const own = labelText(labels, it.labels);
    return [...buckets, `${name}_sum${own} ${it.values.at(-1)}`, `${name}_count${own} ${count}`];
  });
}

function labelText(names: readonly string[], values: LabelValues): string {
  if (names.length === 0) return "";
  return `{${names.map((name, index) => `${name}="${escapeLabel(values[index] ?? "")}"`).join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function escapeHelp(help: string): string {
  return help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

/**
 * /metrics in Prometheus' text format, under kube-apiserver's names. Labels are bounded: nothing of a path or a name of an object stands in them.
 */
import type { RequestInfo } from "#apiserver/request.ts";
import type { NonResourceHandler } from "./non-resource.ts";

const BUCKETS_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Methods that are not HTTP's own count as one. */
const KNOWN_VERBS = new Set([
  "get",
  "list",
  "watch",
  "create",
  "update",
  "patch",
  "delete",
  "deletecollection",
  "post",
  "put",
  "head",
]);

type Series = {
  readonly labels: string;
  count: number;
  sumSeconds: number;
  readonly buckets: number[];
  readonly codes: Map<number, number>;
};

/** A value that is read when somebody asks. */
export type Gauge = { readonly name: string; readonly help: string; readonly read: () => number };

/** Counts requests. */
export class Metrics {
  readonly #series = new Map<string, Series>();
  readonly #gauges: Gauge[] = [];

  addGauge(gauge: Gauge): void {
    this.#gauges.push(gauge);
  }

  /** One request that was answered. `isServed` is false for resources that do not exist: they share one series. */
  record(info: RequestInfo | undefined, code: number, seconds: number, isServed: boolean): void {
    const series = this.#find(isServed ? info : undefined);
    series.count++;
    series.sumSeconds += seconds;
    series.codes.set(code, (series.codes.get(code) ?? 0) + 1);
    let bucket = 0;
    while (bucket < BUCKETS_SECONDS.length && seconds > (BUCKETS_SECONDS[bucket] as number)) bucket++;
    series.buckets[bucket] = (series.buckets[bucket] ?? 0) + 1;
  }

  /** All of it as text. */
  render(): string {
    const lines: string[] = [];
    header(lines, "apiserver_request_total", "counter", "Requests that were answered, by code.");
    for (const { labels, codes } of this.#series.values()) {
      for (const [code, count] of codes) lines.push(`apiserver_request_total{${labels},code="${code}"} ${count}`);
    }
    const name = "apiserver_request_duration_seconds";
    header(lines, name, "histogram", "Time from the request to its answer.");
    for (const series of this.#series.values()) histogram(lines, name, series);
    for (const { name: gauge, help, read } of this.#gauges) {
      header(lines, gauge, "gauge", help);
      lines.push(`${gauge} ${read()}`);
    }
    processLines(lines);
    return `${lines.join("\n")}\n`;
  }

  #find(info: RequestInfo | undefined): Series {
    const key =
      info !== undefined ? `${info.verb} ${info.apiGroup} ${info.apiVersion} ${info.resource} ${info.subresource}` : "";
    const there = this.#series.get(key);
    if (there !== undefined) return there;
    const made = {
      labels: labelsOf(info),
      count: 0,
      sumSeconds: 0,
      buckets: [],
      codes: new Map<number, number>(),
    };
    this.#series.set(key, made);
    return made;
  }
}

/** Serves /metrics. */
export function createMetricsHandler(metrics: Metrics): NonResourceHandler {
  return {
    handle: ({ info }) =>
      info.path === "/metrics"
        ? {
            type: "bytes",
            status: 200,
            contentType: "text/plain; version=0.0.4; charset=utf-8",
            body: metrics.render(),
          }
        : undefined,
  };
}

function labelsOf(info: RequestInfo | undefined): string {
  if (info === undefined) return 'verb="other",group="",version="",resource="",subresource=""';
  const verb = KNOWN_VERBS.has(info.verb) ? info.verb.toUpperCase() : "OTHER";
  const { apiGroup, apiVersion, resource, subresource } = info;
  return `verb="${verb}",group="${apiGroup}",version="${apiVersion}",resource="${resource}",subresource="${subresource}"`;
}

function header(lines: string[], name: string, type: string, help: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

function histogram(lines: string[], name: string, series: Series): void {
  let total = 0;
  BUCKETS_SECONDS.forEach((bound, index) => {
    total += series.buckets[index] ?? 0;
    lines.push(`${name}_bucket{${series.labels},le="${bound}"} ${total}`);
  });
  lines.push(`${name}_bucket{${series.labels},le="+Inf"} ${series.count}`);
  lines.push(`${name}_sum{${series.labels}} ${series.sumSeconds}`, `${name}_count{${series.labels}} ${series.count}`);
}

function processLines(lines: string[]): void {
  const { user, system } = process.cpuUsage();
  header(lines, "process_cpu_seconds_total", "counter", "CPU time of the process.");
  lines.push(`process_cpu_seconds_total ${(user + system) / 1e6}`);
  header(lines, "process_resident_memory_bytes", "gauge", "Resident memory of the process.");
  lines.push(`process_resident_memory_bytes ${process.memoryUsage.rss()}`);
}

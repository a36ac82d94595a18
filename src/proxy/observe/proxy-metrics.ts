/**
 * What the engine counts. Series of a rule are kept with it, so that counting a request is a few additions.
 */
import {
  type Distribution,
  type Metric,
  MetricRegistry,
  type MetricSnapshot,
  type Value,
} from "#component-base/metrics.ts";

/** Seconds, from a quick local answer to a slow one. */
const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Who served a request. */
export type RequestLabels = { readonly listener: string; readonly route: string; readonly cluster: string };

/** The series of one listener, route and cluster. */
export class RequestSeries {
  readonly #metrics: ProxyMetrics;
  readonly #labels: RequestLabels;
  readonly #byStatus: (Value | undefined)[] = [];
  readonly #duration: Distribution;
  readonly #received: Value;
  readonly #sent: Value;

  constructor(metrics: ProxyMetrics, labels: RequestLabels) {
    const { listener, route, cluster } = labels;
    this.#metrics = metrics;
    this.#labels = labels;
    this.#duration = metrics.durations.with(listener, route, cluster);
    this.#received = metrics.received.with(listener, route, cluster);
    this.#sent = metrics.sent.with(listener, route, cluster);
  }

  count(request: { status: number; durationMs: number; received: number; sent: number }): void {
    const { status, durationMs, received, sent } = request;
    const known = this.#byStatus[status] ?? this.#ofStatus(status);
    known.value++;
    this.#duration.observe(durationMs / 1000);
    this.#received.value += received;
    this.#sent.value += sent;
  }

  #ofStatus(status: number): Value {
    const { listener, route, cluster } = this.#labels;
    const value = this.#metrics.requests.with(listener, route, cluster, String(status));
    this.#byStatus[status] = value;
    return value;
  }
}

export class ProxyMetrics {
  readonly #registry = new MetricRegistry();
  /** By listener, route and cluster. */
  readonly #series = new Map<string, Map<string, Map<string, RequestSeries>>>();
  readonly requests: Metric<Value>;
  readonly durations: Metric<Distribution>;
  readonly received: Metric<Value>;
  readonly sent: Metric<Value>;
  /** By listener. */
  readonly connections: Metric<Value>;
  readonly connectionsTotal: Metric<Value>;
  /** By listener and what was wrong. */
  readonly refused: Metric<Value>;
  /** By cluster and why. */
  readonly retries: Metric<Value>;
  /** By cluster and why. */
  readonly upstreamFailures: Metric<Value>;
  /** By hold. */
  readonly held: Metric<Value>;
  readonly heldSeconds: Metric<Distribution>;

  constructor() {
    const all = this.#registry;
    const who = ["listener", "route", "cluster"];
    const name = (rest: string) => `nodeless_proxy_${rest}`;
    this.requests = all.counter({
      name: name("requests_total"),
      help: "Requests by status; 0 when the client went before there was one.",
      labels: [...who, "code"],
    });
    this.durations = all.histogram(
      {
        name: name("request_duration_seconds"),
        help: "From a request's head to the end of its response.",
        labels: who,
      },
      seconds,
    );
    this.received = all.counter({ name: name("request_bytes_total"), help: "Bytes of requests' bodies.", labels: who });
    this.sent = all.counter({ name: name("response_bytes_total"), help: "Bytes of responses' bodies.", labels: who });
    this.connections = all.gauge({
      name: name("downstream_connections"),
      help: "Connections of clients that are open.",
      labels: ["listener"],
    });
    this.connectionsTotal = all.counter({
      name: name("downstream_connections_total"),
      help: "Connections of clients.",
      labels: ["listener"],
    });
    this.refused = all.counter({
      name: name("refused_messages_total"),
      help: "Requests that were no HTTP, ambiguous, too large or too slow.",
      labels: ["listener", "reason"],
    });
    this.retries = all.counter({
      name: name("retries_total"),
      help: "Tries after the first.",
      labels: ["cluster", "reason"],
    });
    this.upstreamFailures = all.counter({
      name: name("upstream_failures_total"),
      help: "Tries that failed without a response.",
      labels: ["cluster", "reason"],
    });
    this.held = all.gauge({ name: name("held_requests"), help: "Requests that are held.", labels: ["hold"] });
    this.heldSeconds = all.histogram(
      { name: name("held_seconds"), help: "How long requests were held.", labels: ["hold"] },
      seconds,
    );
  }

  /** The series of these; kept. Asked for by every request: no text is put together for it. */
  series(labels: RequestLabels): RequestSeries {
    const { listener, route, cluster } = labels;
    const known = this.#series.get(listener)?.get(route)?.get(cluster);
    if (known !== undefined) return known;
    const made = new RequestSeries(this, labels);
    const ofListener = this.#series.get(listener) ?? new Map<string, Map<string, RequestSeries>>();
    const ofRoute = ofListener.get(route) ?? new Map<string, RequestSeries>();
    this.#series.set(listener, ofListener.set(route, ofRoute.set(cluster, made)));
    return made;
  }

  /** The series of a route that is no more. */
  forgetRoute(route: string): void {
    for (const ofListener of this.#series.values()) ofListener.delete(route);
    for (const metric of [this.requests, this.received, this.sent]) metric.forget((labels) => labels[1] === route);
    this.durations.forget((labels) => labels[1] === route);
  }

  /** The series of a cluster that is no more. */
  forgetCluster(cluster: string): void {
    this.retries.forget((labels) => labels[0] === cluster);
    this.upstreamFailures.forget((labels) => labels[0] === cluster);
  }

  snapshot(): MetricSnapshot[] {
    return this.#registry.snapshot();
  }
}

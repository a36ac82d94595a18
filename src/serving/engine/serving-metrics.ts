/**
 * What a node's data plane counts, for Prometheus: requests, concurrency, what waits, and cold starts in parts. Labels are those of Knative's own metrics.
 */
import {
  type Distribution,
  type Metric,
  MetricRegistry,
  type MetricSnapshot,
  type Value,
} from "#component-base/metrics.ts";
import type { ColdStart } from "#serving/data-plane.ts";

/** Seconds, from an isolate's start to an image that is pulled first. */
const seconds = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 10, 30, 60];
const who = ["namespace_name", "revision_name"];
const name = (rest: string): string => `nodeless_serving_${rest}`;

/** How busy a revision is now. */
export type RevisionLoad = { readonly concurrency: number; readonly queued: number };

export class ServingMetrics {
  readonly #registry = new MetricRegistry();
  readonly #requests: Metric<Value>;
  readonly #concurrency: Metric<Value>;
  readonly #queued: Metric<Value>;
  readonly #coldStarts: Metric<Distribution>;
  readonly #coldStartParts: Metric<Distribution>;

  constructor() {
    const all = this.#registry;
    this.#requests = all.counter({ name: name("requests_total"), help: "Requests to a revision.", labels: who });
    this.#concurrency = all.gauge({
      name: name("concurrent_requests"),
      help: "Requests to a revision at once, averaged over the last second in which it had any; those that wait included.",
      labels: who,
    });
    this.#queued = all.gauge({
      name: name("queued_requests"),
      help: "Requests that wait for a pod, or for a place in one.",
      labels: who,
    });
    this.#coldStarts = all.histogram(
      {
        name: name("cold_start_seconds"),
        help: "From the first request to a revision at zero to the first byte of an answer.",
        labels: who,
      },
      seconds,
    );
    this.#coldStartParts = all.histogram(
      {
        name: name("cold_start_part_seconds"),
        help: "What cold starts waited for: a decision, a node, the start, readiness, the program's first byte.",
        labels: [...who, "part"],
      },
      seconds,
    );
  }

  count(namespace: string, revision: string, requests: number): void {
    this.#requests.with(namespace, revision).add(requests);
  }

  coldStart({ namespace, name: revision, totalMs, ...rest }: ColdStart): void {
    this.#coldStarts.with(namespace, revision).observe(totalMs / 1000);
    const parts = {
      decision: rest.decisionMs,
      schedule: rest.scheduleMs,
      start: rest.startMs,
      ready: rest.readyMs,
      first_byte: rest.firstByteMs,
    };
    for (const [part, ms] of Object.entries(parts))
      this.#coldStartParts.with(namespace, revision, part).observe(ms / 1000);
  }

  load(namespace: string, revision: string, { concurrency, queued }: RevisionLoad): void {
    this.#concurrency.with(namespace, revision).set(concurrency);
    this.#queued.with(namespace, revision).set(queued);
  }

  /** The revision is no more. */
  forget(namespace: string, revision: string): void {
    const isGone = (labels: readonly string[]) => labels[0] === namespace && labels[1] === revision;
    for (const metric of [this.#requests, this.#concurrency, this.#queued, this.#coldStarts, this.#coldStartParts])
      metric.forget(isGone);
  }

  snapshot(): MetricSnapshot[] {
    return this.#registry.snapshot();
  }
}

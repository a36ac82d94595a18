/**
 * What the dispatcher counts. Names, labels and units that upstream's broker ingress and filter have are theirs; lag, dead and retried events are ours.
 */
import {
  type LabelValues,
  type Metric,
  type MetricRegistry,
  MetricRegistry as Registry,
  type Value,
} from "#component-base/metrics.ts";
import type { Subscription, Topic } from "./topology.ts";

/** Types of events are a stranger's words: those beyond this number are counted together. */
const mostTypes = 500;
const latencyBoundsMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10_000];

/** Of one subscription: events that were delivered, tries that were put off, events that were given up and that were dropped. */
export type SubscriptionCounts = Readonly<Record<"delivered" | "retried" | "failed" | "expired", number>>;

/** Counters of one dispatcher. */
export class DispatchMetrics {
  readonly registry: MetricRegistry = new Registry();
  readonly #types = new Set<string>();
  readonly #received = this.registry.counter({
    name: "event_count",
    help: "Events received, by the answer given",
    labels: ["namespace_name", "broker_name", "event_type", "response_code", "response_code_class"],
  });
  readonly #keeping = this.registry.histogram(
    {
      name: "event_dispatch_latencies",
      help: "Time until an event was durable, in milliseconds",
      labels: ["namespace_name", "broker_name", "response_code", "response_code_class"],
    },
    latencyBoundsMs,
  );
  readonly #tries = this.registry.counter({
    name: "trigger_event_count",
    help: "Tries to deliver events, by the answer",
    labels: ["namespace_name", "trigger_name", "response_code", "response_code_class"],
  });
  readonly #tryTimes = this.registry.histogram(
    {
      name: "trigger_event_dispatch_latencies",
      help: "Time until a subscriber answered, in milliseconds",
      labels: ["namespace_name", "trigger_name"],
    },
    latencyBoundsMs,
  );
  readonly #waits = this.registry.histogram(
    {
      name: "event_processing_latencies",
      help: "Time from an event's arrival until it was taken up for a subscriber, in milliseconds",
      labels: ["namespace_name", "trigger_name"],
    },
    latencyBoundsMs,
  );
  readonly #retried = this.#ofTriggers("trigger_retried_total", "Tries that were put off after a failure");
  readonly #expired = this.#ofTriggers(
    "trigger_expired_total",
    "Events that were dropped by age or size before they were delivered",
  );
  readonly #wentRound = this.#ofTriggers(
    "trigger_replies_dropped_total",
    "Replies that were dropped because they went round too often",
  );
  readonly #dead = this.registry.counter({
    name: "trigger_dead_total",
    help: "Events that were given up, by what became of them at the dead-letter sink",
    labels: ["namespace_name", "trigger_name", "dead_letter"],
  });
  readonly #lag = this.registry.gauge({
    name: "trigger_lag_events",
    help: "Events of the topic that the subscription has not come to, and those under way",
    labels: ["namespace_name", "trigger_name"],
  });
  readonly #kept = this.registry.gauge({
    name: "topic_log_bytes",
    help: "Bytes of events that are kept",
    labels: ["namespace_name", "broker_name"],
  });

  received({ namespace, name }: Topic, type: string, status: number, tookMs: number): void {
    const code = [String(status), codeClass(status)] as const;
    if (this.#types.size < mostTypes) this.#types.add(type);
    this.#received.with(namespace, name, this.#types.has(type) ? type : "other", ...code).add();
    this.#keeping.with(namespace, name, ...code).observe(tookMs);
  }

  takenUp({ namespace, name }: Subscription, waitedMs: number): void {
    this.#waits.with(namespace, name).observe(waitedMs);
  }

  tried({ namespace, name }: Subscription, status: number, tookMs: number): void {
    this.#tries.with(namespace, name, String(status), codeClass(status)).add();
    this.#tryTimes.with(namespace, name).observe(tookMs);
  }

  retried({ namespace, name }: Subscription): void {
    this.#retried.with(namespace, name).add();
  }

  expired({ namespace, name }: Subscription, count: number): void {
    this.#expired.with(namespace, name).add(count);
  }

  wentRound({ namespace, name }: Subscription): void {
    this.#wentRound.with(namespace, name).add();
  }

  gaveUp({ namespace, name }: Subscription, deadLetter: string): void {
    this.#dead.with(namespace, name, deadLetter).add();
  }

  /** What was counted of a subscription. */
  countsOf({ namespace, name }: Subscription): SubscriptionCounts {
    const sum = (metric: Metric<Value>, isCounted: (labels: LabelValues) => boolean = () => true) =>
      metric
        .entries()
        .filter(({ labels }) => labels[0] === namespace && labels[1] === name && isCounted(labels))
        .reduce((all, { series }) => all + series.value, 0);
    return {
      delivered: sum(this.#tries, (labels) => labels[3] === "2xx"),
      retried: sum(this.#retried),
      failed: sum(this.#dead),
      expired: sum(this.#expired),
    };
  }

  /** Set when somebody asks. */
  lag({ namespace, name }: Subscription, events: number): void {
    this.#lag.with(namespace, name).set(events);
  }

  /** Set when somebody asks. */
  kept({ namespace, name }: Topic, bytes: number): void {
    this.#kept.with(namespace, name).set(bytes);
  }

  /** A subscription is no more. */
  forget({ namespace, name }: Subscription): void {
    const metrics = [this.#tries, this.#tryTimes, this.#waits, this.#retried, this.#expired, this.#wentRound];
    for (const metric of [...metrics, this.#dead, this.#lag])
      metric.forget((labels) => labels[0] === namespace && labels[1] === name);
  }

  /** A topic is no more. */
  forgetTopic({ namespace, name }: Topic): void {
    for (const metric of [this.#received, this.#keeping, this.#kept])
      metric.forget((labels) => labels[0] === namespace && labels[1] === name);
  }

  #ofTriggers(name: string, help: string) {
    return this.registry.counter({ name, help, labels: ["namespace_name", "trigger_name"] });
  }
}

function codeClass(status: number): string {
  return `${Math.floor(status / 100)}xx`;
}

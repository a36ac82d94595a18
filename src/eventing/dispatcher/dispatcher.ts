/**
 * Takes events, keeps them, and delivers them as a topology says, which may be replaced at any time: what is new begins, what is gone ends with all that was kept for it, what stays goes on.
 */
import type { Clock } from "#component-base/clock.ts";
import type { SpanSink } from "#component-base/otlp/spans.ts";
import type { Logger } from "#component-base/logger.ts";
import { DispatchMetrics } from "./dispatch-metrics.ts";
import type { EventLogs } from "./event-log.ts";
import { PartCache } from "./part-cache.ts";
import { PlaceKeeper } from "./place-keeper.ts";
import type { Forbids, Lookup } from "./reach.ts";
import { Sender, type TokenSource } from "./sender.ts";
import { type SubscriptionParts, SubscriptionRunner } from "./subscription-runner.ts";
import { deadLogName, TopicRunner } from "./topic-runner.ts";
import type { Topology } from "./topology.ts";

/** What a dispatcher works with. */
export type DispatcherOptions = {
  /** The dispatcher's from now on: it closes them. */
  readonly logs: EventLogs;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Finds hosts of subscribers. Default: the machine's resolver. */
  readonly lookup?: Lookup;
  /** Addresses at which no subscriber may be. Default: none. */
  readonly forbids?: Forbids;
  /** Tokens for targets that ask for one. */
  readonly tokens?: TokenSource;
  /** Told of each step of events that are traced. Default: nobody is. */
  readonly spans?: SpanSink | undefined;
  /** Largest reply of a subscriber. Default 1 MiB. */
  readonly maxEventBytes?: number;
};

const mebibyte = 2 ** 20;
/** Bytes of events that are on their way to subscribers. */
const mostBytesUnderWay = 32 * mebibyte;
const retentionMs = 30_000;
/** Requests that wait for a topic which may come. */
const mostAwaiting = 100;

/** A dispatcher. It does nothing before its first topology. */
export class Dispatcher {
  readonly metrics: DispatchMetrics = new DispatchMetrics();
  readonly #options: DispatcherOptions;
  readonly #cache = new PartCache();
  readonly #places: PlaceKeeper;
  readonly #topics = new Map<string, TopicRunner>();
  readonly #subscriptions = new Map<string, SubscriptionRunner>();
  readonly #memory = { bytes: 0, mostBytes: mostBytesUnderWay };
  #byHost: ReadonlyMap<string, TopicRunner> = new Map();
  #byPath: ReadonlyMap<string, TopicRunner> = new Map();
  readonly #awaiting = new Set<() => void>();
  #work: Promise<void> = Promise.resolve();
  #retention: { clear(): void } | undefined;
  #isStopped = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#places = new PlaceKeeper(options.logs.places, options.clock, options.logger);
  }

  /** Resolves when the topology is in force. Each call waits for the one before. Rejects when a log cannot be opened; what could be done is done then. */
  async apply(topology: Topology): Promise<void> {
    const applying = this.#work.then(() => this.#apply(topology));
    this.#work = applying.catch(() => {}); // told to whoever called
    await applying;
  }

  /** Whose requests with this host and path are. */
  findTopic(host: string, path: string): TopicRunner | undefined {
    return this.#byHost.get(host) ?? this.#byPath.get(path);
  }

  /** The same, for a topic that may come within this time. Some wait; when many do, nobody does. */
  async awaitTopic(host: string, path: string, withinMs: number): Promise<TopicRunner | undefined> {
    if (withinMs === 0 || this.#awaiting.size >= mostAwaiting) return undefined;
    return await new Promise((resolve) => {
      const end = (topic: TopicRunner | undefined) => {
        timer.clear();
        this.#awaiting.delete(look);
        resolve(topic);
      };
      const look = () => {
        const topic = this.findTopic(host, path);
        if (topic) end(topic);
      };
      const timer = this.#options.clock.setTimer(withinMs, () => end(undefined));
      this.#awaiting.add(look);
    });
  }

  topics(): readonly TopicRunner[] {
    return [...this.#topics.values()];
  }

  subscriptions(): readonly SubscriptionRunner[] {
    return [...this.#subscriptions.values()];
  }

  /** Sets the metrics that are known only when somebody asks. */
  measure(): DispatchMetrics {
    for (const { subscription, lag } of this.#subscriptions.values()) this.metrics.lag(subscription, lag);
    for (const { topic, log } of this.#topics.values()) this.metrics.kept(topic, log.bytes);
    return this.metrics;
  }

  /** Ends deliveries, writes places and closes the logs. May be called twice. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#retention?.clear();
    await this.#work;
    await Promise.all([...this.#subscriptions.values()].map((one) => one.stop()));
    this.#places.stop();
    await this.#places.flush(true);
    await this.#options.logs.close();
  }

  async #apply(topology: Topology): Promise<void> {
    if (this.#isStopped) return;
    this.#retention ??= this.#scheduleRetention();
    await this.#endSubscriptions(topology);
    await this.#endTopics(topology);
    const failures: unknown[] = [];
    for (const topic of topology.topics) {
      const known = this.#topics.get(topic.id);
      if (known) known.topic = topic;
      else await this.#openTopic(topic).catch((error: unknown) => failures.push(error));
    }
    for (const subscription of topology.subscriptions) {
      const known = this.#subscriptions.get(subscription.id);
      const topic = this.#topics.get(subscription.topic);
      if (known) known.update(subscription);
      else if (topic) {
        const runner = new SubscriptionRunner(subscription, topic, this.#subscriptionParts());
        this.#subscriptions.set(subscription.id, runner);
        await runner.start();
      }
    }
    // Only now: what comes to a topic finds its subscriptions there.
    this.#route();
    if (failures.length > 0) throw new AggregateError(failures, "logs of topics could not be opened");
  }

  async #openTopic(topic: Topology["topics"][number]): Promise<void> {
    const { logs, clock } = this.#options;
    this.#topics.set(topic.id, await TopicRunner.open(topic, { logs, cache: this.#cache, clock }));
  }

  /** A topic's subscriptions end with it. */
  async #endSubscriptions({ topics, subscriptions }: Topology): Promise<void> {
    const kept = new Set(topics.map(({ id }) => id));
    const wanted = new Map(subscriptions.map((one) => [one.id, one.topic]));
    for (const [id, runner] of this.#subscriptions) {
      const topic = wanted.get(id);
      if (topic === runner.topic.topic.id && kept.has(topic)) continue;
      this.#subscriptions.delete(id);
      await runner.stop();
      this.#places.forget(id);
      this.metrics.forget(runner.subscription);
    }
    for (const id of this.#places.keys()) if (!wanted.has(id)) this.#places.forget(id);
  }

  async #endTopics({ topics }: Topology): Promise<void> {
    const wanted = new Set(topics.flatMap(({ id }) => [id, deadLogName(id)]));
    for (const [id, runner] of this.#topics) {
      if (wanted.has(id)) continue;
      this.#topics.delete(id);
      this.#route();
      await runner.remove();
      this.metrics.forgetTopic(runner.topic);
    }
    for (const name of await this.#options.logs.list()) if (!wanted.has(name)) await this.#options.logs.remove(name);
  }

  #route(): void {
    const byHost = new Map<string, TopicRunner>();
    const byPath = new Map<string, TopicRunner>();
    for (const runner of this.#topics.values()) {
      for (const host of runner.topic.hosts) byHost.set(host, runner);
      if (runner.topic.path !== undefined) byPath.set(runner.topic.path, runner);
    }
    this.#byHost = byHost;
    this.#byPath = byPath;
    for (const look of this.#awaiting) look();
  }

  #subscriptionParts(): SubscriptionParts {
    const { clock, logger, lookup, forbids, tokens, maxEventBytes = mebibyte } = this.#options;
    const given = { ...(lookup && { lookup }), ...(forbids && { forbids }), ...(tokens && { tokens }) };
    const sender = { clock, maxReplyBytes: maxEventBytes, ...given };
    return {
      places: this.#places,
      makeSender: () => new Sender(sender),
      memory: this.#memory,
      metrics: this.metrics,
      spans: this.#options.spans,
      clock,
      logger,
    };
  }

  #scheduleRetention(): { clear(): void } {
    return this.#options.clock.setTimer(retentionMs, () => void this.#retain());
  }

  async #retain(): Promise<void> {
    for (const runner of this.#topics.values()) {
      const { namespace, name } = runner.topic;
      const topic = `${namespace}/${name}`;
      try {
        const gone = await runner.retain();
        if (gone > 0)
          this.#options.logger.info("Dropped events that were too old or too many", { topic, events: gone });
      } catch (error) {
        this.#options.logger.error("Old events could not be dropped", { topic, error });
      }
    }
    if (!this.#isStopped) this.#retention = this.#scheduleRetention();
  }
}

/**
 * One subscription at work: reads its topic at its own pace, has at most so much under way, keeps the order of keys when that is asked for, and knows its place after a crash. What its subscriber does,
 * or leaves undone, is no matter of any other subscription.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { SpanSink } from "#component-base/otlp/spans.ts";
import type { Logger } from "#component-base/logger.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { deliver } from "./delivery.ts";
import { DeliveryItem, type Memory } from "./delivery-item.ts";
import type { DispatchMetrics } from "./dispatch-metrics.ts";
import type { PlacedEvent } from "./part-cache.ts";
import type { Place } from "./place.ts";
import type { PlaceKeeper } from "./place-keeper.ts";
import type { Sender } from "./sender.ts";
import { Slots } from "./slots.ts";
import type { TopicRunner } from "./topic-runner.ts";
import type { Subscription } from "./topology.ts";

/** What all subscriptions share. */
export type SubscriptionParts = {
  readonly places: PlaceKeeper;
  readonly makeSender: () => Sender;
  readonly memory: Memory["of"];
  readonly metrics: DispatchMetrics;
  readonly spans?: SpanSink | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Requests under way. */
const mostSending = 128;
/** Events under way, waiting for another try or for their turn: positions only, as far as they are not being sent. */
const mostOpen = 4096;
/** Bytes of events that one subscription holds, roughly. */
const mostBytes = 4 * 2 ** 20;
/** Tries without any success after which a subscriber counts as away. */
const awayAfter = 8;
/** While it is away, how often another event is tried all the same. */
const probeMs = 30_000;
/** Wait after a failed read. */
const readRetryMs = 1000;

/** A subscription at work. */
export class SubscriptionRunner {
  readonly topic: TopicRunner;
  readonly #parts: SubscriptionParts;
  readonly #sender: Sender;
  readonly #slots = new Slots(mostSending);
  readonly #abort = new AbortController();
  readonly #memory: Memory;
  readonly #open = new Map<number, DeliveryItem>();
  /** Given up before, and delivered again because somebody asked. */
  readonly #revived = new Set<number>();
  /** The last one of each key. */
  readonly #chains = new Map<string, Promise<void>>();
  #subscription: Subscription;
  #next = 1;
  #rewinds = 0;
  /** Tries in a row to which nobody answered. */
  #failures = 0;
  #lastTakenMs = 0;
  #probe: Timer | undefined;
  #pulling: Promise<void> | undefined;
  #isCalled = false;
  /** What was under way before is again: until then nothing that came later may be. */
  #isResumed = false;
  #unsubscribe = () => {};

  constructor(subscription: Subscription, topic: TopicRunner, parts: SubscriptionParts) {
    this.#subscription = subscription;
    this.topic = topic;
    this.#parts = parts;
    this.#sender = parts.makeSender();
    this.#memory = { bytes: 0, busy: 0, of: parts.memory };
  }

  get subscription(): Subscription {
    return this.#subscription;
  }

  /** Events of the topic that it has not come to, and those under way. */
  get lag(): number {
    return this.topic.log.end - this.#next + this.#open.size;
  }

  /** Goes on where it was; a new one begins with what its `since` says, else with what comes from now on. */
  async start(): Promise<void> {
    const { id, since } = this.#subscription;
    const { log } = this.topic;
    const place = this.#parts.places.get(id);
    if (place) this.#next = Math.min(place.next, log.end);
    else this.#next = since === undefined ? log.end : await log.positionAt(since);
    await this.#takeAgain((place?.open ?? []).filter((position) => position < log.end));
    this.#isResumed = true;
    this.#unsubscribe = log.onAppended(() => this.#pull());
    this.#pull();
  }

  /** What is under way goes on as it is told now. */
  update(subscription: Subscription): void {
    this.#subscription = subscription;
    this.#failures = 0;
    this.#pull();
  }

  /** Delivers everything from the position on, again as far as it was. */
  rewind(position: number): void {
    this.#rewinds++;
    this.#next = Math.max(1, Math.min(position, this.topic.log.end));
    this.#failures = 0;
    this.#noteChange();
    this.#pull();
  }

  /** Delivers these again. Gives how many are under way for it now: others are no longer kept. */
  async redeliver(positions: readonly number[]): Promise<number> {
    const isThere = (position: number) => position < this.topic.log.end && !this.#open.has(position);
    const wanted = [...new Set(positions)].filter(isThere).sort((a, b) => a - b);
    for (const position of wanted) this.#revived.add(position);
    return await this.#takeAgain(wanted);
  }

  /** Ends what is under way, which is begun again by the next one of its id. */
  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#probe?.clear();
    this.#abort.abort(new Error("the subscription stops"));
    await this.#pulling;
    await this.#sender.close();
    this.#memory.of.bytes -= this.#memory.bytes;
  }

  #place(): Place {
    return { next: this.#next, open: [...this.#open.keys()].sort((a, b) => a - b) };
  }

  #noteChange(): void {
    if (!this.#abort.signal.aborted) this.#parts.places.changed(this.#subscription.id, () => this.#place());
  }

  /** Takes up what it can; once for all who call meanwhile. */
  #pull(): void {
    this.#isCalled = true;
    this.#pulling ??= this.#pullAll().finally(() => (this.#pulling = undefined)); // never rejects
  }

  async #pullAll(): Promise<void> {
    while (this.#isCalled && !this.#abort.signal.aborted) {
      this.#isCalled = false;
      try {
        while (this.#mayTake() && (await this.#pullPart()));
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.#parts.logger.error("Events could not be read", { subscription: this.#subscription.id, error });
        this.#parts.clock.setTimer(readRetryMs, () => this.#pull());
      }
    }
  }

  /** Gives whether there may be more. */
  async #pullPart(): Promise<boolean> {
    const { log } = this.topic;
    const [from, rewinds] = [this.#next, this.#rewinds];
    if (from >= log.end) return false;
    const { events, next } = await this.topic.read(from);
    if (this.#abort.signal.aborted) return false;
    if (rewinds !== this.#rewinds) return true;
    const gone = (events[0]?.position ?? next) - from;
    if (gone > 0) this.#parts.metrics.expired(this.#subscription, gone);
    this.#noteChange();
    for (const placed of events) {
      if (!this.#mayTake()) return false;
      this.#next = placed.position + 1;
      if (placed.event && this.#wants(placed.event)) this.#takeUp(placed, placed.event);
    }
    this.#next = Math.max(this.#next, next);
    return true;
  }

  #wants(event: CloudEvent): boolean {
    return this.#subscription.filter?.(event) ?? true;
  }

  #mayTake(): boolean {
    const { bytes, busy, of: all } = this.#memory;
    if (!this.#isResumed || this.#subscription.isHeld) return false;
    if (this.#open.size >= mostOpen || busy >= mostSending || this.#abort.signal.aborted) return false;
    if (bytes > 0 && (bytes >= mostBytes || all.bytes >= all.mostBytes)) return false;
    // Nobody is there: what is under way will tell when that changes. New events stay where they are safe.
    const isAway = this.#failures >= awayAfter && this.#open.size > 0;
    return !isAway || this.#parts.clock.now() - this.#lastTakenMs >= probeMs;
  }

  #takeUp({ position, timeMs }: PlacedEvent, event: CloudEvent): void {
    if (this.#open.has(position)) return;
    const nowMs = this.#parts.clock.now();
    this.#lastTakenMs = nowMs;
    this.#parts.metrics.takenUp(this.#subscription, Math.max(0, nowMs - timeMs));
    const item = new DeliveryItem(position, this.#memory);
    item.hold(event);
    this.#take(item, this.#keyOf(event));
  }

  /** Events that were under way before. One after the other: their order must be that of the log. */
  async #takeAgain(positions: readonly number[]): Promise<number> {
    let count = 0;
    for (const position of positions) {
      const event = await this.topic.readOne(position);
      if (!event) {
        this.#parts.metrics.expired(this.#subscription, 1);
        this.#revived.delete(position);
        continue;
      }
      count++;
      this.#take(new DeliveryItem(position, this.#memory), this.#keyOf(event));
    }
    this.#noteChange();
    return count;
  }

  #keyOf({ attributes }: CloudEvent): string | undefined {
    const { orderBy } = this.#subscription.delivery;
    const value = orderBy === undefined ? undefined : attributes.get(orderBy);
    return value === undefined ? undefined : String(value);
  }

  #take(item: DeliveryItem, key: string | undefined): void {
    this.#open.set(item.position, item);
    const before = key === undefined ? undefined : this.#chains.get(key);
    // Many may wait for one: they must not keep others out.
    if (before && this.#memory.bytes > mostBytes / 4) item.letGo();
    const own = before ? before.then(() => this.#bring(item)) : this.#bring(item); // never rejects
    if (key === undefined) return;
    this.#chains.set(key, own);
    void own.then(() => {
      if (this.#chains.get(key) === own) this.#chains.delete(key);
    });
  }

  async #bring(item: DeliveryItem): Promise<void> {
    const { metrics, clock, logger } = this.#parts;
    const { signal } = this.#abort;
    if (signal.aborted) return;
    item.wake();
    try {
      const isTaken = await deliver(item, {
        subscription: () => this.#subscription,
        topic: this.topic,
        sender: this.#sender,
        slots: this.#slots,
        metrics,
        spans: this.#parts.spans,
        clock,
        logger,
        signal,
        onTry: (isThere) => this.#onTry(isThere),
      });
      // A crash before this is written leaves it listed as dead: better twice than not at all.
      const isRevived = this.#revived.delete(item.position);
      if (isRevived && isTaken) await this.topic.settle(this.#subscription.id, item.position);
    } catch (error) {
      if (signal.aborted) return; // it stays open in the place that was written
      logger.error("A delivery broke off", { subscription: this.#subscription.id, position: item.position, error });
    }
    item.rest();
    this.#open.delete(item.position);
    this.#noteChange();
    this.#pull();
  }

  #onTry(isThere: boolean): void {
    this.#failures = isThere ? 0 : this.#failures + 1;
    if (this.#failures >= awayAfter) this.#probeLater();
    else this.#pull();
  }

  #probeLater(): void {
    this.#probe ??= this.#parts.clock.setTimer(probeMs, () => {
      this.#probe = undefined;
      this.#pull();
      if (this.#failures >= awayAfter && !this.#abort.signal.aborted) this.#probeLater();
    });
  }
}

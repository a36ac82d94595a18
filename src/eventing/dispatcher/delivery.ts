/**
 * One event on its way to one subscriber: tries, waits in between, what happens with the reply, and where the event ends when nobody takes it.
 */
import type { Clock } from "#component-base/clock.ts";
import type { SpanSink } from "#component-base/otlp/spans.ts";
import type { Logger } from "#component-base/logger.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { backOffMs } from "./back-off.ts";
import { asDeadLetter, asReply, type DeliveryError, leaveBroker } from "./broker-attributes.ts";
import type { DispatchMetrics } from "./dispatch-metrics.ts";
import type { Outcome, Sender } from "./sender.ts";
import type { Slots } from "./slots.ts";
import { type TopicRunner, WentRoundTooOften } from "./topic-runner.ts";
import type { Subscription, Target } from "./topology.ts";
import { recordStep, stepOfDelivery, type TraceStep } from "./trace-step.ts";

/** What a delivery works with. */
export type DeliveryParts = {
  /** As it is now: it may change between two tries. */
  readonly subscription: () => Subscription;
  readonly topic: TopicRunner;
  readonly sender: Sender;
  /** One for each request under way. */
  readonly slots: Slots;
  readonly metrics: DispatchMetrics;
  /** Told of each try. Default: nobody is. */
  readonly spans?: SpanSink | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Told of each try at the subscriber. `isThere`: it answered, whatever it was. */
  readonly onTry: (isThere: boolean) => void;
};

/** An event on its way. While it waits it is not kept in memory. */
export interface Delivered {
  readonly position: number;
  readonly event: CloudEvent | undefined;
  /** It was read again. */
  hold(event: CloudEvent): void;
  /** It waits for another try, until {@link wake}. */
  rest(): void;
  /** Its next try begins. */
  wake(): void;
}

/** Wait before the next try to keep what was given up. */
const buryRetryMs = 5000;
/** Longest wait between two looks for somebody who is not there. */
const absenceMs = 30_000;

/** Brings the event to its end: taken, which is true, or given up and kept as that. Rejects with the signal's reason only. */
export async function deliver(item: Delivered, parts: DeliveryParts): Promise<boolean> {
  const { subscriber, reply } = parts.subscription();
  if (!subscriber) {
    // A Subscription that only passes on.
    if (reply === undefined) return true;
    return await passOn(item, parts, { event: await have(item, parts), destination: reply });
  }
  const result = await send(item, parts, { target: () => parts.subscription().subscriber ?? subscriber });
  if (result.kind === "expired") return false;
  if (result.kind === "refused") {
    await giveUp(item, parts, result);
    return false;
  }
  if (!result.reply || reply === undefined) return true;
  const event = await have(item, parts);
  const answer = event ? asReply(result.reply, event, result.step) : result.reply;
  return await passOn(item, parts, { event: answer, destination: reply });
}

type Sent =
  | { readonly kind: "taken"; readonly reply: CloudEvent | undefined; readonly step: TraceStep | undefined }
  | { readonly kind: "refused"; readonly error: DeliveryError; readonly tries: number }
  | { readonly kind: "expired" };

type Sending = {
  readonly target: () => Target;
  /** Another event in place of the item's own. */
  readonly event?: CloudEvent;
  readonly isToSubscriber?: boolean;
};

async function send(item: Delivered, parts: DeliveryParts, { target, event }: Sending): Promise<Sent> {
  for (let tries = 1; ; tries++) {
    const sent = event ?? (await have(item, parts));
    if (!sent) return { kind: "expired" };
    const destination = target();
    const step = stepOfDelivery(sent);
    const isToSubscriber = event === undefined;
    const outcome = await tryOnce({ event: leaveBroker(sent), target: destination, step, isToSubscriber }, parts);
    if (outcome.kind === "taken") return { kind: "taken", reply: outcome.reply, step };
    const { delivery } = parts.subscription();
    const isSpent = tries > delivery.retries;
    // "Retry" is the least number of tries. Who was not there has refused nothing, and where there is no sink for dead letters the event is best kept for him.
    const isWaitedFor = event === undefined && !outcome.isReached && delivery.deadLetter === undefined;
    if (!outcome.isRetryable || (isSpent && !isWaitedFor)) {
      return {
        kind: "refused",
        tries,
        error: { destination: destination.url, code: outcome.status, data: outcome.why },
      };
    }
    parts.metrics.retried(parts.subscription());
    if (event === undefined) item.rest();
    const waitMs = backOffMs(delivery, tries, outcome.retryAfterMs);
    await parts.clock.sleep(isSpent ? Math.min(waitMs, absenceMs) : waitMs, parts.signal);
    if (event === undefined) item.wake();
  }
}

type Try = {
  readonly event: CloudEvent;
  readonly target: Target;
  readonly step: TraceStep | undefined;
  readonly isToSubscriber: boolean;
};

async function tryOnce({ event, target, step, isToSubscriber }: Try, parts: DeliveryParts): Promise<Outcome> {
  const { slots, sender, metrics, spans, clock, signal } = parts;
  await slots.take();
  try {
    const startMs = clock.now();
    const { timeoutMs, format } = parts.subscription().delivery;
    const outcome = await sender.send(event, target, { timeoutMs, format, step, signal });
    if (spans !== undefined) {
      const error = outcome.kind === "taken" ? undefined : outcome.why;
      const times = { startMs, endMs: clock.now() };
      recordStep(spans, step, { name: nameOf(parts), kind: "client", event, ...times, status: outcome.status, error });
    }
    if (isToSubscriber) {
      parts.onTry(outcome.kind === "taken" || outcome.isAnswered);
      metrics.tried(parts.subscription(), outcome.status, clock.now() - startMs);
    }
    return outcome;
  } finally {
    slots.release();
  }
}

/** As upstream names them in traces. */
function nameOf({ topic, subscription }: DeliveryParts): string {
  const { namespace, name } = subscription();
  return `${topic.topic.kind === "Broker" ? "trigger" : "subscription"}:${name}.${namespace}`;
}

/** To the reply's address, or back into the topic. False: nobody took it. */
async function passOn(
  item: Delivered,
  parts: DeliveryParts,
  { event, destination }: { readonly event: CloudEvent | undefined; readonly destination: Target | "topic" },
): Promise<boolean> {
  if (!event) return true;
  if (destination === "topic") {
    await replyToTopic(event, parts);
    return true;
  }
  const result = await send(item, parts, { target: () => destination, event });
  if (result.kind !== "refused") return true;
  await giveUp(item, parts, result);
  return false;
}

async function replyToTopic(event: CloudEvent, { topic, metrics, subscription, clock, logger, signal }: DeliveryParts) {
  for (;;) {
    try {
      await topic.accept(event);
      return;
    } catch (error) {
      const { namespace, name } = subscription();
      if (error instanceof WentRoundTooOften) {
        metrics.wentRound(subscription());
        logger.warn("Dropped a reply that went round too often", { trigger: `${namespace}/${name}` });
        return;
      }
      logger.error("A reply could not be kept", { trigger: `${namespace}/${name}`, error });
      await clock.sleep(buryRetryMs, signal);
    }
  }
}

/** The dead-letter sink gets it, and it is kept as given up, whatever the sink says. */
async function giveUp(
  item: Delivered,
  parts: DeliveryParts,
  { error, tries }: { readonly error: DeliveryError; readonly tries: number },
): Promise<void> {
  const { topic, metrics, clock, logger, signal } = parts;
  const event = await have(item, parts);
  if (!event) return;
  const subscription = parts.subscription();
  const sink = subscription.delivery.deadLetter;
  const letter = leaveBroker(asDeadLetter(event, error));
  const result = sink && (await send(item, parts, { target: () => sink, event: letter }));
  const deadLetter = result === undefined ? "none" : result.kind === "taken" ? "taken" : "refused";
  const dead = { event, subscription: subscription.id, position: item.position, error, tries, deadLetter } as const;
  for (;;) {
    try {
      await topic.bury(dead);
      metrics.gaveUp(subscription, deadLetter);
      return;
    } catch (cause) {
      logger.error("An event that was given up could not be kept as such", { position: item.position, error: cause });
      await clock.sleep(buryRetryMs, signal);
    }
  }
}

/** The event, from the log when it was let go. Undefined when the log no longer has it. */
async function have(item: Delivered, parts: DeliveryParts): Promise<CloudEvent | undefined> {
  const { topic, subscription, metrics, clock, logger, signal } = parts;
  for (;;) {
    if (item.event) return item.event;
    signal.throwIfAborted();
    try {
      const event = await topic.readOne(item.position);
      if (event) item.hold(event);
      else metrics.expired(subscription(), 1);
      return event;
    } catch (error) {
      logger.error("An event could not be read", { position: item.position, error });
      await clock.sleep(buryRetryMs, signal);
    }
  }
}

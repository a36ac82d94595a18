/**
 * One Broker or Channel at work: takes events into its log, and lets subscriptions read them.
 */
import type { Clock } from "#component-base/clock.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { arriveAtBroker } from "./broker-attributes.ts";
import type { DeadEvent } from "./dead-event.ts";
import { deadEventToBytes, settlement } from "./dead-event.ts";
import { eventToBytes } from "./event-bytes.ts";
import type { EventLog, EventLogs } from "./event-log.ts";
import type { EventPart, PartCache } from "./part-cache.ts";
import type { Topic } from "./topology.ts";

/** What all topics share. */
export type TopicParts = { readonly logs: EventLogs; readonly cache: PartCache; readonly clock: Clock };

/** The event has been through this broker as often as may be. */
export class WentRoundTooOften extends Error {
  readonly kind = "WentRoundTooOften";
}

/** A topic whose log is open. */
export class TopicRunner {
  topic: Topic;
  readonly log: EventLog;
  readonly #parts: TopicParts;
  #dead: Promise<EventLog> | undefined;

  private constructor(topic: Topic, log: EventLog, parts: TopicParts) {
    this.topic = topic;
    this.log = log;
    this.#parts = parts;
  }

  static async open(topic: Topic, parts: TopicParts): Promise<TopicRunner> {
    return new TopicRunner(topic, await parts.logs.open(topic.id, topic.retention), parts);
  }

  /** Resolves with the event's position when it is durable. Throws {@link WentRoundTooOften}, and what the log throws. */
  async accept(event: CloudEvent): Promise<number> {
    const { kind, namespace, name } = this.topic;
    const arrived = kind === "Broker" ? arriveAtBroker(event, this.#parts.clock.now()) : event;
    if (!arrived) throw new WentRoundTooOften(`the event has gone round Broker ${namespace}/${name} too often`);
    return await this.log.append(eventToBytes(arrived));
  }

  async read(from: number): Promise<EventPart> {
    return await this.#parts.cache.read(this.log, from);
  }

  /** The one event at this position, or undefined when it is no longer kept. */
  async readOne(position: number): Promise<CloudEvent | undefined> {
    const { events } = await this.read(position);
    return events.find((event) => event.position === position)?.event;
  }

  /** Keeps an event that was given up. Resolves when that is durable. */
  async bury(dead: DeadEvent): Promise<void> {
    await (await this.dead()).append(deadEventToBytes(dead));
  }

  /** What was given up of this position was taken in the end. */
  async settle(subscription: string, position: number): Promise<void> {
    await this.bury(settlement(subscription, position));
  }

  /** Events of this topic that were given up. */
  async dead(): Promise<EventLog> {
    this.#dead ??= this.#parts.logs.open(deadLogName(this.topic.id), this.topic.retention);
    this.#dead.catch(() => (this.#dead = undefined));
    return await this.#dead;
  }

  /** Drops what is older or more than is to be kept. Gives how many events went. */
  async retain(): Promise<number> {
    const gone = await this.log.retain(this.topic.retention);
    await (await this.#dead)?.retain(this.topic.retention);
    return gone;
  }

  /** Removes the topic with all that is in it. */
  async remove(): Promise<void> {
    this.#parts.cache.forget(this.log);
    await this.#parts.logs.remove(this.topic.id);
    await this.#parts.logs.remove(deadLogName(this.topic.id));
  }
}

/** Name of the log that holds what was given up of a topic. */
export function deadLogName(topic: string): string {
  return `${topic}.dead`;
}

/**
 * Makes EventTypes of the events that come in, while the feature `eventtype-auto-create` is on. In the background: no event waits for it.
 */
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { Logger } from "#component-base/logger.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { FeaturesConfig } from "#eventing/config/features-config.ts";
import type { Topic } from "#eventing/dispatcher/topology.ts";
import { type EventType, eventTypes } from "#eventing/kinds.ts";
import { eventingGroup, messagingGroup } from "#eventing/names.ts";
import { eventTypeOf } from "./event-type-of.ts";

/** Names that were made, or are being made: they are not made again. */
const mostKnown = 10_000;
/** Beyond it what comes is left out, until it comes again. */
const mostUnderWay = 16;

/** What it works with. */
export type EventTypeRecorderOptions = {
  readonly client: Client;
  readonly features: () => FeaturesConfig;
  readonly logger: Logger;
  readonly signal: AbortSignal;
};

/** Told of each event that was accepted. */
export class EventTypeRecorder {
  readonly #options: EventTypeRecorderOptions;
  readonly #known = new Set<string>();
  #underWay = 0;

  constructor(options: EventTypeRecorderOptions) {
    this.#options = options;
  }

  /** Never waits, never throws. */
  record(topic: Topic, event: CloudEvent): void {
    if (!this.#options.features().eventTypeAutoCreate || this.#underWay >= mostUnderWay) return;
    const eventType = eventTypeOf(event, addressableOf(topic));
    const key = `${topic.namespace}/${eventType.metadata?.name}`;
    if (this.#known.has(key)) return;
    remember(this.#known, key);
    this.#underWay++;
    void this.#create(key, eventType); // never rejects
  }

  async #create(key: string, eventType: EventType): Promise<void> {
    const { client, logger, signal } = this.#options;
    const { namespace = "" } = eventType.metadata ?? {};
    try {
      await client.create<EventType>({ resource: eventTypes, namespace }, eventType, { signal });
    } catch (error) {
      if (hasReason(error, "AlreadyExists")) return;
      this.#known.delete(key);
      if (!signal.aborted) logger.warn("An EventType could not be made", { eventType: key, error });
    } finally {
      this.#underWay--;
    }
  }
}

function addressableOf({ kind, id, namespace, name }: Topic): Parameters<typeof eventTypeOf>[1] {
  const isBroker = kind === "Broker";
  return {
    apiVersion: isBroker ? `${eventingGroup}/v1` : `${messagingGroup}/v1`,
    kind: isBroker ? "Broker" : "InMemoryChannel",
    metadata: { name, namespace, uid: id },
  };
}

function remember(known: Set<string>, key: string): void {
  known.add(key);
  const [oldest] = known;
  if (known.size > mostKnown && oldest !== undefined) known.delete(oldest);
}

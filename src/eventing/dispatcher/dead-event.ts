/**
 * An event that a subscriber did not take, and what was tried: what `nodeless event dead` lists.
 */
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { DeliveryError } from "./broker-attributes.ts";
import { eventFromBytes, eventToBytes } from "./event-bytes.ts";

/** What is kept of it. */
export type DeadEvent = {
  readonly event: CloudEvent;
  /** Id of the subscription. */
  readonly subscription: string;
  /** Where the event is in the topic. */
  readonly position: number;
  readonly error: DeliveryError;
  readonly tries: number;
  /** What became of it at the dead-letter sink: there is none, it took the event, or it did not. */
  readonly deadLetter: "none" | "taken" | "refused";
};

/** As it is kept: what is told of it as JSON, then the event. */
export function deadEventToBytes({ event, ...rest }: DeadEvent): Buffer {
  const facts = Buffer.from(JSON.stringify(rest));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(facts.length);
  return Buffer.concat([length, facts, eventToBytes(event)]);
}

/** What {@link deadEventToBytes} wrote. */
export function deadEventFromBytes(payload: Uint8Array): DeadEvent {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const end = 4 + bytes.readUInt32BE(0);
  const facts = JSON.parse(bytes.toString("utf8", 4, end)) as Omit<DeadEvent, "event">;
  return { ...facts, event: eventFromBytes(bytes.subarray(end)) };
}

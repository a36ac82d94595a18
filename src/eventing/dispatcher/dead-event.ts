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
  /** It was delivered again and taken: what stands before this of the same subscription and position is settled. */
  readonly isSettled?: boolean;
};

/** What is told of it. */
export type DeadFacts = Omit<DeadEvent, "event">;

/** Says that a dead event is none any more. */
export function settlement(subscription: string, position: number): DeadEvent {
  const nothing = { destination: "", code: 0, data: "" };
  const facts = { subscription, position, error: nothing, tries: 0, deadLetter: "none" } as const;
  return { ...facts, event: { attributes: new Map() }, isSettled: true };
}

/** As it is kept: what is told of it as JSON, then the event. */
export function deadEventToBytes({ event, ...rest }: DeadEvent): Buffer {
  const facts = Buffer.from(JSON.stringify(rest));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(facts.length);
  return Buffer.concat([length, facts, eventToBytes(event)]);
}

/** What {@link deadEventToBytes} wrote. */
export function deadEventFromBytes(payload: Uint8Array): DeadEvent {
  const { facts, rest } = split(payload);
  return { ...facts, event: eventFromBytes(rest) };
}

/** The same without the event, which is not looked at. */
export function deadFactsFromBytes(payload: Uint8Array): DeadFacts {
  return split(payload).facts;
}

function split(payload: Uint8Array): { readonly facts: DeadFacts; readonly rest: Buffer } {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const end = 4 + bytes.readUInt32BE(0);
  return { facts: JSON.parse(bytes.toString("utf8", 4, end)) as DeadFacts, rest: bytes.subarray(end) };
}

/**
 * Extension attributes with which Knative's brokers keep events from going round for ever (`knativebrokerttl`), tell when they came (`knativearrivaltime`), and say what went wrong with those that
 * nobody took (`knativeerror…`); and W3C trace context as the distributed tracing extension of CloudEvents.
 */
import { randomUUID } from "node:crypto";
import type { AttributeValue, CloudEvent } from "#eventing/cloudevents/cloud-event.ts";

const ttlName = "knativebrokerttl";
const arrivalName = "knativearrivaltime";
/** How often an event may come back as a reply; upstream's. */
const defaultTtl = 255;
const longestErrorData = 1024;
const tracePattern = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** The event as a broker takes it; undefined when it has gone round often enough. */
export function arriveAtBroker(event: CloudEvent, nowMs: number): CloudEvent | undefined {
  const given = event.attributes.get(ttlName);
  const ttl = given === undefined ? defaultTtl : Number(given) - 1;
  if (!(ttl > 0)) return undefined;
  const attributes = new Map(event.attributes);
  attributes.set(ttlName, ttl);
  attributes.set(arrivalName, new Date(nowMs).toISOString());
  return { ...event, attributes };
}

/** The event as a broker's subscriber gets it. */
export function leaveBroker(event: CloudEvent): CloudEvent {
  if (!event.attributes.has(ttlName)) return event;
  const attributes = new Map(event.attributes);
  attributes.delete(ttlName);
  return { ...event, attributes };
}

/** A subscriber's reply, on its way back to where the event came from: it goes round with it, and belongs to its trace. */
export function asReply(reply: CloudEvent, to: CloudEvent): CloudEvent {
  const attributes = new Map(reply.attributes);
  const ttl = to.attributes.get(ttlName);
  if (ttl === undefined) attributes.delete(ttlName);
  else attributes.set(ttlName, ttl);
  copyIfMissing(attributes, to, "traceparent");
  copyIfMissing(attributes, to, "tracestate");
  return { ...reply, attributes };
}

/** What happened to an event that a subscriber did not take. */
export type DeliveryError = {
  readonly destination: string;
  /** HTTP status; 500 when there was no answer. */
  readonly code: number;
  /** The answer's body, or why there was none. */
  readonly data: string;
};

/** The event as a dead-letter sink gets it. */
export function asDeadLetter(event: CloudEvent, { destination, code, data }: DeliveryError): CloudEvent {
  const attributes = new Map(event.attributes);
  attributes.set("knativeerrordest", destination);
  attributes.set("knativeerrorcode", code);
  attributes.set("knativeerrordata", Buffer.from(data).toString("base64").slice(0, longestErrorData));
  return { ...event, attributes };
}

/** The event with a trace: its own, else that of the request which brought it, else a new one. */
export function withTrace(event: CloudEvent, parent: string | undefined, state: string | undefined): CloudEvent {
  if (event.attributes.has("traceparent")) return event;
  const attributes = new Map(event.attributes);
  const isGiven = parent !== undefined && tracePattern.test(parent);
  attributes.set("traceparent", isGiven ? parent : `00-${hex(30)}${hex(2)}-${hex(16)}-01`);
  if (isGiven && state !== undefined && state !== "" && state.length <= 512) attributes.set("tracestate", state);
  return { ...event, attributes };
}

/** Trace headers for one delivery: the event's trace, in a step of its own. */
export function traceHeaders({ attributes }: CloudEvent): string[] {
  const [, trace, , flags] = tracePattern.exec(String(attributes.get("traceparent") ?? "")) ?? [];
  if (trace === undefined) return [];
  const state = attributes.get("tracestate");
  return [
    "traceparent",
    `00-${trace}-${hex(16)}-${flags}`,
    ...(state === undefined ? [] : ["tracestate", String(state)]),
  ];
}

function copyIfMissing(attributes: Map<string, AttributeValue>, from: CloudEvent, name: string): void {
  const value = from.attributes.get(name);
  if (value !== undefined && !attributes.has(name)) attributes.set(name, value);
}

/** Up to 30 digits. Node keeps random bytes for UUIDs in stock; asking the kernel for each id costs ten times as much. */
function hex(digits: number): string {
  const uuid = randomUUID();
  // Without the dashes, and the two digits that are the same in all.
  return (uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(15, 18) + uuid.slice(20, 23) + uuid.slice(24)).slice(
    0,
    digits,
  );
}

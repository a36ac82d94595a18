/**
 * Extension attributes with which Knative's brokers keep events from going round for ever (`knativebrokerttl`), tell when they came (`knativearrivaltime`), and say what went wrong with those that
 * nobody took (`knativeerror…`); and W3C trace context as the distributed tracing extension of CloudEvents.
 */
import type { AttributeValue, CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { hex, type TraceStep, traceparentOf } from "./trace-step.ts";

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

/** A subscriber's reply, on its way back to where the event came from: it goes round with it, and belongs to its trace, as what came of the delivery. */
export function asReply(reply: CloudEvent, to: CloudEvent, step?: TraceStep): CloudEvent {
  const attributes = new Map(reply.attributes);
  const ttl = to.attributes.get(ttlName);
  if (ttl === undefined) attributes.delete(ttlName);
  else attributes.set(ttlName, ttl);
  const trace = to.attributes.get("traceparent");
  // Those who answer with the event's own attributes have not made a step of theirs.
  if (step !== undefined && (attributes.get("traceparent") ?? trace) === trace)
    attributes.set("traceparent", traceparentOf(step));
  else copyIfMissing(attributes, to, "traceparent");
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

/** The event in a trace in which this step took it. What it says of a trace of its own stays. */
export function withStep(event: CloudEvent, step: TraceStep, state: string | undefined): CloudEvent {
  if (event.attributes.has("traceparent")) return event;
  const attributes = new Map(event.attributes);
  attributes.set("traceparent", traceparentOf(step));
  if (step.parentId !== undefined && state !== undefined && state !== "" && state.length <= 512)
    attributes.set("tracestate", state);
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

/** Trace headers of one delivery. */
export function traceHeaders({ attributes }: CloudEvent, step: TraceStep | undefined): string[] {
  if (step === undefined) return [];
  const state = attributes.get("tracestate");
  const rest = state === undefined ? [] : ["tracestate", String(state)];
  return ["traceparent", traceparentOf(step), ...rest];
}

function copyIfMissing(attributes: Map<string, AttributeValue>, from: CloudEvent, name: string): void {
  const value = from.attributes.get(name);
  if (value !== undefined && !attributes.has(name)) attributes.set(name, value);
}

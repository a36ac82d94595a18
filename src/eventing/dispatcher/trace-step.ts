/**
 * One step of an event's trace: where it was taken, or a try to deliver it. W3C trace context, carried in headers, and beside the event in the distributed tracing extension of CloudEvents.
 */
import { randomUUID } from "node:crypto";
import type { SpanSink } from "#component-base/otlp/spans.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";

/** A span, before it is known what came of it. */
export type TraceStep = {
  readonly traceId: string;
  readonly parentId: string | undefined;
  readonly spanId: string;
  /** Two hexadecimal digits; the last bit says that it is sampled. */
  readonly flags: string;
};

const tracePattern = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

type Context = Pick<TraceStep, "traceId" | "spanId" | "flags">;

/** The step in which an event is taken that a request with this header brought. What the event says of itself is its trace; the request is the nearer parent when it is of the same one. */
export function stepOfArrival(
  event: CloudEvent,
  header: string | undefined,
  { sampledShare }: Pick<SpanSink, "sampledShare">,
): TraceStep {
  const own = contextOf(event.attributes.get("traceparent"));
  const request = contextOf(header);
  const trace = own ?? request;
  if (trace === undefined) {
    const flags = Math.random() < sampledShare ? "01" : "00";
    return { traceId: hex(30) + hex(2), parentId: undefined, spanId: hex(16), flags };
  }
  const parent = request?.traceId === trace.traceId ? request : trace;
  return { traceId: trace.traceId, parentId: parent.spanId, spanId: hex(16), flags: trace.flags };
}

/** The step of one try to deliver the event; undefined when it has no trace. */
export function stepOfDelivery({ attributes }: CloudEvent): TraceStep | undefined {
  const context = contextOf(attributes.get("traceparent"));
  if (context === undefined) return undefined;
  return { traceId: context.traceId, parentId: context.spanId, spanId: hex(16), flags: context.flags };
}

/** The step as a `traceparent`. */
export function traceparentOf({ traceId, spanId, flags }: TraceStep): string {
  return `00-${traceId}-${spanId}-${flags}`;
}

/** What is told of a step. */
export type StepFacts = {
  /** As upstream names them: "broker:orders.default", "trigger:mail.default". */
  readonly name: string;
  readonly kind: "server" | "client";
  readonly event: CloudEvent;
  readonly startMs: number;
  readonly endMs: number;
  readonly status: number;
  readonly error?: string | undefined;
};

/** Tells of it, when it is sampled. */
export function recordStep(spans: SpanSink | undefined, step: TraceStep | undefined, facts: StepFacts): void {
  if (spans === undefined || step === undefined || (Number.parseInt(step.flags, 16) & 1) === 0) return;
  const { name, kind, event, startMs, endMs, status, error } = facts;
  const text = (attribute: string) => String(event.attributes.get(attribute) ?? "");
  const { traceId, spanId, parentId } = step;
  const attributes = {
    "messaging.system": "knative",
    "messaging.destination": name,
    "messaging.message.id": text("id"),
    "cloudevents.event_id": text("id"),
    "cloudevents.event_type": text("type"),
    "cloudevents.event_source": text("source"),
    "http.response.status_code": status,
  };
  spans.record({ traceId, spanId, parentId, name, kind, startMs, endMs, attributes, error });
}

function contextOf(text: unknown): Context | undefined {
  const [, traceId, spanId, flags] = tracePattern.exec(typeof text === "string" ? text : "") ?? [];
  return traceId === undefined || spanId === undefined || flags === undefined ? undefined : { traceId, spanId, flags };
}

/** Up to 30 digits. Node keeps random bytes for UUIDs in stock; asking the kernel for each id costs ten times as much. */
export function hex(digits: number): string {
  const uuid = randomUUID();
  // Without the dashes, and the two digits that are the same in all.
  return (uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(15, 18) + uuid.slice(20, 23) + uuid.slice(24)).slice(
    0,
    digits,
  );
}

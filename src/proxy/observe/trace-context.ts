/**
 * Trace context, as W3C (traceparent, tracestate) and as B3 (one field or several) carry it. Without anybody to give spans to it passes through untouched: a span that nobody reports would tear the trace.
 * With a recorder a request gets a span of its own, whose parent is the caller's, and the next hop is told so in the same words that the caller used.
 */
import { randomBytes } from "node:crypto";
import { type Fields, findField, withoutFields } from "#proxy/message/fields.ts";

/** Whose trace a request belongs to. */
export type TraceContext = {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16; the caller's span. Undefined: the trace begins here. */
  readonly parentId: string | undefined;
  /** 16; ours. */
  readonly spanId: string;
  readonly isSampled: boolean;
  readonly format: "w3c" | "b3" | "b3-multi";
};

const allB3: ReadonlySet<string> = new Set([
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-b3-flags",
]);

/** What the request says; undefined when it says nothing, or nothing that can be read. */
export function readTrace(fields: Fields): TraceContext | undefined {
  const traceparent = findField(fields, "traceparent");
  const w3c = traceparent === undefined ? undefined : readW3c(traceparent);
  if (w3c !== undefined) return w3c;
  const b3 = findField(fields, "b3");
  if (b3 !== undefined) return readB3(b3);
  const traceId = findField(fields, "x-b3-traceid");
  return traceId === undefined ? undefined : readB3Fields(fields, traceId);
}

/** A trace that begins here. */
export function beginTrace(isSampled: boolean): TraceContext {
  return { traceId: newId(16), parentId: undefined, spanId: newId(8), isSampled, format: "w3c" };
}

/** The fields that tell the next hop of our span. */
export function withTrace(fields: Fields, trace: TraceContext): Fields {
  const { traceId, spanId, parentId, isSampled, format } = trace;
  const sampled = isSampled ? "1" : "0";
  if (format === "w3c") {
    const rest = withoutFields(fields, (name) => name === "traceparent");
    return [...rest, "traceparent", `00-${traceId}-${spanId}-0${sampled}`];
  }
  const rest = withoutFields(fields, (name) => allB3.has(name));
  if (format === "b3")
    return [...rest, "b3", `${traceId}-${spanId}-${sampled}${parentId === undefined ? "" : `-${parentId}`}`];
  const parent = parentId === undefined ? [] : ["x-b3-parentspanid", parentId];
  return [...rest, "x-b3-traceid", traceId, "x-b3-spanid", spanId, ...parent, "x-b3-sampled", sampled];
}

/** W3C Trace Context 1: later versions may have more behind; ff is no version, zeros are no identifiers. */
function readW3c(text: string): TraceContext | undefined {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text);
  const [, version, traceId = "", parentId = "", flags = "00", rest] = match ?? [];
  if (match === null || version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (isZero(traceId) || isZero(parentId)) return undefined;
  return { traceId, parentId, spanId: newId(8), isSampled: (Number.parseInt(flags, 16) & 1) === 1, format: "w3c" };
}

function readB3(text: string): TraceContext | undefined {
  const match = /^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d]))?(?:-[0-9a-f]{16})?$/i.exec(text);
  const [, traceId = "", parentId = "", sampled] = match ?? [];
  if (match === null) return undefined;
  return {
    traceId: traceId.padStart(32, "0"),
    parentId,
    spanId: newId(8),
    isSampled: sampled === "1" || sampled === "d",
    format: "b3",
  };
}

function readB3Fields(fields: Fields, traceId: string): TraceContext | undefined {
  const parentId = findField(fields, "x-b3-spanid") ?? "";
  if (!/^([0-9a-f]{16}|[0-9a-f]{32})$/i.test(traceId) || !/^[0-9a-f]{16}$/i.test(parentId)) return undefined;
  const isSampled = findField(fields, "x-b3-sampled") === "1" || findField(fields, "x-b3-flags") === "1";
  return { traceId: traceId.padStart(32, "0"), parentId, spanId: newId(8), isSampled, format: "b3-multi" };
}

function isZero(id: string): boolean {
  return /^0+$/.test(id);
}

function newId(bytes: number): string {
  return randomBytes(bytes).toString("hex");
}

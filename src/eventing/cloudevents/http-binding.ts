/**
 * CloudEvents over HTTP (HTTP protocol binding 1.0.2): binary, structured and batched messages, both ways, for requests and responses alike. Which mode a message has is told by its Content-Type.
 */
import type { AttributeValue, CloudEvent } from "./cloud-event.ts";
import { checkAttributes, checkName } from "./attributes.ts";
import { attributeError, CloudEventError, shown } from "./cloud-event-error.ts";
import { decodeHeaderValue, encodeHeaderValue } from "./header-values.ts";
import { formatBatch, formatEvent, parseBatch, parseEvent } from "./json-format.ts";
import { type MediaType, parseMediaType } from "./media-type.ts";

/** What a message brings, or shall bring. */
export type HttpMessage = {
  /** Name, value, name, value, as Node's `rawHeaders`. */
  readonly headers: readonly string[];
  readonly body: Uint8Array;
};

export type ContentMode = "binary" | "structured" | "batch";

/** A message as it was understood. `events` is one event, but for a batch. The data of a binary one is the message's own body, not a copy. */
export type DecodedMessage = { readonly mode: ContentMode; readonly events: readonly CloudEvent[] };

/** Reads a message that must hold an event. Throws {@link CloudEventError}. */
export function decodeMessage(message: HttpMessage): DecodedMessage {
  const head = readHead(message.headers);
  if (head.contentEncoding !== undefined)
    throw new CloudEventError(`a body in content coding ${shown(head.contentEncoding)} is not read`, { status: 415 });
  const type = head.contentType === undefined ? undefined : parseMediaType(head.contentType);
  if (type?.essence.startsWith("application/cloudevents")) return decodeJson(type, message.body);
  if (!head.hasEvent)
    throw new CloudEventError(
      "the message holds no CloudEvent: it has neither headers like ce-id nor a Content-Type of application/cloudevents",
    );
  return { mode: "binary", events: [decodeBinary(message, head.contentType)] };
}

/** Reads a subscriber's answer: the event that it replies with, undefined when it replies with none. Throws {@link CloudEventError} when it is a broken one, or a batch. */
export function decodeReply(message: HttpMessage): CloudEvent | undefined {
  const head = readHead(message.headers);
  const isStructured = head.contentType?.toLowerCase().startsWith("application/cloudevents") === true;
  if (!isStructured && !head.hasVersion) return undefined;
  const { mode, events } = decodeMessage(message);
  if (mode === "batch") throw new CloudEventError("a reply must be one event, not a batch");
  return events[0];
}

/** The event as a binary message: attributes in headers, data as it is. */
export function encodeBinary({ attributes, data }: CloudEvent): HttpMessage {
  const headers: string[] = [];
  for (const [name, value] of attributes) {
    const text = typeof value === "string" ? value : String(value);
    if (name === "datacontenttype") headers.push("content-type", text);
    else headers.push(`ce-${name}`, encodeHeaderValue(text));
  }
  return { headers, body: data ?? noBytes };
}

/** The event as one JSON document. */
export function encodeStructured(event: CloudEvent): HttpMessage {
  return jsonMessage("application/cloudevents+json; charset=utf-8", formatEvent(event));
}

/** The events as one JSON array. Only for a receiver that has asked for batches. */
export function encodeBatch(events: readonly CloudEvent[]): HttpMessage {
  return jsonMessage("application/cloudevents-batch+json; charset=utf-8", formatBatch(events));
}

const noBytes = new Uint8Array(0);

type Head = {
  readonly contentType: string | undefined;
  /** Absent when it is `identity`. */
  readonly contentEncoding: string | undefined;
  /** Whether any header is an attribute. */
  readonly hasEvent: boolean;
  /** Whether `ce-specversion` is among them. */
  readonly hasVersion: boolean;
};

function readHead(headers: readonly string[]): Head {
  let contentType: string | undefined;
  let contentEncoding: string | undefined;
  let hasEvent = false;
  let hasVersion = false;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if (isAttributeHeader(name)) {
      hasEvent = true;
      hasVersion ||= name.length === 14 && name.toLowerCase() === "ce-specversion";
    } else if (name.length === 12 && name.toLowerCase() === "content-type") contentType = headers[i + 1];
    else if (name.length === 16 && name.toLowerCase() === "content-encoding") contentEncoding = headers[i + 1];
  }
  if (contentEncoding?.trim().toLowerCase() === "identity") contentEncoding = undefined;
  return { contentType, contentEncoding, hasEvent, hasVersion };
}

function isAttributeHeader(name: string): boolean {
  return (
    name.length > 3 &&
    (name.charCodeAt(0) | 0x20) === 0x63 &&
    (name.charCodeAt(1) | 0x20) === 0x65 &&
    name.charCodeAt(2) === 0x2d
  );
}

function decodeJson({ essence, charset }: MediaType, body: Uint8Array): DecodedMessage {
  if (charset !== undefined && !["utf-8", "utf8", "us-ascii"].includes(charset))
    throw new CloudEventError(`events in character set ${shown(charset)} are not read: JSON is UTF-8`, { status: 415 });
  // A media type without a format is JSON, as in Go's SDK.
  if (essence === "application/cloudevents+json" || essence === "application/cloudevents")
    return { mode: "structured", events: [parseEvent(body)] };
  if (essence === "application/cloudevents-batch+json" || essence === "application/cloudevents-batch")
    return { mode: "batch", events: parseBatch(body) };
  throw new CloudEventError(`events in format ${shown(essence)} are not read: JSON is`, { status: 415 });
}

function decodeBinary({ headers, body }: HttpMessage, contentType: string | undefined): CloudEvent {
  const attributes = new Map<string, AttributeValue>();
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const header = headers[i] ?? "";
    if (!isAttributeHeader(header)) continue;
    const name = header.slice(3).toLowerCase();
    // Must not be there; where it is, Content-Type says what counts.
    if (name === "datacontenttype") continue;
    checkName(name);
    if (attributes.has(name)) throw attributeError(name, "is given twice");
    const value = decodeHeaderValue(name, headers[i + 1] ?? "");
    if (value !== "" || !isOptional(name)) attributes.set(name, value);
  }
  if (contentType !== undefined && contentType !== "") attributes.set("datacontenttype", contentType);
  checkAttributes(attributes);
  return body.length === 0 ? { attributes } : { attributes, data: body };
}

/** Optional attributes of the specification: empty is as good as absent. */
function isOptional(name: string): boolean {
  return name === "subject" || name === "time" || name === "dataschema";
}

function jsonMessage(contentType: string, text: string): HttpMessage {
  return { headers: ["content-type", contentType], body: Buffer.from(text, "utf8") };
}

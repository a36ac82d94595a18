/**
 * CloudEvents' JSON format, one event and batches (json-format.md 1.0.2). Data that is JSON stays the text that came; what is not valid UTF-8 or not text travels as `data_base64`.
 */
import type { AttributeValue, CloudEvent } from "./cloud-event.ts";
import { attributeError, CloudEventError, shown } from "./cloud-event-error.ts";
import { checkAttributes, checkName } from "./attributes.ts";
import { elementsOf, type Member, membersOf, skipSpace } from "./json-slices.ts";
import { isJsonType, isTextType, type MediaType, parseMediaType } from "./media-type.ts";

/** Most events of one batch. */
export const maxBatchEvents = 10_000;

const utf8 = new TextDecoder("utf-8", { fatal: true });
const base64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Reads one event. Throws {@link CloudEventError}. */
export function parseEvent(body: Uint8Array): CloudEvent {
  const text = readJson(body);
  const start = skipSpace(text, 0);
  if (text[start] !== "{") throw new CloudEventError("the event must be a JSON object");
  return eventAt(text, start);
}

/** Reads a batch; an empty one is legal. Throws {@link CloudEventError}, which names the event's place: one bad event spoils its batch. */
export function parseBatch(body: Uint8Array): readonly CloudEvent[] {
  const text = readJson(body);
  const start = skipSpace(text, 0);
  if (text[start] !== "[") throw new CloudEventError("a batch must be a JSON array");
  const elements = elementsOf(text, start);
  if (elements.length > maxBatchEvents)
    throw new CloudEventError(`the batch has ${elements.length} events; ${maxBatchEvents} are taken`, { status: 413 });
  return elements.map((element, index) => elementAt(text, element.start, index));
}

/** One event as JSON text. */
export function formatEvent(event: CloudEvent): string {
  let text = "";
  for (const [name, value] of event.attributes) {
    text += `${text === "" ? "{" : ","}"${name}":${typeof value === "string" ? JSON.stringify(value) : String(value)}`;
  }
  return `${text}${event.data === undefined ? "" : formatData(event, event.data)}}`;
}

/** A batch as JSON text. */
export function formatBatch(events: readonly CloudEvent[]): string {
  return `[${events.map(formatEvent).join(",")}]`;
}

function readJson(body: Uint8Array): string {
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw new CloudEventError("the body is not UTF-8");
  }
  try {
    JSON.parse(text);
  } catch (error) {
    throw new CloudEventError(`the body is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  return text;
}

function elementAt(text: string, start: number, index: number): CloudEvent {
  try {
    if (text[start] !== "{") throw new CloudEventError("it must be a JSON object");
    return eventAt(text, start);
  } catch (error) {
    if (!(error instanceof CloudEventError)) throw error;
    const { status, attribute } = error;
    throw new CloudEventError(`event ${index} of the batch: ${error.message}`, {
      status,
      ...(attribute === undefined ? {} : { attribute }),
    });
  }
}

function eventAt(text: string, start: number): CloudEvent {
  const attributes = new Map<string, AttributeValue>();
  const seen = new Set<string>();
  let data: Member | undefined;
  let binary: Member | undefined;
  for (const member of membersOf(text, start)) {
    if (seen.has(member.name)) throw attributeError(member.name, "is given twice");
    seen.add(member.name);
    if (member.name === "data") data = member;
    else if (member.name === "data_base64") binary = member;
    else addAttribute(attributes, member.name, JSON.parse(text.slice(member.start, member.end)));
  }
  if (data !== undefined && binary !== undefined)
    throw attributeError("data_base64", "must not stand beside data: an event has one of them");
  const isOldBinary = takeOldEncoding(attributes);
  if (data !== undefined && !attributes.has("datacontenttype")) attributes.set("datacontenttype", "application/json");
  checkAttributes(attributes);
  if (binary !== undefined) return withData(attributes, decodeBase64(text, binary));
  if (data === undefined) return { attributes };
  return withData(attributes, isOldBinary ? decodeBase64(text, data) : dataOf(text, data, attributes));
}

function withData(attributes: CloudEvent["attributes"], data: Uint8Array | undefined): CloudEvent {
  return data === undefined ? { attributes } : { attributes, data };
}

function addAttribute(attributes: Map<string, AttributeValue>, name: string, value: unknown): void {
  checkName(name);
  if (value === null) return;
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean")
    throw attributeError(name, "must be a string, a whole number or a boolean");
  attributes.set(name, value);
}

/** CloudEvents 0.3 said by an attribute that its data is base64. */
function takeOldEncoding(attributes: Map<string, AttributeValue>): boolean {
  if (attributes.get("specversion") !== "0.3") return false;
  const encoding = attributes.get("datacontentencoding");
  attributes.delete("datacontentencoding");
  if (encoding === undefined || encoding === "base64") return encoding === "base64";
  throw attributeError("datacontentencoding", `must be "base64", not ${shown(String(encoding))}`);
}

function decodeBase64(text: string, { name, start, end }: Member): Uint8Array | undefined {
  const value: unknown = JSON.parse(text.slice(start, end));
  if (value === null && name === "data_base64") return undefined;
  if (typeof value !== "string" || value.length % 4 !== 0 || !base64.test(value))
    throw attributeError(name, "must be base64");
  return Buffer.from(value, "base64");
}

function dataOf(text: string, { start, end }: Member, attributes: CloudEvent["attributes"]): Uint8Array {
  const type = parseMediaType(String(attributes.get("datacontenttype")));
  if (type === undefined || isJsonType(type.essence)) return Buffer.from(text.slice(start, end), "utf8");
  const value: unknown = JSON.parse(text.slice(start, end));
  // Go's SDK takes an object under any content type as JSON; so do we, rather than losing the event.
  if (typeof value !== "string") return Buffer.from(text.slice(start, end), "utf8");
  return encodeText(value, type);
}

function encodeText(value: string, { charset }: MediaType): Uint8Array {
  switch (charset) {
    case undefined:
    case "utf-8":
    case "utf8":
      return Buffer.from(value, "utf8");
    case "utf-16le":
      return Buffer.from(value, "utf16le");
    case "us-ascii":
    case "iso-8859-1":
      return Buffer.from(value, "latin1");
    default:
      throw attributeError(
        "datacontenttype",
        `names a character set that data cannot be written in: ${shown(charset)}`,
      );
  }
}

function formatData({ attributes }: CloudEvent, data: Uint8Array): string {
  const contentType = attributes.get("datacontenttype");
  const type = typeof contentType === "string" ? parseMediaType(contentType) : undefined;
  const isUtf8 = type?.charset === undefined || type.charset === "utf-8" || type.charset === "us-ascii";
  if (type !== undefined && isUtf8 && isJsonType(type.essence)) {
    const json = asJson(data);
    if (json !== undefined) return `,"data":${json}`;
  }
  if (type !== undefined && isUtf8 && isTextType(type.essence)) {
    const text = asText(data);
    if (text !== undefined) return `,"data":${JSON.stringify(text)}`;
  }
  const encoded = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
  if (attributes.get("specversion") === "0.3") return `,"datacontentencoding":"base64","data":"${encoded}"`;
  return `,"data_base64":"${encoded}"`;
}

/** The bytes as JSON text to be put into another; undefined when they are none. */
function asJson(data: Uint8Array): string | undefined {
  const text = asText(data);
  if (text === undefined) return undefined;
  try {
    JSON.parse(text);
    return text;
  } catch {
    return undefined;
  }
}

function asText(data: Uint8Array): string | undefined {
  try {
    return utf8.decode(data);
  } catch {
    return undefined;
  }
}

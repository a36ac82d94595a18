/**
 * What a CloudEvent's attributes must be: names, types and formats of CloudEvents 1.0 (spec.md, "Context Attributes"). Where its words allow more than one reading this one is Go's SDK's, which Knative uses: `source` is what
 * a URL parser takes, and 0.3 is let through as 0.3 (Knative's data plane must not raise versions).
 */
import type { AttributeValue, CloudEvent } from "./cloud-event.ts";
import { attributeError, CloudEventError, shown } from "./cloud-event-error.ts";
import { parseMediaType } from "./media-type.ts";

/** Bounds of one event's attributes. A name over 20 characters is legal, a value of this size is no routing information any more. */
export const attributeBounds = {
  count: 128,
  nameCharacters: 64,
  valueCharacters: 8192,
  totalCharacters: 65_536,
} as const;

type Attributes = CloudEvent["attributes"];

const required = ["specversion", "id", "source", "type"] as const;
const forbidden = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u;
const needsLook = /[^\x20-\x7e]/;
const timestamp =
  /^(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,32})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** Throws {@link CloudEventError} when the event could not be one. */
export function checkAttributes(attributes: Attributes): void {
  for (const name of required) requireText(attributes, name);
  checkVersion(String(attributes.get("specversion")));
  checkBounds(attributes);
  for (const [name, value] of attributes) {
    if (typeof value === "string") checkString(name, value);
    else checkOther(name, value);
  }
}

/** Throws unless `name` can be an attribute's. */
export function checkName(name: string): void {
  if (name.length === 0 || name.length > attributeBounds.nameCharacters)
    throw attributeError(name, `must have a name of 1 to ${attributeBounds.nameCharacters} characters`);
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    const isLegal = (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39);
    if (!isLegal) throw attributeError(name, "must have a name of lower-case letters and digits only");
  }
  if (name === "data") throw attributeError(name, "must not be called that: the name is reserved");
}

function requireText(attributes: Attributes, name: string): void {
  const value = attributes.get(name);
  if (value === undefined) throw attributeError(name, "is missing");
  if (typeof value !== "string") throw attributeError(name, `must be a string, not ${String(value)}`);
  if (value === "") throw attributeError(name, "must not be empty");
}

function checkVersion(version: string): void {
  if (version === "1.0" || version === "0.3") return;
  throw attributeError("specversion", `must be "1.0" (or "0.3"), not ${shown(version)}`);
}

function checkBounds(attributes: Attributes): void {
  const { count, totalCharacters } = attributeBounds;
  if (attributes.size > count)
    throw new CloudEventError(`the event has ${attributes.size} attributes; ${count} are taken`, { status: 413 });
  let total = 0;
  for (const [name, value] of attributes) total += name.length + (typeof value === "string" ? value.length : 11);
  if (total > totalCharacters)
    throw new CloudEventError(`the event's attributes have ${total} characters; ${totalCharacters} are taken`, {
      status: 413,
    });
}

function checkString(name: string, value: string): void {
  if (value.length > attributeBounds.valueCharacters)
    throw new CloudEventError(
      `attribute ${JSON.stringify(name)} has ${value.length} characters; ${attributeBounds.valueCharacters} are taken`,
      { status: 413, attribute: name },
    );
  if (needsLook.test(value) && forbidden.test(value))
    throw attributeError(name, `holds a character that attributes must not have: ${shown(value)}`);
  switch (name) {
    case "source":
      return checkReference(name, value);
    case "time":
      return checkTime(value);
    case "dataschema":
      return checkUri(name, value);
    case "datacontenttype":
      return checkMediaType(value);
    case "subject":
      if (value === "") throw attributeError(name, "must not be empty");
  }
}

function checkOther(name: string, value: AttributeValue): void {
  if (name === "subject" || name === "time" || name === "dataschema" || name === "datacontenttype")
    throw attributeError(name, `must be a string, not ${String(value)}`);
  if (typeof value === "number" && (value | 0) !== value)
    throw attributeError(name, `must be a whole number of 32 bits, not ${value}`);
}

function checkReference(name: string, value: string): void {
  if (hasBrokenEscape(value))
    throw attributeError(name, `must be a URI reference; ${shown(value)} has a broken escape`);
  if (value.startsWith(":")) throw attributeError(name, `must be a URI reference; ${shown(value)} has an empty scheme`);
}

function checkUri(name: string, value: string): void {
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:./.test(value) || hasBrokenEscape(value))
    throw attributeError(name, `must be an absolute URI, not ${shown(value)}`);
}

function hasBrokenEscape(value: string): boolean {
  return value.includes("%") && /%(?![0-9A-Fa-f]{2})/.test(value);
}

function checkTime(value: string): void {
  const match = timestamp.exec(value);
  if (match === null || !isDay(Number(match[1]), Number(match[2]), Number(match[3])))
    throw attributeError("time", `must be a timestamp of RFC 3339, not ${shown(value)}`);
}

function isDay(year: number, month: number, day: number): boolean {
  if (month < 1 || month > 12 || day < 1) return false;
  if (day <= 28) return true;
  return day <= new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();
}

function checkMediaType(value: string): void {
  if (needsLook.test(value) || parseMediaType(value) === undefined)
    throw attributeError("datacontenttype", `must be a media type, not ${shown(value)}`);
}

/**
 * Attribute values in HTTP headers: printable ASCII, everything else in percent-encoded UTF-8 (HTTP protocol binding §3.1.3.2). Reading takes quoted strings too, which older senders write, and raw UTF-8, which some do.
 */
import { attributeError } from "./cloud-event-error.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The value as a header may carry it. */
export function encodeHeaderValue(value: string): string {
  for (let i = 0; i < value.length; i++) if (mustEncode(value.charCodeAt(i))) return encodeFrom(value, i);
  return value;
}

/** The value that a header carries. `raw` is as Node gives it: a character for each byte. Throws {@link CloudEventError}, which names `attribute`. */
export function decodeHeaderValue(attribute: string, raw: string): string {
  const bare = raw.startsWith('"') ? unquote(attribute, raw) : raw;
  for (let i = 0; i < bare.length; i++) {
    const code = bare.charCodeAt(i);
    if (code === 0x25 || code > 0x7e) return decodeBytes(attribute, bare);
  }
  return bare;
}

function mustEncode(code: number): boolean {
  return code <= 0x20 || code === 0x22 || code === 0x25 || code > 0x7e;
}

function encodeFrom(value: string, start: number): string {
  let text = value.slice(0, start);
  for (const byte of Buffer.from(value.slice(start), "utf8")) {
    text += mustEncode(byte) ? `%${byte < 16 ? "0" : ""}${byte.toString(16).toUpperCase()}` : String.fromCharCode(byte);
  }
  return text;
}

function unquote(attribute: string, raw: string): string {
  const match = /^"((?:[^"\\]|\\[^])*)"$/.exec(raw);
  if (match === null) throw attributeError(attribute, "is a quoted string that has no end");
  return (match[1] ?? "").replaceAll(/\\([^])/g, "$1");
}

function decodeBytes(attribute: string, text: string): string {
  const bytes = Buffer.from(text, "latin1");
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte !== 0x25) {
      bytes[length++] = byte;
      continue;
    }
    const [high, low] = [hexValue(bytes[i + 1]), hexValue(bytes[i + 2])];
    if (high < 0 || low < 0) throw attributeError(attribute, "has a % without two hexadecimal digits");
    bytes[length++] = high * 16 + low;
    i += 2;
  }
  try {
    return utf8.decode(bytes.subarray(0, length));
  } catch {
    throw attributeError(attribute, "is not UTF-8 once its percent-encoding is undone");
  }
}

function hexValue(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

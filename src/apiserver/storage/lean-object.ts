/**
 * Stored bytes parsed without what managers own. Those sets are half of an object's bytes and most of what it takes to parse it, for no two keys in them are alike; and nobody who encodes or prints an object
 * looks into them.
 */
import { RawJson } from "#apimachinery/codecs/raw-json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";

/** `"fieldsV1":{` without its first quote. */
const FIELDS = Buffer.from('fieldsV1":{');

/** Where one value of fieldsV1 stands: from its opening brace to behind the closing one. */
type Span = { readonly start: number; readonly end: number };

/** What was parsed, and where its metadata ends, which is found on the way. */
export type LeanObject = { readonly object: KubeObject; readonly metadataEnd: number };

/** The object that `bytes` hold; each fieldsV1 in its metadata is a {@link RawJson}. `metadataAt` is where the inside of its metadata begins. */
export function parseLean(bytes: Buffer, metadataAt: number): LeanObject {
  const { spans, metadataEnd } = fieldSpans(bytes, metadataAt);
  if (spans.length === 0) return { object: JSON.parse(bytes.toString()) as KubeObject, metadataEnd };
  let text = "";
  let from = 0;
  for (const [index, { start, end }] of spans.entries()) {
    // Its number stands for it.
    text += bytes.toString("utf8", from, start) + index;
    from = end;
  }
  const object = JSON.parse(text + bytes.toString("utf8", from)) as KubeObject;
  for (const entry of (object.metadata?.managedFields ?? []) as { fieldsV1?: unknown }[]) {
    const span = spans[entry.fieldsV1 as number];
    if (span !== undefined) entry.fieldsV1 = new RawJson(bytes.subarray(span.start, span.end));
  }
  return { object, metadataEnd };
}

/** Walks through the metadata once. Only keys can be followed by a colon and a brace. */
function fieldSpans(
  bytes: Buffer,
  metadataAt: number,
): { readonly spans: readonly Span[]; readonly metadataEnd: number } {
  const spans: Span[] = [];
  let depth = 0;
  let start = 0;
  let startDepth = -1;
  for (let at = metadataAt; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === 0x22) {
      const opened = ++at;
      while (bytes[at] !== 0x22 && at < bytes.length) at += bytes[at] === 0x5c ? 2 : 1;
      if (startDepth < 0 && at - opened === 8 && isFields(bytes, opened)) {
        start = at + 2;
        startDepth = depth;
      }
    } else if (byte === 0x7b) depth++;
    else if (byte === 0x7d) {
      if (depth-- === 0) return { spans, metadataEnd: at };
      if (depth !== startDepth) continue;
      spans.push({ start, end: at + 1 });
      startDepth = -1;
    }
  }
  return { spans, metadataEnd: bytes.length };
}

function isFields(bytes: Buffer, at: number): boolean {
  for (let index = 0; index < FIELDS.length; index++) if (bytes[at + index] !== FIELDS[index]) return false;
  return true;
}

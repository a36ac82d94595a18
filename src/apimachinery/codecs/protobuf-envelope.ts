/**
 * What stands around a protobuf message on the wire: the magic `k8s\0` and runtime.Unknown with apiVersion and kind; lists put together from items that are
 * encoded already; frames of a watch.
 */
import { ProtobufReader, malformed } from "./protobuf-reader.ts";
import { ProtobufWriter } from "./protobuf-writer.ts";

const magic = Buffer.from("k8s\0", "latin1");
const tail = Buffer.from([0x1a, 0x00, 0x22, 0x00]); // contentEncoding and contentType, both empty
const itemTag = 0x12;

/** An envelope's content. `raw` is the object's message, a view on the given bytes. */
export type Envelope = { readonly apiVersion: string; readonly kind: string; readonly raw: Uint8Array };

/** The bytes of a response or request body. */
export function writeEnvelope({ apiVersion, kind, raw }: Envelope): Buffer {
  return Buffer.concat([envelopeHead(apiVersion, kind, raw.length), raw, tail]);
}

/** Reads a body. Throws 400 when it has no envelope. */
export function readEnvelope(body: Uint8Array): Envelope {
  if (body.length < 4 || magic.compare(body, 0, 4) !== 0) {
    throw malformed("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  }
  const reader = new ProtobufReader(body.subarray(4));
  let apiVersion = "";
  let kind = "";
  let raw: Uint8Array = new Uint8Array();
  while (reader.hasMore) {
    const tag = reader.tag();
    if (tag === 0x0a) {
      const outerEnd = reader.enter();
      while (reader.hasMore) {
        const inner = reader.tag();
        if (inner === 0x0a) apiVersion = reader.string();
        else if (inner === 0x12) kind = reader.string();
        else reader.skipField(inner & 7);
      }
      reader.leave(outerEnd);
    } else if (tag === 0x12) raw = reader.bytes();
    else reader.skipField(tag & 7);
  }
  return { apiVersion, kind, raw };
}

/** True for bodies that begin with the envelope's magic. */
export function hasEnvelope(body: Uint8Array): boolean {
  return body.length >= 4 && magic.compare(body, 0, 4) === 0;
}

/** Most bytes that stand before an item of a list: its tag and its length. */
export const MAX_FIELD_HEAD = 6;

/**
 * What stands before and behind the items of a list: `metadata` is the encoded ListMeta, `items` the encoded objects, of which only the lengths are looked at. Between stands each item as
 * {@link writeListItem} writes it.
 */
export function writeListHead(list: {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Uint8Array;
  readonly items: readonly Uint8Array[];
}): { readonly head: Buffer; readonly tail: Buffer } {
  const { metadata, items } = list;
  let length = 1 + varintLength(metadata.length) + metadata.length;
  for (const item of items) length += 1 + varintLength(item.length) + item.length;
  const metadataHead = Buffer.alloc(MAX_FIELD_HEAD);
  const used = writeFieldHead(metadataHead, 0, { tag: 0x0a, length: metadata.length });
  const head = [envelopeHead(list.apiVersion, list.kind, length), metadataHead.subarray(0, used), metadata];
  return { head: Buffer.concat(head), tail };
}

/** Writes an item with its tag and length into `target`, which has room for it and {@link MAX_FIELD_HEAD}. Gives the offset behind it. */
export function writeListItem(target: Buffer, offset: number, item: Uint8Array): number {
  const at = writeFieldHead(target, offset, { tag: itemTag, length: item.length });
  target.set(item, at);
  return at + item.length;
}

/** One frame of a watch: four bytes of length, then WatchEvent with the object in its own envelope. */
export function writeWatchFrame(type: string, object: Uint8Array): Buffer {
  const writer = new ProtobufWriter(object.length + 64);
  writer.bytes(object);
  writer.byte(0x0a); // RawExtension.raw
  writer.varint(writer.length);
  writer.byte(0x12);
  writer.string(type);
  writer.byte(0x0a);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(writer.length);
  writer.raw(length);
  return writer.take();
}

function envelopeHead(apiVersion: string, kind: string, rawLength: number): Buffer {
  const writer = new ProtobufWriter(256);
  writer.varint(rawLength);
  writer.byte(0x12);
  const before = writer.length;
  writer.string(kind);
  writer.byte(0x12);
  writer.string(apiVersion);
  writer.byte(0x0a);
  writer.varint(writer.length - before);
  writer.byte(0x0a);
  writer.raw(magic);
  return writer.take();
}

function writeFieldHead(
  target: Buffer,
  offset: number,
  field: { readonly tag: number; readonly length: number },
): number {
  let at = offset;
  target[at++] = field.tag;
  let rest = field.length;
  while (rest >= 0x80) {
    target[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[at++] = rest;
  return at;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest >>>= 7) length++;
  return length;
}

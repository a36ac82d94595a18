/**
 * An event as it lies in a log: its attributes with their types, and its data untouched.
 */
import type { AttributeValue, CloudEvent } from "#eventing/cloudevents/cloud-event.ts";

const withoutData = 0;
const withData = 1;
const headerBytes = 5;

/** The event as bytes. */
export function eventToBytes({ attributes, data }: CloudEvent): Buffer {
  const names = JSON.stringify([...attributes].flat());
  const length = Buffer.byteLength(names);
  const bytes = Buffer.allocUnsafe(headerBytes + length + (data?.length ?? 0));
  bytes.writeUInt8(data === undefined ? withoutData : withData, 0);
  bytes.writeUInt32BE(length, 1);
  bytes.write(names, headerBytes);
  if (data) bytes.set(data, headerBytes + length);
  return bytes;
}

/** The event that {@link eventToBytes} wrote; its data shares memory with the bytes. Throws when something else wrote them. */
export function eventFromBytes(payload: Uint8Array): CloudEvent {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const end = headerBytes + bytes.readUInt32BE(1);
  const flat = JSON.parse(bytes.toString("utf8", headerBytes, end)) as AttributeValue[];
  const attributes = new Map<string, AttributeValue>();
  for (let index = 0; index < flat.length; index += 2) attributes.set(String(flat[index]), flat[index + 1] ?? "");
  return bytes[0] === withoutData ? { attributes } : { attributes, data: bytes.subarray(end) };
}

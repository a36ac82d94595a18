/**
 * A client for tests that speaks HTTP/2 frame by frame (RFC 9113), so that it can do what no library would.
 */
import type { RawClient } from "./raw-client.ts";

export const frameTypes = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, continuation: 9 } as const;
export const frameFlags = { endStream: 1, endHeaders: 4 } as const;

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const headerBytes = 9;

/** One frame. */
export function frame(
  type: keyof typeof frameTypes,
  options: { readonly flags?: number; readonly stream?: number; readonly payload?: Buffer } = {},
): Buffer {
  const { flags = 0, stream = 0, payload = Buffer.alloc(0) } = options;
  const head = Buffer.alloc(headerBytes);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(frameTypes[type], 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** `GET /` of `http://AUTHORITY`, as HPACK has it: three indexed fields and one literal. */
export function fieldsOfGet(authority: string): Buffer {
  return Buffer.concat([Buffer.from([0x82, 0x84, 0x86, 0x41, authority.length]), Buffer.from(authority)]);
}

/** Of `http://a`. */
export const getFields: Buffer = fieldsOfGet("a");

/** Says preface and settings. */
export function beginHttp2(client: RawClient, settings: Buffer = Buffer.alloc(0)): RawClient {
  client.socket.write(preface);
  client.socket.write(frame("settings", { payload: settings }));
  return client;
}

/** The value of a setting. */
export function setting(identifier: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(identifier, 0);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

/**
 * Frames of HTTP/2 by hand, for tests that send what no library would send, and for benches that measure the server and not a client: RFC 9113, and of HPACK (RFC 7541) only literals.
 */

export const FRAME = {
  data: 0x0,
  headers: 0x1,
  rstStream: 0x3,
  settings: 0x4,
  ping: 0x6,
  goAway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** The same bit is ACK for SETTINGS and PING. */
export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;

export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** What stands in a frame's head. */
export type FrameHead = { readonly type: number; readonly flags: number; readonly id: number };

/** One frame. */
export function frame({ type, flags, id }: FrameHead, payload: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.allocUnsafe(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(id, 5);
  bytes.set(payload, 9);
  return bytes;
}

/** A WINDOW_UPDATE: `bytes` more may be sent on stream `id`, 0 for the connection. */
export function credit(id: number, bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame({ type: FRAME.windowUpdate, flags: 0, id }, payload);
}

/** A SETTINGS frame of one setting. */
export function setting(setting: number, value: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(setting, 0);
  payload.writeUInt32BE(value, 2);
  return frame({ type: FRAME.settings, flags: 0, id: 0 }, payload);
}

/** A header block in which no field goes into a table. */
export function headerBlock(fields: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(fields).map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])),
  );
}

/** Cuts what arrives into frames; gives each to `onFrame`. */
export function frameReader(onFrame: (head: FrameHead, payload: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer | undefined;
  return (chunk) => {
    const data = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (data.length - at >= 9) {
      const length = data.readUIntBE(at, 3);
      if (data.length - at < 9 + length) break;
      const head = { type: data[at + 3] as number, flags: data[at + 4] as number, id: data.readUInt32BE(at + 5) };
      onFrame(head, data.subarray(at + 9, at + 9 + length));
      at += 9 + length;
    }
    rest = at === data.length ? undefined : data.subarray(at);
  };
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

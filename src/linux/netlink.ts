/**
 * Route netlink: the messages by which the kernel is told of links, addresses and routes (rtnetlink(7)), as `ip` sends them. A batch of messages travels in one
 * system call and takes about 0.2 ms.
 */
import { getSystemErrorName } from "node:util";
import { type Libc, SystemCallError } from "./libc.ts";

/** Types of messages and flags as <linux/rtnetlink.h> and <linux/netlink.h> number them. */
export const netlinkTypes = {
  RTM_NEWLINK: 16,
  RTM_DELLINK: 17,
  RTM_GETLINK: 18,
  RTM_NEWADDR: 20,
  RTM_DELADDR: 21,
  RTM_NEWROUTE: 24,
  RTM_DELROUTE: 25,
} as const;

export const netlinkFlags = { REQUEST: 1, ACK: 4, REPLACE: 0x100, EXCL: 0x200, CREATE: 0x400 } as const;

/** One request. `tolerate` are errors that count as success ("EEXIST"). */
export type NetlinkMessage = {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
  readonly about: string;
  readonly tolerate?: readonly string[];
};

const messageError = 2;
const headerLength = 16;

/** Sends all messages, in order, and waits for the kernel's answers; gives the payloads of those that brought data. Throws {@link SystemCallError} for the first that failed. */
export function exchange(libc: Libc, socket: number, messages: readonly NetlinkMessage[]): Buffer[] {
  libc.send(socket, Buffer.concat(messages.map((message, index) => frame(message, index + 1))));
  const into = Buffer.alloc(65536);
  const data: Buffer[] = [];
  let failure: SystemCallError | undefined;
  for (let acknowledged = 0; acknowledged < messages.length; ) {
    const length = libc.receive(socket, into);
    for (const answer of parseAnswers(into.subarray(0, length))) {
      if (answer.type !== messageError) {
        data.push(Buffer.from(answer.payload));
        continue;
      }
      acknowledged++;
      failure ??= failureOf(answer.payload.readInt32LE(0), messages[answer.sequence - 1]);
    }
  }
  if (failure) throw failure;
  return data;
}

/** An attribute: length, type, value, padded to four bytes. */
export function attribute(type: number, value: Uint8Array | string | number): Buffer {
  const bytes =
    typeof value === "string" ? Buffer.from(`${value}\0`) : typeof value === "number" ? uint32(value) : value;
  const result = Buffer.alloc(align(4 + bytes.length));
  result.writeUInt16LE(4 + bytes.length, 0);
  result.writeUInt16LE(type, 2);
  result.set(bytes, 4);
  return result;
}

/** Finds an attribute's value in a payload after its fixed part of `fixedLength` bytes. */
export function findAttribute(payload: Buffer, fixedLength: number, type: number): Buffer | undefined {
  for (let offset = fixedLength; offset + 4 <= payload.length; ) {
    const length = payload.readUInt16LE(offset);
    if (length < 4) return undefined;
    if ((payload.readUInt16LE(offset + 2) & 0x3fff) === type) return payload.subarray(offset + 4, offset + length);
    offset += align(length);
  }
  return undefined;
}

/** A 32-bit number as the kernel of this machine writes it (little-endian on all that we run on). */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0, 0);
  return bytes;
}

function frame(message: NetlinkMessage, sequence: number): Buffer {
  const bytes = Buffer.alloc(align(headerLength + message.payload.length));
  bytes.writeUInt32LE(headerLength + message.payload.length, 0);
  bytes.writeUInt16LE(message.type, 4);
  bytes.writeUInt16LE(message.flags | netlinkFlags.REQUEST | netlinkFlags.ACK, 6);
  bytes.writeUInt32LE(sequence, 8);
  bytes.set(message.payload, headerLength);
  return bytes;
}

type Answer = { readonly type: number; readonly sequence: number; readonly payload: Buffer };

function* parseAnswers(bytes: Buffer): Generator<Answer> {
  for (let offset = 0; offset + headerLength <= bytes.length; ) {
    const length = bytes.readUInt32LE(offset);
    if (length < headerLength) return;
    const payload = bytes.subarray(offset + headerLength, offset + length);
    yield { type: bytes.readUInt16LE(offset + 4), sequence: bytes.readUInt32LE(offset + 8), payload };
    offset += align(length);
  }
}

function failureOf(code: number, message: NetlinkMessage | undefined): SystemCallError | undefined {
  if (code === 0) return undefined;
  const name = getSystemErrorName(code);
  if (message?.tolerate?.includes(name)) return undefined;
  return new SystemCallError("netlink", name, message?.about ?? "");
}

function align(length: number): number {
  return (length + 3) & ~3;
}

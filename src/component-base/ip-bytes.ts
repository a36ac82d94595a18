/**
 * IP addresses as their bytes, in network order.
 */

/** 4 or 16 bytes of an address that `net.isIP` accepts. */
export function addressBytes(address: string): Buffer {
  if (!address.includes(":")) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail] = withoutDottedEnd(address).split("::");
  const first = groupsOf(head);
  const last = groupsOf(tail ?? "");
  const bytes = Buffer.alloc(16);
  first.forEach((group, index) => bytes.writeUInt16BE(group, index * 2));
  last.forEach((group, index) => bytes.writeUInt16BE(group, 16 - (last.length - index) * 2));
  return bytes;
}

function groupsOf(text: string): readonly number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

function withoutDottedEnd(address: string): string {
  const match = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (!match) return address;
  const [, head, a, b, c, d] = match;
  return `${head}${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`;
}

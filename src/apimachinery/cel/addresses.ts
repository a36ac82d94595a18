/**
 * IP addresses and blocks of them as numbers.
 */
import { isIPv4, isIPv6 } from "node:net";

export type Address = { readonly value: bigint; readonly bits: 32 | 128 };
export type Block = { readonly address: Address; readonly prefix: number };

/** The address, or undefined for other text. Zones and IPv4 inside of IPv6 are not taken, as in Kubernetes' library. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { value: text.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n), bits: 32 };
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const value = ipv6Value(text);
  return value >> 32n === 0xffffn ? undefined : { value, bits: 128 };
}

export function parseBlock(text: string): Block | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = match === null ? undefined : parseAddress(match[1] as string);
  const prefix = Number(match?.[2]);
  return address === undefined || prefix > address.bits ? undefined : { address, prefix };
}

/** The block that the address is in. */
export function blockOf({ value, bits }: Address, prefix: number): Block {
  const hostBits = BigInt(bits - prefix);
  return { address: { value: (value >> hostBits) << hostBits, bits }, prefix };
}

/** The canonical form, as RFC 5952 has it. */
export function formatAddress({ value, bits }: Address): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  return compressed(groups);
}

export function formatBlock({ address, prefix }: Block): string {
  return `${formatAddress(address)}/${prefix}`;
}

/** The longest run of two or more zeros becomes "::". */
function compressed(groups: readonly string[]): string {
  let best = { from: -1, length: 1 };
  for (let from = 0; from < groups.length; from += 1) {
    let length = 0;
    while (groups[from + length] === "0") length += 1;
    if (length > best.length) best = { from, length };
  }
  if (best.from < 0) return groups.join(":");
  return `${groups.slice(0, best.from).join(":")}::${groups.slice(best.from + best.length).join(":")}`;
}

function ipv6Value(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail =
    dotted === null ? undefined : ((dotted[2] as string).split(".").map(Number) as [number, number, number, number]);
  const plain =
    tail === undefined || dotted === null
      ? text
      : `${dotted[1]}${(tail[0] * 256 + tail[1]).toString(16)}:${(tail[2] * 256 + tail[3]).toString(16)}`;
  const [left = "", right] = plain.split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const [before, after] = [groups(left), groups(right ?? "")];
  const zeros = Array.from({ length: right === undefined ? 0 : 8 - before.length - after.length }, () => "0");
  return [...before, ...zeros, ...after].reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
}

/**
 * An IPv4 range in CIDR notation as numbers.
 */

/** A range: network and broadcast addresses are not given out. */
export type Ipv4Range = { readonly cidr: string; readonly first: number; readonly last: number };

/** Parses "10.41.0.0/16". Throws for anything else. */
export function parseIpv4Range(cidr: string): Ipv4Range {
  const [address = "", bits = ""] = cidr.split("/");
  const base = parseIpv4(address);
  const length = Number(bits);
  if (base === undefined || !/^\d{1,2}$/.test(bits) || length < 8 || length > 30) {
    throw new Error(`"${cidr}" is no IPv4 range for services`);
  }
  const size = 2 ** (32 - length);
  const network = base - (base % size);
  return { cidr: `${formatIpv4(network)}/${length}`, first: network + 1, last: network + size - 2 };
}

/** The address as a number; undefined for what is no IPv4 address in its usual form. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

/** The reverse of {@link parseIpv4}. */
export function formatIpv4(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join(".");
}

/** The n-th address of a range that is given out, from 1. */
export function addressAt(range: Ipv4Range, index: number): string {
  return formatIpv4(range.first + index - 1);
}

/**
 * Checks that many kinds share, with upstream's messages. Paths are upstream's: "spec.ports[0].port".
 */
import { isIP, isIPv4 } from "node:net";
import { type FieldError, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import { isDns1123Subdomain } from "#apimachinery/names.ts";

/** Nothing, or that a field changed which may not. Absent, null and empty structures count as equal. */
export function validateImmutable(field: string, value: unknown, old: unknown): readonly FieldError[] {
  return isSame(value, old) ? [] : [invalid(field, value, "field is immutable")];
}

/** Nothing, or that the value is none of the supported ones. An absent value is fine. */
export function validateSupported(
  field: string,
  value: string | undefined,
  supported: readonly string[],
): readonly FieldError[] {
  return value === undefined || supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

/** Nothing, or that the number is negative. */
export function validateNonNegative(field: string, value: number | undefined): readonly FieldError[] {
  return value === undefined || value >= 0 ? [] : [invalid(field, value, "must be greater than or equal to 0")];
}

/** What a list of complaints of names.ts says about a field. */
export function messagesAt(field: string, value: unknown, messages: readonly string[]): readonly FieldError[] {
  return messages.map((message) => invalid(field, value, message));
}

/** What is wrong with a number or percentage that may not be negative nor beyond 100 %. */
export function validateIntOrPercent(field: string, value: number | string | undefined): readonly FieldError[] {
  if (value === undefined) return [];
  if (typeof value === "number") return validateNonNegative(field, value);
  if (!/^[0-9]+%$/.test(value)) {
    const message = "a valid percent string must be a numeric string followed by an ending '%'";
    const detail = `${message} (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`;
    return [invalid(field, value, detail)];
  }
  return Number(value.slice(0, -1)) > 100 ? [invalid(field, value, "must not be greater than 100%")] : [];
}

/** What is wrong with a name that must be a DNS subdomain and may not be empty. */
export function validateRequiredSubdomain(field: string, value: string | undefined): readonly FieldError[] {
  return value ? messagesAt(field, value, isDns1123Subdomain(value)) : [required(field)];
}

/** What is wrong with an IP address. */
export function validateIp(field: string, value: string): readonly FieldError[] {
  return isIP(value) !== 0
    ? []
    : [invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")];
}

/** A CIDR, read: the network's address as a number and its prefix length; undefined for other texts. */
export function parseCidr(
  text: string,
): { readonly isV4: boolean; readonly network: bigint; readonly prefix: number } | undefined {
  const [, address = "", length = ""] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const isV4 = isIPv4(address);
  const bits = isV4 ? 32 : 128;
  if (isIP(address) === 0 || Number(length) > bits) return undefined;
  const host = BigInt(bits - Number(length));
  return { isV4, network: (toNumber(address, isV4) >> host) << host, prefix: Number(length) };
}

/** What is wrong with a CIDR. */
export function validateCidr(field: string, value: string): readonly FieldError[] {
  if (parseCidr(value) !== undefined) return [];
  return [invalid(field, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")];
}

function toNumber(address: string, isV4: boolean): bigint {
  if (isV4) return address.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, a, b, c, d) => {
    const pair = (high: string, low: string): string => ((Number(high) << 8) | Number(low)).toString(16);
    return `${pair(a, b)}:${pair(c, d)}`;
  });
  const [head = "", tail] = plain.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const filled = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => "0"), ...right];
  return filled.reduce((sum, part) => (sum << 16n) | BigInt(`0x${part}`), 0n);
}

function isSame(left: unknown, right: unknown): boolean {
  if (isEmpty(left) && isEmpty(right)) return true;
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return left === right;
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  const [a, b] = [left as Record<string, unknown>, right as Record<string, unknown>];
  return Array.isArray(left) === Array.isArray(right) && [...names].every((name) => isSame(a[name], b[name]));
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

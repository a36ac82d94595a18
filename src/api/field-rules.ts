/**
 * Rules that many fields share, each giving the errors of one field; none for a good value. Messages as in apimachinery's validation.
 */
import { isIP } from "node:net";
import { type FieldError, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import {
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidPortName,
  isValidPortNumber,
  isValidUserId,
} from "#apimachinery/names.ts";

export type Errors = readonly FieldError[];

const maxInt32 = 2_147_483_647;

/** `rule` gives what is wrong with a value; each message becomes an error of `field`. */
export function check<T>(field: string, value: T, rule: (value: T) => readonly string[]): Errors {
  return rule(value).map((detail) => invalid(field, value, detail));
}

export function dnsLabel(field: string, value: string): Errors {
  return check(field, value, isDns1123Label);
}

export function dnsSubdomain(field: string, value: string): Errors {
  return check(field, value, isDns1123Subdomain);
}

export function qualifiedName(field: string, value: string): Errors {
  return check(field, value, isQualifiedName);
}

/** A label's key: as a qualified name, under the name that upstream gives to labels. */
export function labelName(field: string, value: string): Errors {
  return check(field, value, isQualifiedName);
}

export function userId(field: string, value: number | undefined): Errors {
  return value === undefined ? [] : check(field, value, isValidUserId);
}

/** Required, and one of `supported`. */
export function requiredOneOf(field: string, value: string | undefined, supported: readonly string[]): Errors {
  return value ? oneOf(field, value, supported) : [required(field)];
}

/** One of `supported` when it is there. */
export function oneOf(field: string, value: string | undefined, supported: readonly string[]): Errors {
  return value === undefined || supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

export function nonEmpty(field: string, value: string | undefined, detail = ""): Errors {
  return value ? [] : [required(field, detail)];
}

export function nonNegative(field: string, value: number | undefined): Errors {
  return value !== undefined && value < 0 ? [invalid(field, value, "must be greater than or equal to 0")] : [];
}

/** Between `low` and `high`, both included. */
export function inRange(field: string, value: number | undefined, [low, high]: readonly [number, number]): Errors {
  if (value === undefined || (value >= low && value <= high)) return [];
  return [invalid(field, value, `must be between ${low} and ${high}, inclusive`)];
}

/** Seconds or counts that are at least 1 and fit into 32 bits. */
export function positiveInt32(field: string, value: number | undefined): Errors {
  return inRange(field, value, [1, maxInt32]);
}

export function fileMode(field: string, value: number | undefined): Errors {
  if (value === undefined || (value >= 0 && value <= 0o777)) return [];
  return [invalid(field, value, "must be a number between 0 and 0777 (octal), both inclusive")];
}

export function portNumber(field: string, value: number): Errors {
  return check(field, value, isValidPortNumber);
}

export function portNumberOrName(field: string, value: number | string | undefined): Errors {
  return typeof value === "string" ? check(field, value, isValidPortName) : check(field, value ?? 0, isValidPortNumber);
}

export function ipAddress(field: string, value: string): Errors {
  return isIP(value) === 0
    ? [invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    : [];
}

/** An address that is somebody's from outside: neither none, nor this machine, nor link-local. */
export function endpointIp(field: string, address: string): Errors {
  const errors = ipAddress(field, address);
  if (errors.length > 0) return errors;
  const says = (what: string) => [invalid(field, address, what)];
  if (address === "0.0.0.0" || address === "::") return says(`may not be unspecified (${address})`);
  if (address.startsWith("127.") || address === "::1")
    return says("may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (address.startsWith("169.254.") || /^fe[89ab]/i.test(address))
    return says("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  if (address.startsWith("224.0.0.") || /^ff.2:/i.test(address))
    return says("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  return [];
}

/** A path that stays below where it is mounted: relative, without "..". */
export function descendingPath(field: string, value: string): Errors {
  const isAbsolute = value.startsWith("/") ? [invalid(field, value, "must be a relative path")] : [];
  return [...isAbsolute, ...noBacksteps(field, value)];
}

export function noBacksteps(field: string, value: string): Errors {
  return value.split("/").includes("..") ? [invalid(field, value, "must not contain '..'")] : [];
}

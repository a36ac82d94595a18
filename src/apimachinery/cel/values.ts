/**
 * Values of CEL: JavaScript's own where they fit (bigint is int, number is double), classes for the rest.
 */
import type { Json } from "#apimachinery/meta.ts";

export type CelValue =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | CelList
  | CelMap
  | Uint
  | Timestamp
  | Duration
  | TypeValue
  | Optional
  | Opaque;

/** A list. One that a schema calls a set or a map by keys compares and adds as such. */
export type CelList = readonly CelValue[] & { readonly listType?: ListType };
export type ListType = { readonly keys: readonly string[] };

/** An error of an evaluation, in cel-go's words. */
export class CelError extends Error {
  readonly kind = "cel";

  constructor(message: string) {
    super(message);
    this.name = "CelError";
  }
}

/** Keys with values. Objects of the API are such, see json-values.ts. */
export interface CelMap {
  readonly isMap: true;
  readonly size: number;
  /** Undefined for a key that is not there. */
  get(key: CelValue): CelValue | undefined;
  /** The keys, in their order. */
  keys(): readonly CelValue[];
  /** The value of `.name`; differs from get for objects whose fields have escaped names. */
  field(name: string): CelValue | undefined;
}

/** A map that an expression made. */
export class ValueMap implements CelMap {
  readonly isMap = true;
  readonly #entries = new Map<string, readonly [CelValue, CelValue]>();

  constructor(entries: Iterable<readonly [CelValue, CelValue]>) {
    for (const [key, value] of entries) {
      const id = keyId(key);
      if (this.#entries.has(id)) throw new CelError(`Failed with repeated key: ${show(key)}`);
      this.#entries.set(id, [key, value]);
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: CelValue): CelValue | undefined {
    return this.#entries.get(keyId(key))?.[1];
  }

  keys(): readonly CelValue[] {
    return Array.from(this.#entries.values(), ([key]) => key);
  }

  field(name: string): CelValue | undefined {
    return this.get(name);
  }
}

/** A value of a struct literal: `Object.spec{…}`. */
export class StructValue extends ValueMap {
  readonly type: string;

  constructor(type: string, entries: Iterable<readonly [CelValue, CelValue]>) {
    super(entries);
    this.type = type;
  }
}

export class Uint {
  readonly value: bigint;

  constructor(value: bigint) {
    if (value < 0n || value >= 2n ** 64n) throw new CelError("unsigned integer overflow");
    this.value = value;
  }
}

export class Timestamp {
  readonly nanos: bigint;

  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

export class Duration {
  readonly nanos: bigint;

  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

export class TypeValue {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** A value that may be missing. */
export class Optional {
  readonly value: CelValue | undefined;

  constructor(value?: CelValue) {
    this.value = value;
  }
}

/** Values of Kubernetes' libraries. */
export abstract class Opaque {
  abstract readonly typeName: string;
  abstract equals(other: Opaque): boolean;
}

export function isCelList(value: CelValue): value is CelList {
  return Array.isArray(value);
}

export function isCelMap(value: CelValue): value is CelMap {
  return typeof value === "object" && value !== null && "isMap" in value;
}

/** The name of a value's type, as type() and errors have it. */
export function typeNameOf(value: CelValue): string {
  if (value === null) return "null_type";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "double";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string") return "string";
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof Uint) return "uint";
  if (value instanceof Timestamp) return "google.protobuf.Timestamp";
  if (value instanceof Duration) return "google.protobuf.Duration";
  if (value instanceof TypeValue) return "type";
  if (value instanceof Optional) return "optional_type";
  if (value instanceof Opaque) return value.typeName;
  if (value instanceof StructValue) return value.type;
  return isCelMap(value) ? "map" : "list";
}

export function noOverload(): CelError {
  return new CelError("no such overload");
}

/** Equality across the kinds of numbers; what differs in type is not equal. */
export function celEquals(a: CelValue, b: CelValue): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  const x = numberOf(a);
  if (x !== undefined) {
    const y = numberOf(b);
    // Neither less nor greater, which holds between bigints and numbers, too; NaN equals nothing.
    return y !== undefined && x <= y && x >= y;
  }
  if (isCelList(a)) return isCelList(b) && listsEqual(a, b);
  if (isCelMap(a)) return isCelMap(b) && mapsEqual(a, b);
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof Timestamp) return b instanceof Timestamp && a.nanos === b.nanos;
  if (a instanceof Duration) return b instanceof Duration && a.nanos === b.nanos;
  if (a instanceof TypeValue) return b instanceof TypeValue && a.name === b.name;
  if (a instanceof Optional) return b instanceof Optional && optionalsEqual(a, b);
  if (a instanceof Opaque) return b instanceof Opaque && a.typeName === b.typeName && a.equals(b);
  return false;
}

function listsEqual(a: CelList, b: CelList): boolean {
  if (a.length !== b.length) return false;
  if (a.listType === undefined) return a.every((item, index) => celEquals(item, b[index] as CelValue));
  return a.every((item) => b.some((other) => celEquals(item, other)));
}

function mapsEqual(a: CelMap, b: CelMap): boolean {
  if (a.size !== b.size) return false;
  return a.keys().every((key) => {
    const other = b.get(key);
    return other !== undefined && celEquals(a.get(key) as CelValue, other);
  });
}

function optionalsEqual({ value: a }: Optional, { value: b }: Optional): boolean {
  return a === undefined || b === undefined ? a === b : celEquals(a, b);
}

/** Less, equal or greater; undefined for doubles that are no numbers. */
export function celCompare(a: CelValue, b: CelValue): -1 | 0 | 1 | undefined {
  const x = numberOf(a);
  const y = numberOf(b);
  if (x !== undefined && y !== undefined) return order(x, y);
  if (typeof a === "string" && typeof b === "string") return order(a, b);
  if (typeof a === "boolean" && typeof b === "boolean") return order(Number(a), Number(b));
  if (a instanceof Timestamp && b instanceof Timestamp) return order(a.nanos, b.nanos);
  if (a instanceof Duration && b instanceof Duration) return order(a.nanos, b.nanos);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) as -1 | 0 | 1;
  throw noOverload();
}

function order<T extends number | bigint | string>(a: T, b: T): -1 | 0 | 1 | undefined {
  if (a < b) return -1;
  if (a > b) return 1;
  return a >= b ? 0 : undefined;
}

function numberOf(value: CelValue): bigint | number | undefined {
  if (typeof value === "bigint" || typeof value === "number") return value;
  return value instanceof Uint ? value.value : undefined;
}

function keyId(key: CelValue): string {
  const number = numberOf(key);
  if (number !== undefined) return `n${number}`;
  if (typeof key === "string") return `s${key}`;
  if (typeof key === "boolean") return `b${key}`;
  throw new CelError(`unsupported key type: ${typeNameOf(key)}`);
}

/** A value as text, for errors and format(). */
export function show(value: CelValue): string {
  if (value instanceof Uint) return String(value.value);
  return typeof value === "bigint" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : text(value);
}

function text(value: CelValue): string {
  const json = toJson(value);
  return typeof json === "string" ? json : JSON.stringify(json);
}

/** A value as JSON: times as text, bytes in base64. */
export function toJson(value: CelValue): Json {
  if (value === null || typeof value === "boolean" || typeof value === "number" || typeof value === "string")
    return value;
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint) return Number(value.value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Timestamp) return timestampText(value);
  if (value instanceof Duration) return durationText(value);
  if (value instanceof TypeValue) return value.name;
  if (value instanceof Optional) return value.value === undefined ? null : toJson(value.value);
  if (value instanceof Opaque) return String(value);
  if (isCelMap(value)) {
    return Object.fromEntries(value.keys().map((key) => [show(key), toJson(value.get(key) as CelValue)]));
  }
  return value.map(toJson);
}

/** Seconds with as many decimals as there are, as Go prints durations of CEL. */
export function durationText({ nanos }: Duration): string {
  return `${decimal(nanos)}s`;
}

/** RFC 3339 with as many decimals as there are. */
export function timestampText({ nanos }: Timestamp): string {
  const rest = ((nanos % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const seconds = new Date(Number((nanos - rest) / 1_000_000n)).toISOString().slice(0, 19);
  const fraction = rest === 0n ? "" : `.${String(rest).padStart(9, "0").replace(/0+$/, "")}`;
  return `${seconds}${fraction}Z`;
}

function decimal(nanos: bigint): string {
  const absolute = nanos < 0n ? -nanos : nanos;
  const rest = absolute % 1_000_000_000n;
  const fraction = rest === 0n ? "" : `.${String(rest).padStart(9, "0").replace(/0+$/, "")}`;
  return `${nanos < 0n ? "-" : ""}${absolute / 1_000_000_000n}${fraction}`;
}

/**
 * The operators of CEL and its conversions between types.
 */
import { costly, fn, type FunctionTable, lengthOf } from "./functions.ts";
import { isInt64 } from "./lexer.ts";
import { parseDuration, parseTimestamp } from "./times.ts";
import {
  celCompare,
  celEquals,
  CelError,
  type CelList,
  type CelValue,
  Duration,
  durationText,
  isCelList,
  isCelMap,
  noOverload,
  Opaque,
  StructValue,
  Timestamp,
  timestampText,
  TypeValue,
  typeNameOf,
  Uint,
} from "./values.ts";

/** Operators by the names that the parser gives them. */
export const OPERATORS: FunctionTable = {
  "_==_": costly(2, "bool", (a, b) => celEquals(a as CelValue, b as CelValue)),
  "_!=_": costly(2, "bool", (a, b) => !celEquals(a as CelValue, b as CelValue)),
  "_<_": costly(2, "bool", (a, b) => celCompare(a as CelValue, b as CelValue) === -1),
  "_<=_": costly(2, "bool", (a, b) => (celCompare(a as CelValue, b as CelValue) ?? 1) <= 0),
  "_>_": costly(2, "bool", (a, b) => celCompare(a as CelValue, b as CelValue) === 1),
  "_>=_": costly(2, "bool", (a, b) => (celCompare(a as CelValue, b as CelValue) ?? -1) >= 0),
  "@in": {
    arity: [2, 2],
    result: "bool",
    call: ([item, container], meter) => {
      if (isCelMap(container as CelValue))
        return (container as never as Map<CelValue, CelValue>).get(item as CelValue) !== undefined;
      if (!isCelList(container as CelValue)) throw noOverload();
      const list = container as CelList;
      meter.spend(lengthOf(list));
      return list.some((each) => celEquals(each, item as CelValue));
    },
  },
  "_+_": costly(2, "dyn", (a, b) => add(a as CelValue, b as CelValue)),
  "_-_": fn(2, "dyn", (a, b) => subtract(a as CelValue, b as CelValue)),
  "_*_": fn(2, "dyn", (a, b) =>
    arithmetic(a as CelValue, b as CelValue, { int: (x, y) => x * y, double: (x, y) => x * y }),
  ),
  "_/_": fn(2, "dyn", (a, b) => {
    if (isZero(b as CelValue)) throw new CelError("division by zero");
    return arithmetic(a as CelValue, b as CelValue, { int: (x, y) => x / y, double: (x, y) => x / y });
  }),
  "_%_": fn(2, "dyn", (a, b) => {
    if (typeof a === "number" || typeof b === "number") throw noOverload();
    if (isZero(b as CelValue)) throw new CelError("modulus by zero");
    return arithmetic(a as CelValue, b as CelValue, { int: (x, y) => x % y, double: (x) => x });
  }),
  "-_": fn(1, "dyn", (a) => {
    if (typeof a === "bigint") return int64(-a);
    if (typeof a === "number") return -a;
    if (a instanceof Duration) return new Duration(-a.nanos);
    throw noOverload();
  }),
  "!_": fn(1, "bool", (a) => {
    if (typeof a !== "boolean") throw noOverload();
    return !a;
  }),
};

/** Conversions, which are called by the names of types. */
export const CONVERSIONS: FunctionTable = {
  int: fn(1, "int", (value) => toInt(value as CelValue)),
  uint: fn(1, "uint", (value) => new Uint(toInt(value as CelValue, false))),
  double: fn(1, "double", (value) => toDouble(value as CelValue)),
  string: costly(1, "string", (value) => toText(value as CelValue)),
  bytes: costly(1, "bytes", (value) => {
    if (value instanceof Uint8Array) return value;
    if (typeof value !== "string") throw noOverload();
    return new TextEncoder().encode(value);
  }),
  bool: fn(1, "bool", (value) => {
    if (typeof value === "boolean") return value;
    if (typeof value !== "string") throw noOverload();
    if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
    if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
    throw new CelError("type conversion error from 'string' to 'bool'");
  }),
  dyn: fn(1, "dyn", (value) => value as CelValue),
  type: fn(1, "type", (value) => new TypeValue(typeNameOf(value as CelValue))),
  duration: fn(1, "duration", (value) => {
    if (value instanceof Duration) return value;
    const nanos = typeof value === "string" ? parseDuration(value) : undefined;
    if (nanos === undefined) throw new CelError("type conversion error from 'string' to 'google.protobuf.Duration'");
    return new Duration(nanos);
  }),
  timestamp: fn(1, "timestamp", (value) => {
    if (value instanceof Timestamp) return value;
    if (typeof value === "bigint") return new Timestamp(value * 1_000_000_000n);
    const nanos = typeof value === "string" ? parseTimestamp(value) : undefined;
    if (nanos === undefined) throw new CelError("type conversion error from 'string' to 'google.protobuf.Timestamp'");
    return new Timestamp(nanos);
  }),
};

/** The names of types that stand as values. */
export const TYPE_NAMES: ReadonlySet<string> = new Set(
  "int uint double string bytes bool list map null_type type optional_type google.protobuf.Timestamp google.protobuf.Duration net.IP net.CIDR kubernetes.URL kubernetes.Quantity kubernetes.Semver".split(
    " ",
  ),
);

function add(a: CelValue, b: CelValue): CelValue {
  if (typeof a === "string" && typeof b === "string") return a + b;
  if (isCelList(a) && isCelList(b)) return concatenated(a, b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Uint8Array.from([...a, ...b]);
  if (a instanceof Timestamp && b instanceof Duration) return new Timestamp(a.nanos + b.nanos);
  if (a instanceof Duration && b instanceof Timestamp) return new Timestamp(a.nanos + b.nanos);
  if (a instanceof Duration && b instanceof Duration) return new Duration(a.nanos + b.nanos);
  return arithmetic(a, b, { int: (x, y) => x + y, double: (x, y) => x + y });
}

function subtract(a: CelValue, b: CelValue): CelValue {
  if (a instanceof Timestamp && b instanceof Timestamp) return new Duration(a.nanos - b.nanos);
  if (a instanceof Timestamp && b instanceof Duration) return new Timestamp(a.nanos - b.nanos);
  if (a instanceof Duration && b instanceof Duration) return new Duration(a.nanos - b.nanos);
  return arithmetic(a, b, { int: (x, y) => x - y, double: (x, y) => x - y });
}

/** Lists of one kind add as that kind: sets without doubles, maps by their keys, the right one's entries winning. */
function concatenated(a: CelList, b: CelList): CelList {
  const { listType } = a;
  if (listType === undefined) return [...a, ...b];
  const isSame = (x: CelValue, y: CelValue): boolean =>
    listType.keys.length === 0
      ? celEquals(x, y)
      : listType.keys.every((key) => celEquals(keyOf(x, key), keyOf(y, key)));
  const replaced = a.map((item) => b.find((other) => isSame(item, other)) ?? item);
  const fresh = b.filter((other) => !a.some((item) => isSame(item, other)));
  return Object.assign([...replaced, ...fresh], { listType });
}

function keyOf(item: CelValue, key: string): CelValue {
  return (isCelMap(item) ? item.get(key) : undefined) ?? null;
}

type Operation = {
  readonly int: (x: bigint, y: bigint) => bigint;
  readonly double: (x: number, y: number) => number;
};

function arithmetic(a: CelValue, b: CelValue, operation: Operation): CelValue {
  if (typeof a === "bigint" && typeof b === "bigint") return int64(operation.int(a, b));
  if (typeof a === "number" && typeof b === "number") return operation.double(a, b);
  if (a instanceof Uint && b instanceof Uint) return new Uint(operation.int(a.value, b.value));
  throw noOverload();
}

function isZero(value: CelValue): boolean {
  return value === 0n || (value instanceof Uint && value.value === 0n);
}

/** A value as a signed 64-bit integer. Throws when it does not fit. */
export function int64(value: bigint): bigint {
  if (!isInt64(value)) throw new CelError("integer overflow");
  return value;
}

function toInt(value: CelValue, isSigned = true): bigint {
  const check = (result: bigint): bigint => (isSigned ? int64(result) : result);
  if (typeof value === "bigint") return value;
  if (value instanceof Uint) return check(value.value);
  if (value instanceof Timestamp) return value.nanos / 1_000_000_000n;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new CelError("integer overflow");
    return check(BigInt(Math.trunc(value)));
  }
  if (typeof value !== "string") throw noOverload();
  if (!/^[+-]?\d+$/.test(value)) throw new CelError("type conversion error from 'string' to 'int'");
  return check(BigInt(value.replace(/^\+/, "")));
}

function toDouble(value: CelValue): number {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint) return Number(value.value);
  if (typeof value !== "string") throw noOverload();
  const number = value.trim() === "" ? Number.NaN : Number(value);
  if (Number.isNaN(number) && value !== "NaN") throw new CelError("type conversion error from 'string' to 'double'");
  return number;
}

function toText(value: CelValue): string {
  if (typeof value === "string") return value;
  if (typeof value === "bigint" || typeof value === "number" || typeof value === "boolean") return String(value);
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Timestamp) return timestampText(value);
  if (value instanceof Duration) return durationText(value);
  if (value instanceof Opaque) return String(value);
  if (!(value instanceof Uint8Array) || value instanceof StructValue) throw noOverload();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(value);
  } catch {
    throw new CelError("invalid UTF-8 in bytes, cannot convert to string");
  }
}

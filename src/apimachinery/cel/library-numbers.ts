/**
 * math.*, quantities and versions.
 */
import {
  addQuantities,
  approximateFloat,
  compareQuantities,
  formatQuantity,
  isQuantity,
  parseQuantity,
  type Quantity,
  quantityOf,
  subtractQuantities,
} from "#apimachinery/quantity.ts";
import { instanceArg, stringArg } from "./arguments.ts";
import { type CelFunction, fn, type FunctionTable } from "./functions.ts";
import { celCompare, CelError, type CelValue, isCelList, noOverload, Opaque, Uint } from "./values.ts";

const MAX_INT = 2n ** 63n;
const VERSION =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$/;

/** A quantity of Kubernetes: 500m, 1Gi. */
class QuantityValue extends Opaque {
  readonly typeName = "kubernetes.Quantity";
  readonly quantity: Quantity;

  constructor(quantity: Quantity) {
    super();
    this.quantity = quantity;
  }

  equals(other: Opaque): boolean {
    return other instanceof QuantityValue && compareQuantities(this.quantity, other.quantity) === 0;
  }

  override toString(): string {
    return formatQuantity(this.quantity);
  }
}

/** A semantic version. */
class SemverValue extends Opaque {
  readonly typeName = "kubernetes.Semver";
  readonly numbers: readonly bigint[];
  readonly before: readonly string[];
  readonly #text: string;

  constructor(text: string) {
    super();
    const match = VERSION.exec(text);
    if (match === null) throw new CelError(`invalid semver: ${text}`);
    this.numbers = match.slice(1, 4).map(BigInt);
    this.before = match[4]?.split(".") ?? [];
    this.#text = text;
  }

  equals(other: Opaque): boolean {
    return other instanceof SemverValue && compareVersions(this, other) === 0;
  }

  override toString(): string {
    return this.#text;
  }
}

export const NUMBER_FUNCTIONS: FunctionTable = {
  "math.greatest": fn([1, 100], "dyn", (...values) => outermost(values, 1)),
  "math.least": fn([1, 100], "dyn", (...values) => outermost(values, -1)),
  "math.abs": fn(1, "dyn", (value) => {
    if (typeof value === "number") return Math.abs(value);
    if (typeof value === "bigint") return value < 0n ? -value : value;
    if (value instanceof Uint) return value;
    throw noOverload();
  }),
  "math.ceil": rounding(Math.ceil),
  "math.floor": rounding(Math.floor),
  "math.trunc": rounding(Math.trunc),
  "math.round": rounding((value) => Math.sign(value) * Math.round(Math.abs(value))),
  "math.sign": fn(1, "dyn", (value) => {
    if (typeof value === "number") return Math.sign(value);
    if (typeof value === "bigint") return value === 0n ? 0n : value < 0n ? -1n : 1n;
    throw noOverload();
  }),
  "math.isNaN": fn(1, "bool", (value) => Number.isNaN(value)),
  "math.isInf": fn(1, "bool", (value) => value === Infinity || value === -Infinity),
  "math.isFinite": fn(1, "bool", (value) => Number.isFinite(value)),
  quantity: fn(1, "opaque", (text) => quantityFrom(text)),
  isQuantity: fn(1, "bool", (text) => isQuantity(stringArg(text))),
  semver: fn([1, 2], "opaque", (text, normalize) => new SemverValue(versionText(stringArg(text), normalize))),
  isSemver: fn([1, 2], "bool", (text, normalize) => VERSION.test(versionText(stringArg(text), normalize))),
};

export const NUMBER_MEMBERS: FunctionTable = {
  sign: fn(1, "int", (value) => {
    const { nanos } = instanceArg(value, QuantityValue).quantity;
    return nanos === 0n ? 0n : nanos < 0n ? -1n : 1n;
  }),
  isInteger: fn(1, "bool", (value) => fits(instanceArg(value, QuantityValue).quantity)),
  asInteger: fn(1, "int", (value) => {
    const { quantity } = instanceArg(value, QuantityValue);
    if (!fits(quantity)) throw new CelError("cannot convert value to integer");
    return quantity.nanos / 1_000_000_000n;
  }),
  asApproximateFloat: fn(1, "double", (value) => approximateFloat(instanceArg(value, QuantityValue).quantity)),
  add: fn(2, "opaque", (a, b) => new QuantityValue(addQuantities(instanceArg(a, QuantityValue).quantity, operand(b)))),
  sub: fn(
    2,
    "opaque",
    (a, b) => new QuantityValue(subtractQuantities(instanceArg(a, QuantityValue).quantity, operand(b))),
  ),
  compareTo: fn(2, "int", (a, b) => BigInt(compare(a, b))),
  isGreaterThan: fn(2, "bool", (a, b) => compare(a, b) > 0),
  isLessThan: fn(2, "bool", (a, b) => compare(a, b) < 0),
  major: fn(1, "int", (value) => instanceArg(value, SemverValue).numbers[0] as bigint),
  minor: fn(1, "int", (value) => instanceArg(value, SemverValue).numbers[1] as bigint),
  patch: fn(1, "int", (value) => instanceArg(value, SemverValue).numbers[2] as bigint),
};

function rounding(round: (value: number) => number): CelFunction {
  return fn(1, "double", (value) => {
    if (typeof value !== "number") throw noOverload();
    return round(value);
  });
}

function outermost(values: readonly CelValue[], wanted: -1 | 1): CelValue {
  const all = values.length === 1 && isCelList(values[0] as CelValue) ? (values[0] as readonly CelValue[]) : values;
  if (all.length === 0) throw new CelError("math.@max(list) argument must not be empty");
  return all.reduce((best, value) => (celCompare(value, best) === wanted ? value : best));
}

function quantityFrom(text: CelValue | undefined): QuantityValue {
  const source = stringArg(text);
  if (!isQuantity(source))
    throw new CelError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  return new QuantityValue(parseQuantity(source));
}

function operand(value: CelValue | undefined): Quantity {
  return typeof value === "bigint" ? quantityOf(value) : instanceArg(value, QuantityValue).quantity;
}

function fits({ nanos }: Quantity): boolean {
  const value = nanos / 1_000_000_000n;
  return nanos % 1_000_000_000n === 0n && value < MAX_INT && value >= -MAX_INT;
}

function compare(a: CelValue | undefined, b: CelValue | undefined): number {
  if (a instanceof SemverValue) return compareVersions(a, instanceArg(b, SemverValue));
  return compareQuantities(instanceArg(a, QuantityValue).quantity, instanceArg(b, QuantityValue).quantity);
}

function compareVersions(a: SemverValue, b: SemverValue): number {
  for (const [index, number] of a.numbers.entries()) {
    const other = b.numbers[index] as bigint;
    if (number !== other) return number < other ? -1 : 1;
  }
  // A version with a pre-release comes before the one without.
  if (a.before.length === 0 || b.before.length === 0) return Math.sign(b.before.length - a.before.length);
  for (const [index, part] of a.before.entries()) {
    const other = b.before[index];
    if (other === undefined) return 1;
    if (part !== other) return comparePart(part, other);
  }
  return a.before.length < b.before.length ? -1 : 0;
}

function comparePart(a: string, b: string): number {
  const [isNumberA, isNumberB] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (isNumberA && isNumberB) return BigInt(a) < BigInt(b) ? -1 : 1;
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
  return a < b ? -1 : 1;
}

/** With true as second argument: without "v", leading zeros, and with missing numbers as zero. */
function versionText(text: string, normalize: CelValue | undefined): string {
  if (normalize !== true) return text;
  const [, core = "", rest = ""] = /^v?([\d.]*)(.*)$/.exec(text) ?? [];
  const numbers = core.split(".").map((part) => part.replace(/^0+(?=\d)/, ""));
  while (numbers.length < 3) numbers.push("0");
  return numbers.join(".") + rest;
}

/**
 * Quantities such as "100m", "1.5Gi" or "2e3": exact, in whole billionths (finer ones are rounded away from zero when parsed, as upstream does).
 * Suffixes, rounding and the canonical form as in apimachinery's pkg/api/resource.
 */

/** How a quantity is written: "12M", "12Mi" or "12e6". */
export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

/** An exact amount. `text` is the form to print when it differs from what {@link formatQuantity} would make. */
export type Quantity = { readonly nanos: bigint; readonly format: QuantityFormat; readonly text?: string };

/** A text that is no quantity. The message is upstream's. */
export class QuantityError extends Error {
  readonly kind = "QuantityError";
}

const WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_NUMBER = "unable to parse numeric part of quantity";
const WRONG_SUFFIX = "unable to parse quantity's suffix";

const NANOS = 1_000_000_000n;
const LARGEST_BINARY = ((1n << 63n) - 1n) * NANOS;
/** Upstream keeps exponents lazily; here a number is written out, so absurd ones (and as many digits) are refused. */
const LARGEST_EXPONENT = 1000;

type Suffix = { readonly base: 2 | 10; readonly exponent: number; readonly format: QuantityFormat };

const SUFFIXES: ReadonlyMap<string, Suffix> = new Map([
  ...["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].map((text, index): [string, Suffix] => [
    text,
    { base: 10, exponent: index * 3 - 9, format: "DecimalSI" },
  ]),
  ...["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].map((text, index): [string, Suffix] => [
    text,
    { base: 2, exponent: index * 10 + 10, format: "BinarySI" },
  ]),
]);

/** Whole, small and without a sign, as nearly all are: each is parsed several times for each write of a pod. */
const PLAIN = /^([1-9]\d{0,4})(m|k|M|G|Ki|Mi|Gi|)$/;

type PlainSuffix = Suffix & { readonly nanos: bigint };

const PLAIN_SUFFIXES: ReadonlyMap<string, PlainSuffix> = new Map(
  [...SUFFIXES]
    .filter(([text]) => ["m", "", "k", "M", "G", "Ki", "Mi", "Gi"].includes(text))
    .map(([text, suffix]) => [
      text,
      {
        ...suffix,
        nanos: suffix.base === 2 ? NANOS << BigInt(suffix.exponent) : 10n ** BigInt(suffix.exponent + 9),
      },
    ]),
);

function plainQuantity(text: string, digits: string, { nanos, format }: PlainSuffix): Quantity {
  const keeps = format === "BinarySI" ? (Number(digits) & 7) !== 0 : !digits.endsWith("000");
  const amount = BigInt(digits) * nanos;
  return keeps ? { nanos: amount, format, text } : { nanos: amount, format };
}

/** Parses a quantity; numbers are taken as JSON would write them. Throws {@link QuantityError}. */
export function parseQuantity(input: string | number): Quantity {
  const given = typeof input === "number" ? String(input) : input;
  if (given === "") throw new QuantityError(WRONG_FORMAT);
  if (given === "0") return { nanos: 0n, format: "DecimalSI", text: given };
  const plain = PLAIN.exec(given);
  if (plain !== null)
    return plainQuantity(given, plain[1] as string, PLAIN_SUFFIXES.get(plain[2] as string) as PlainSuffix);
  const parts = /^([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/.exec(given);
  if (parts === null) throw new QuantityError(WRONG_FORMAT);
  const isNegative = parts[1] === "-";
  const whole = parts[2] || "0";
  const fraction = parts[3] ?? "";
  const suffix = interpretSuffix(parts[4] ?? "");
  const digits = whole + fraction;
  if (digits.length > LARGEST_EXPONENT) throw new QuantityError(WRONG_NUMBER);
  const shift = suffix.base === 10 ? suffix.exponent : 0;
  const factor = suffix.base === 2 ? 1n << BigInt(suffix.exponent) : 1n;
  const positive = roundAwayFromZero(BigInt(digits) * factor, shift - fraction.length + 9);
  const capped = suffix.format === "BinarySI" && positive > LARGEST_BINARY ? LARGEST_BINARY : positive;
  const isFraction = suffix.format === "BinarySI" && capped > 0n && capped < NANOS;
  const format = isFraction ? "DecimalSI" : suffix.format;
  const nanos = isNegative ? -capped : capped;
  return keepsText(whole, fraction, suffix) ? { nanos, format, text: given } : { nanos, format };
}

/** True when the text can be parsed. */
export function isQuantity(input: unknown): boolean {
  if (typeof input !== "string" && typeof input !== "number") return false;
  try {
    parseQuantity(input);
    return true;
  } catch {
    return false;
  }
}

/** The canonical form: no fraction, the largest suffix that keeps it exact, "1.5" as "1500m". What was canonical enough stays as written. */
export function formatQuantity(quantity: Quantity): string {
  if (quantity.text !== undefined) return quantity.text;
  const { nanos } = quantity;
  if (nanos === 0n) return "0";
  return printedFormat(quantity) === "BinarySI" ? formatBinary(nanos / NANOS) : formatDecimal(quantity);
}

/** Parses and prints: what the server makes of a quantity. Throws {@link QuantityError}. */
export function canonicalQuantity(input: string | number): string {
  return formatQuantity(parseQuantity(input));
}

/** A quantity of whole units. */
export function quantityOf(value: number | bigint, format: QuantityFormat = "DecimalSI"): Quantity {
  return { nanos: BigInt(value) * NANOS, format };
}

/** A quantity of thousandths. */
export function milliQuantityOf(milli: number | bigint, format: QuantityFormat = "DecimalSI"): Quantity {
  return { nanos: BigInt(milli) * 1_000_000n, format };
}

/** -1, 0 or 1. */
export function compareQuantities(a: Quantity, b: Quantity): -1 | 0 | 1 {
  return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
}

/** Sum, in the first one's format (the second's when the first is zero). */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos + b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** Difference, in the first one's format (the second's when the first is zero). */
export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos - b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** Product with a whole number. */
export function multiplyQuantity(quantity: Quantity, factor: number | bigint): Quantity {
  return { nanos: quantity.nanos * BigInt(factor), format: quantity.format };
}

/** Whole units, fractions rounded away from zero: "1500m" is 2. For resources in bytes and counts. */
export function quantityValue(input: string | number | Quantity): number {
  if (typeof input === "number" && Number.isInteger(input)) return input;
  const quick = typeof input === "string" ? plainValue(input, 1) : undefined;
  return quick ?? Number(divideUp(nanosOf(input), NANOS));
}

/** Thousandths, fractions rounded away from zero: "0.5" is 500. For CPU. */
export function milliValue(input: string | number | Quantity): number {
  const quick = typeof input === "string" ? plainValue(input, 1000) : undefined;
  return quick ?? Number(divideUp(nanosOf(input), 1_000_000n));
}

/** As a floating-point number; may lose precision. */
export function approximateFloat(input: string | number | Quantity): number {
  return Number(nanosOf(input)) / 1e9;
}

function nanosOf(input: string | number | Quantity): bigint {
  return typeof input === "object" ? input.nanos : parseQuantity(input).nanos;
}

/** Short digits with a common suffix need no big numbers: the scheduler asks often. */
function plainValue(text: string, scale: 1 | 1000): number | undefined {
  let value = 0;
  let at = 0;
  for (; at < text.length && at < 9; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  if (at === 0) return undefined;
  const suffix = text.slice(at);
  if (suffix === "") return value * scale;
  if (suffix === "m") return scale === 1000 ? value : Math.ceil(value / 1000);
  if (at > 6) return undefined;
  if (suffix === "Ki") return value * 1024 * scale;
  if (suffix === "Mi") return value * 1048576 * scale;
  return undefined;
}

function interpretSuffix(text: string): Suffix {
  const known = SUFFIXES.get(text);
  if (known !== undefined) return known;
  if (!/^[eE][-+]?[0-9]+$/.test(text)) throw new QuantityError(WRONG_SUFFIX);
  const exponent = Number(text.slice(1));
  if (Math.abs(exponent) > LARGEST_EXPONENT) throw new QuantityError(WRONG_NUMBER);
  return { base: 10, exponent, format: "DecimalExponent" };
}

/** Upstream keeps the given text where its quick path sees that it is canonical already; this repeats that test. */
function keepsText(whole: string, fraction: string, suffix: Suffix): boolean {
  const length = whole.length + fraction.length;
  const digits = whole + fraction;
  if (suffix.format === "BinarySI") {
    const precision = 15 - whole.length - Math.trunc((suffix.exponent * 3) / 10) - 1;
    return fraction === "" && precision >= 0 && (BigInt(digits) & 7n) !== 0n;
  }
  const scale = suffix.exponent - fraction.length;
  if (18 - length < 0 || scale < -9) return false;
  return scale % 3 === 0 && !digits.endsWith("000") && digits[0] !== "0";
}

/** `digits` × 10^`exponent` in whole numbers. */
function roundAwayFromZero(digits: bigint, exponent: number): bigint {
  if (exponent >= 0) return digits * 10n ** BigInt(exponent);
  return divideUp(digits, 10n ** BigInt(-exponent));
}

function divideUp(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  if (value % by === 0n) return quotient;
  return value > 0n ? quotient + 1n : quotient - 1n;
}

/** Small and fractional amounts are printed in decimal even when they were given in binary. */
function printedFormat({ nanos, format }: Quantity): QuantityFormat {
  if (format !== "BinarySI") return format;
  const isSmall = nanos > -1024n * NANOS && nanos < 1024n * NANOS;
  return isSmall || nanos % NANOS !== 0n ? "DecimalSI" : "BinarySI";
}

function formatBinary(value: bigint): string {
  const suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
  let amount = value;
  let index = 0;
  while (index < 6 && amount % 1024n === 0n) {
    amount /= 1024n;
    index += 1;
  }
  return `${amount}${suffixes[index]}`;
}

function formatDecimal({ nanos, format }: Quantity): string {
  const isExponent = format === "DecimalExponent";
  const largest = isExponent ? LARGEST_EXPONENT : 18;
  let amount = nanos;
  let exponent = -9;
  while (exponent + 3 <= largest && amount % 1000n === 0n) {
    amount /= 1000n;
    exponent += 3;
  }
  if (!isExponent) return `${amount}${["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][exponent / 3 + 3]}`;
  return exponent === 0 ? `${amount}` : `${amount}e${exponent}`;
}

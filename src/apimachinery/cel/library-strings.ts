/**
 * Functions on strings, regular expressions among them.
 */
import { RE2JS } from "re2js";
import { intArg, listArg, stringArg } from "./arguments.ts";
import { type CelFunction, costly, fn, type FunctionTable } from "./functions.ts";
import { CelError, type CelValue, isCelList, isCelMap, noOverload, show, Uint } from "./values.ts";

const MAX_PATTERNS = 200;

function sizeOf(value: CelValue | undefined): bigint {
  if (typeof value === "string") return BigInt(Array.from(value).length);
  if (value === undefined || value === null) throw noOverload();
  if (isCelList(value) || value instanceof Uint8Array) return BigInt(value.length);
  if (isCelMap(value)) return BigInt(value.size);
  throw noOverload();
}

export const STRING_FUNCTIONS: FunctionTable = {
  size: fn(1, "int", sizeOf),
  matches: regex(2, "bool", (pattern, text) => pattern.test(text)),
  "strings.quote": costly(1, "string", (text) => quoted(stringArg(text))),
};

export const STRING_MEMBERS: FunctionTable = {
  size: fn(1, "int", sizeOf),
  matches: regex(2, "bool", (pattern, text) => pattern.test(text)),
  find: regex(2, "string", (pattern, text) => findAll(pattern, text, 1)[0] ?? ""),
  findAll: regex([2, 3], "list(string)", (pattern, text, [limit]) =>
    findAll(pattern, text, limit === undefined ? -1 : intArg(limit)),
  ),
  contains: costly(2, "bool", (text, part) => stringArg(text).includes(stringArg(part))),
  startsWith: costly(2, "bool", (text, part) => stringArg(text).startsWith(stringArg(part))),
  endsWith: costly(2, "bool", (text, part) => stringArg(text).endsWith(stringArg(part))),
  charAt: fn(2, "string", (text, index) => {
    const letters = Array.from(stringArg(text));
    const at = intArg(index);
    if (at < 0 || at > letters.length) throw new CelError(`index out of range: ${at}`);
    return letters[at] ?? "";
  }),
  indexOf: costly([2, 3], "int", (text, part, from) => {
    const letters = lettersFrom(text, from, 0);
    return position(letters.letters, Array.from(stringArg(part)), letters.from, 1);
  }),
  lastIndexOf: costly([2, 3], "int", (text, part, from) => {
    const wanted = Array.from(stringArg(part));
    const letters = Array.from(stringArg(text));
    const last = letters.length - wanted.length;
    const start = from === undefined ? last : intArg(from);
    if (start < 0 && from !== undefined) throw new CelError(`index out of range: ${start}`);
    return position(letters, wanted, Math.min(start, last), -1);
  }),
  join: costly([1, 2], "string", (list, separator) =>
    listArg(list)
      .map(stringArg)
      .join(separator === undefined ? "" : stringArg(separator)),
  ),
  lowerAscii: costly(1, "string", (text) => stringArg(text).replace(/[A-Z]+/g, (part) => part.toLowerCase())),
  upperAscii: costly(1, "string", (text) => stringArg(text).replace(/[a-z]+/g, (part) => part.toUpperCase())),
  replace: costly([3, 4], "string", (text, from, to, limit) =>
    replaced(stringArg(text), stringArg(from), stringArg(to), limit === undefined ? -1 : intArg(limit)),
  ),
  reverse: costly(1, "dyn", (value) =>
    typeof value === "string" ? Array.from(value).reverse().join("") : listArg(value).toReversed(),
  ),
  split: costly([2, 3], "list(string)", (text, separator, limit) =>
    splitted(stringArg(text), stringArg(separator), limit === undefined ? -1 : intArg(limit)),
  ),
  substring: costly([2, 3], "string", (text, from, to) => {
    const letters = Array.from(stringArg(text));
    const start = intArg(from);
    const end = to === undefined ? letters.length : intArg(to);
    if (start < 0 || start > letters.length) throw new CelError(`index out of range: ${start}`);
    if (end < 0 || end > letters.length) throw new CelError(`index out of range: ${end}`);
    if (start > end) throw new CelError(`invalid substring range. start: ${start}, end: ${end}`);
    return letters.slice(start, end).join("");
  }),
  trim: costly(1, "string", (text) => stringArg(text).trim()),
  format: costly(2, "string", (text, args) => formatted(stringArg(text), listArg(args))),
};

/** A function whose second argument is a pattern. The cost grows with both, as matching does. */
function regex(
  arity: number | readonly [number, number],
  result: CelFunction["result"],
  call: (pattern: RE2JS, text: string, rest: readonly CelValue[]) => CelValue,
): CelFunction {
  const compiled = new Map<string, RE2JS>();
  return {
    arity: typeof arity === "number" ? [arity, arity] : arity,
    result,
    call: ([first, second, ...rest], meter) => {
      const [text, source] = [stringArg(first), stringArg(second)];
      meter.spend(Math.ceil((text.length + 1) * 0.1) * Math.ceil(source.length * 0.25));
      const pattern = compiled.get(source) ?? compilePattern(source);
      // Patterns that expressions put together must not pile up.
      if (compiled.size >= MAX_PATTERNS) compiled.clear();
      compiled.set(source, pattern);
      return call(pattern, text, rest);
    },
  };
}

function compilePattern(source: string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch (error) {
    throw new CelError(`error parsing regexp: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function findAll(pattern: RE2JS, text: string, limit: number): readonly string[] {
  const found: string[] = [];
  const matcher = pattern.matcher(text);
  while (found.length !== limit && matcher.find()) found.push(matcher.group() ?? "");
  return found;
}

function lettersFrom(
  text: CelValue | undefined,
  from: CelValue | undefined,
  start: number,
): { letters: string[]; from: number } {
  const letters = Array.from(stringArg(text));
  const at = from === undefined ? start : intArg(from);
  if (at < 0 || at > letters.length) throw new CelError(`index out of range: ${at}`);
  return { letters, from: at };
}

function position(letters: readonly string[], wanted: readonly string[], from: number, step: 1 | -1): bigint {
  for (let at = from; at >= 0 && at + wanted.length <= letters.length; at += step) {
    if (wanted.every((letter, index) => letters[at + index] === letter)) return BigInt(at);
  }
  return -1n;
}

function replaced(text: string, from: string, to: string, limit: number): string {
  if (limit < 0) return text.replaceAll(from, () => to);
  let rest = text;
  let done = "";
  for (let count = 0; count < limit; count += 1) {
    const at = rest.indexOf(from);
    if (at < 0 || from === "") break;
    done += rest.slice(0, at) + to;
    rest = rest.slice(at + from.length);
  }
  return done + rest;
}

function splitted(text: string, separator: string, limit: number): readonly string[] {
  if (limit === 0) return [];
  const parts = separator === "" ? Array.from(text) : text.split(separator);
  if (limit < 0 || parts.length <= limit) return parts;
  return [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)];
}

const QUOTES: Readonly<Record<string, string>> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

function quoted(text: string): string {
  return `"${Array.from(text, (letter) => QUOTES[letter] ?? letter).join("")}"`;
}

/** printf for lists of arguments: %s %d %f %e %b %x %X %o. */
function formatted(text: string, args: readonly CelValue[]): string {
  let next = 0;
  return text.replace(/%(?:\.(\d+))?([%a-zA-Z])/g, (_, precision: string | undefined, verb: string) => {
    if (verb === "%") return "%";
    const value = args[next];
    if (next >= args.length || value === undefined) throw new CelError(`index ${next} out of range`);
    next += 1;
    return formatOne(verb, value, precision === undefined ? 6 : Number(precision));
  });
}

function formatOne(verb: string, value: CelValue, precision: number): string {
  if (verb === "s") return show(value);
  if (verb === "f") return numberOf(value).toFixed(precision);
  if (verb === "e") return scientific(numberOf(value), precision);
  if (verb === "x" && typeof value === "string") return Buffer.from(value).toString("hex");
  if (verb === "X" && typeof value === "string") return Buffer.from(value).toString("hex").toUpperCase();
  const integer = value instanceof Uint ? value.value : typeof value === "boolean" ? BigInt(value) : value;
  if (typeof integer !== "bigint")
    throw new CelError(`error during formatting: %${verb} is not possible for this type`);
  if (verb === "d") return String(integer);
  const radix = { b: 2, o: 8, x: 16, X: 16 }[verb];
  if (radix === undefined)
    throw new CelError(`could not parse formatting clause: unrecognized formatting clause "${verb}"`);
  return verb === "X" ? integer.toString(radix).toUpperCase() : integer.toString(radix);
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** 3.14×10⁰⁰, as cel-go has it. */
function scientific(value: number, precision: number): string {
  const [mantissa, exponent = "0"] = value.toExponential(precision).split("e");
  const digits = exponent.replace(/^[+-]/, "").padStart(2, "0");
  const power = Array.from(digits, (digit) => SUPERSCRIPTS[Number(digit)]).join("");
  return `${mantissa}×10${exponent.startsWith("-") ? "⁻" : ""}${power}`;
}

function numberOf(value: CelValue): number {
  if (typeof value === "bigint" || typeof value === "number") return Number(value);
  if (value instanceof Uint) return Number(value.value);
  throw noOverload();
}

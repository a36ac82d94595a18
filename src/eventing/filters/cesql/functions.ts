/**
 * CESQL's built-in functions (spec 1.0.0 §3.5), and the tests IS_INT and IS_BOOL that Go's SDK has beside them.
 */
import {
  cast,
  castToBoolean,
  castToInteger,
  characters,
  fail,
  parseInteger,
  type Run,
  type Value,
  type ValueType,
} from "./values.ts";

/** A function for one number of arguments. The arguments come cast; "Any" comes as it is. */
export type BuiltIn = {
  readonly parameters: readonly (ValueType | "Any")[];
  /** The type of all further arguments; absent when there are none. */
  readonly rest?: ValueType;
  readonly returns: ValueType;
  readonly run: (run: Run, args: readonly Value[]) => Value;
};

/** Longest string that a function makes. Without it, doubling again and again would fill the memory. */
const maxCharacters = 65_536;

const builtIns: ReadonlyMap<string, readonly BuiltIn[]> = new Map<string, readonly BuiltIn[]>([
  ["INT", [conversion("Integer", (run, value) => castToInteger(run, value))]],
  ["BOOL", [conversion("Boolean", (run, value) => castToBoolean(run, value))]],
  ["STRING", [conversion("String", (run, value) => cast(run, value, "String"))]],
  ["IS_INT", [conversion("Boolean", (_, value) => typeof value !== "string" || parseInteger(value) !== undefined)]],
  ["IS_BOOL", [conversion("Boolean", (_, value) => typeof value !== "string" || /^(?:true|false)$/i.test(value))]],
  ["ABS", [{ parameters: ["Integer"], returns: "Integer", run: (run, [value]) => absolute(run, Number(value)) }]],
  ["LENGTH", [{ parameters: ["String"], returns: "Integer", run: (_, [text]) => characters(String(text)).length }]],
  ["CONCAT", [{ parameters: [], rest: "String", returns: "String", run: (run, args) => join(run, args, "") }]],
  [
    "CONCAT_WS",
    [
      {
        parameters: ["String"],
        rest: "String",
        returns: "String",
        run: (run, [delimiter, ...parts]) => join(run, parts, String(delimiter)),
      },
    ],
  ],
  ["LOWER", [onText((text) => text.toLowerCase())]],
  ["UPPER", [onText((text) => text.toUpperCase())]],
  ["TRIM", [onText(trim)]],
  ["LEFT", [side((text, count) => slice(text, 0, count))]],
  ["RIGHT", [side((text, count) => slice(text, Math.max(0, characters(text).length - count)))]],
  [
    "SUBSTRING",
    [
      {
        parameters: ["String", "Integer"],
        returns: "String",
        run: (run, [text, position]) => substring(run, String(text), Number(position)),
      },
      {
        parameters: ["String", "Integer", "Integer"],
        returns: "String",
        run: (run, [text, position, length]) => substring(run, String(text), Number(position), Number(length)),
      },
    ],
  ],
]);

/** The function of that name (upper case) that takes so many arguments. */
export function findFunction(name: string, count: number): BuiltIn | undefined {
  const takes = ({ parameters, rest }: BuiltIn) =>
    rest === undefined ? parameters.length === count : parameters.length <= count;
  return builtIns.get(name)?.find(takes);
}

function conversion(returns: ValueType, run: (run: Run, value: Value) => Value): BuiltIn {
  return { parameters: ["Any"], returns, run: (context, [value]) => run(context, value ?? "") };
}

function onText(change: (text: string) => string): BuiltIn {
  return { parameters: ["String"], returns: "String", run: (_, [text]) => change(String(text)) };
}

function side(take: (text: string, count: number) => string): BuiltIn {
  return {
    parameters: ["String", "Integer"],
    returns: "String",
    run: (run, [text, count]) => {
      if (Number(count) < 0) return fail(run, "functionEvaluation", String(text));
      return take(String(text), Number(count));
    },
  };
}

function absolute(run: Run, value: number): number {
  return value === -2147483648 ? fail(run, "math", 2147483647) : Math.abs(value);
}

function join(run: Run, parts: readonly Value[], delimiter: string): string {
  const text = parts.join(delimiter);
  return text.length > maxCharacters ? fail(run, "functionEvaluation", "") : text;
}

function slice(text: string, start: number, end?: number): string {
  const all = characters(text);
  return typeof all === "string" ? all.slice(start, end) : all.slice(start, end).join("");
}

function substring(run: Run, text: string, position: number, length?: number): string {
  const size = characters(text).length;
  if (Math.abs(position) > size || (length ?? 0) < 0) return fail(run, "functionEvaluation", "");
  if (position === 0) return "";
  const start = position > 0 ? position - 1 : size + position;
  return slice(text, start, length === undefined ? undefined : start + length);
}

function trim(text: string): string {
  const isSpace = (at: number) => /\p{White_Space}/u.test(text[at] ?? "");
  let [start, end] = [0, text.length];
  while (start < end && isSpace(start)) start++;
  while (end > start && isSpace(end - 1)) end--;
  return text.slice(start, end);
}

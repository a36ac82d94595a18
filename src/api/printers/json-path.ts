/**
 * The JSONPath of custom resources' printer columns: fields (`.a.b`, `['a.b']`, `.a\.b`), indexes, slices, `[*]`, `..` and filters such as
 * `[?(@.type=="Ready")]`. As client-go's util/jsonpath understands it, without its ranges and text.
 */

/** A path that cannot be read. */
export class JsonPathError extends Error {
  readonly kind = "JsonPathError";
}

/** Finds the values that a path leads to, in order. */
export type JsonPath = (object: unknown) => readonly unknown[];

type Step = (value: unknown) => readonly unknown[];

/** Reads a path, with or without the dot in front. Throws {@link JsonPathError}. */
export function compileJsonPath(path: string): JsonPath {
  const steps = new PathParser(path).steps();
  return (object) => {
    let values: readonly unknown[] = [object];
    for (const step of steps) values = values.flatMap(step);
    return values;
  };
}

class PathParser {
  readonly #path: string;
  #at = 0;

  constructor(path: string) {
    this.#path = path.trim();
  }

  steps(): Step[] {
    const steps: Step[] = [];
    if (this.#path.startsWith("$") || this.#path.startsWith("@")) this.#at++;
    while (this.#at < this.#path.length) steps.push(this.#step());
    return steps;
  }

  #step(): Step {
    if (this.#path.startsWith("..", this.#at)) {
      this.#at += 2;
      const name = this.#name();
      return (value) => descendants(value).flatMap((each) => child(each, name));
    }
    if (this.#path[this.#at] === "[") return this.#bracket();
    if (this.#path[this.#at] === ".") this.#at++;
    // A trailing dot, and the dot between a field and a bracket, say nothing.
    if (this.#at === this.#path.length || this.#path[this.#at] === "[") return (value) => [value];
    const name = this.#name();
    return name === "*" ? children : (value) => child(value, name);
  }

  #name(): string {
    const [text = ""] = /^(?:\\.|[^.[\]\\])+/.exec(this.#path.slice(this.#at)) ?? [];
    if (text === "") throw new JsonPathError(`unrecognized character in ${JSON.stringify(this.#path)} at ${this.#at}`);
    this.#at += text.length;
    return text.replace(/\\(.)/g, "$1");
  }

  #bracket(): Step {
    const end = this.#closing();
    const inner = this.#path.slice(this.#at + 1, end).trim();
    this.#at = end + 1;
    if (inner === "*") return children;
    const filter = /^\?\((.*)\)$/s.exec(inner);
    if (filter) return filterStep((filter[1] ?? "").trim());
    const quoted = /^(['"])(.*)\1$/s.exec(inner);
    if (quoted) return (value) => child(value, (quoted[2] ?? "").replace(/\\(.)/g, "$1"));
    const slice = /^(-?\d*):(-?\d*)(?::(\d+))?$/.exec(inner);
    if (slice) return sliceStep(slice);
    if (!/^-?\d+(\s*,\s*-?\d+)*$/.test(inner)) throw new JsonPathError(`invalid array index ${inner}`);
    const indexes = inner.split(",").map(Number);
    return (value) => (Array.isArray(value) ? indexes.flatMap((index) => value.at(index) ?? []) : []);
  }

  /** The bracket that closes the one here, outside of quotes. */
  #closing(): number {
    let depth = 0;
    let quote = "";
    for (let at = this.#at; at < this.#path.length; at++) {
      const character = this.#path[at] ?? "";
      if (quote !== "") {
        if (character === "\\") at++;
        else if (character === quote) quote = "";
      } else if (character === "'" || character === '"') quote = character;
      else if (character === "[") depth++;
      else if (character === "]" && --depth === 0) return at;
    }
    throw new JsonPathError(`unterminated array in ${JSON.stringify(this.#path)}`);
  }
}

/** `@.type=="Ready"`, `@.port>80`, or `@.name` alone, which asks whether it is there. */
function filterStep(text: string): Step {
  const [, left = "", operator, right = ""] = /^(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$/s.exec(text) ?? [undefined, text];
  const path = compileJsonPath(left.trim());
  const operand = operandOf(right.trim());
  const keeps = (item: unknown): boolean => {
    const [found] = path(item);
    if (operator === undefined) return path(item).length > 0;
    return path(item).length > 0 && compare(found, operator, operand(item));
  };
  return (value) =>
    Array.isArray(value) ? value.filter(keeps) : isObject(value) ? Object.values(value).filter(keeps) : [];
}

function operandOf(text: string): (item: unknown) => unknown {
  const quoted = /^(['"])(.*)\1$/s.exec(text);
  if (quoted) return () => quoted[2];
  if (text.startsWith("@")) {
    const path = compileJsonPath(text);
    return (item) => path(item)[0];
  }
  if (text === "true" || text === "false") return () => text === "true";
  const number = Number(text);
  return () => (text === "" || Number.isNaN(number) ? text : number);
}

function compare(left: unknown, operator: string, right: unknown): boolean {
  if (operator === "==") return left === right;
  if (operator === "!=") return left !== right;
  if (typeof left !== typeof right || (typeof left !== "number" && typeof left !== "string")) return false;
  const [a, b] = [left, right as typeof left];
  if (operator === "<") return a < b;
  if (operator === "<=") return a <= b;
  return operator === ">" ? a > b : a >= b;
}

function sliceStep([, start = "", end = "", step]: RegExpExecArray): Step {
  return (value) => {
    if (!Array.isArray(value)) return [];
    const cut = value.slice(start === "" ? 0 : Number(start), end === "" ? undefined : Number(end));
    return step === undefined ? cut : cut.filter((_item, index) => index % Math.max(1, Number(step)) === 0);
  };
}

function child(value: unknown, name: string): readonly unknown[] {
  return isObject(value) && Object.hasOwn(value, name) ? [value[name]] : [];
}

function children(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return isObject(value) ? Object.values(value) : [];
}

function descendants(value: unknown): readonly unknown[] {
  return [value, ...children(value).flatMap(descendants)];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

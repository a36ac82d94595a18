/**
 * Checks an expression before it runs: that its names, fields and functions exist, that operators fit their operands, and what it may cost at most.
 * What is known only while it runs ("dyn") passes.
 */
import { findFunction } from "./evaluate.ts";
import { macroOf } from "./macros.ts";
import { TYPE_NAMES } from "./operators.ts";
import { describeType, DYN, type StaticType } from "./static-types.ts";
import { CelSyntaxError, type Expression } from "./syntax.ts";

type Call = Expression & { readonly kind: "call" };
type Names = ReadonlyMap<string, StaticType>;

/** What a check finds. */
export type Checked = {
  readonly type: StaticType;
  /** Variables that the expression uses. */
  readonly uses: ReadonlySet<string>;
  /** The most that it costs, roughly. */
  readonly cost: number;
};

/** Checks an expression over these variables. Throws a CelSyntaxError for the first problem. */
export function check(expression: Expression, variables: Names): Checked {
  const checker = new Checker(variables);
  const type = checker.check(expression, variables);
  return { type, uses: checker.uses, cost: checker.cost };
}

const NUMERIC = new Set(["int", "uint", "double"]);
const ORDERED = new Set(["int", "uint", "double", "string", "bool", "bytes", "timestamp", "duration", "dyn"]);

/** What costs the same for a value of any length, as cel-go estimates it: conversions of texts, but for those to bytes and back. */
const CONSTANT_COST = new Set([
  "size",
  "duration",
  "timestamp",
  "int",
  "uint",
  "double",
  "bool",
  "string",
  "dyn",
  "type",
]);

class Checker {
  readonly uses = new Set<string>();
  cost = 0;
  readonly #variables: Names;
  /** How often the part in hand runs at most. */
  #times = 1;

  constructor(variables: Names) {
    this.#variables = variables;
  }

  check(expression: Expression, names: Names): StaticType {
    if (expression.kind !== "literal") this.cost += this.#times;
    switch (expression.kind) {
      case "literal":
        return literalType(expression);
      case "name":
        return this.#name(expression, names);
      case "select":
        return this.#select(expression, names);
      case "index":
        return this.#index(expression, names);
      case "call":
        return this.#call(expression, names);
      case "and":
      case "or":
        this.#expectBool(expression.left, names);
        this.#expectBool(expression.right, names);
        return { kind: "bool" };
      case "conditional":
        return this.#conditional(expression, names);
      default:
        return this.#made(expression, names);
    }
  }

  #name({ name, at }: Expression & { kind: "name" }, names: Names): StaticType {
    const type = names.get(name);
    if (type !== undefined) {
      if (this.#variables.get(name) === type) this.uses.add(name);
      return type;
    }
    if (TYPE_NAMES.has(name)) return { kind: "type" };
    throw new CelSyntaxError(`undeclared reference to '${name}' (in container '')`, at);
  }

  #select({ operand, field, isOptional, at }: Expression & { kind: "select" }, names: Names): StaticType {
    const type = this.check(operand, names);
    const found = fieldOf(type, field, at);
    return isOptional || type.kind === "optional" ? optionalOf(found) : found;
  }

  #index({ operand, key, isOptional, at }: Expression & { kind: "index" }, names: Names): StaticType {
    const type = this.check(operand, names);
    const keyType = this.check(key, names);
    const container = type.kind === "optional" ? (type.item ?? DYN) : type;
    const isList = container.kind === "list" || container.kind === "list(string)";
    const fits = isList
      ? NUMERIC.has(keyType.kind) || keyType.kind === "dyn"
      : container.kind === "map" || container.kind === "dyn";
    if (!fits) throw mismatch("_[_]", [type, keyType], at);
    const item = container.item ?? (container.kind === "list(string)" ? { kind: "string" as const } : DYN);
    return isOptional || type.kind === "optional" ? optionalOf(item) : item;
  }

  #conditional({ test, yes, no, at }: Expression & { kind: "conditional" }, names: Names): StaticType {
    this.#expectBool(test, names);
    const first = this.check(yes, names);
    const second = this.check(no, names);
    if (!isComparable(first, second)) throw mismatch("_?_:_", [{ kind: "bool" }, first, second], at);
    return first.kind === second.kind ? first : DYN;
  }

  #made(expression: Expression & { kind: "list" | "map" | "struct" }, names: Names): StaticType {
    if (expression.kind === "list") {
      const types = expression.items.map(({ value }) => this.check(value, names));
      const [first] = types;
      const isUniform = first !== undefined && types.every(({ kind }) => kind === first.kind);
      return { kind: "list", item: isUniform ? first : DYN, size: expression.items.length };
    }
    if (expression.kind === "struct") {
      for (const { value } of expression.fields) this.check(value, names);
      return DYN;
    }
    for (const { key, value } of expression.entries) {
      this.check(key, names);
      this.check(value, names);
    }
    return { kind: "map", item: DYN, size: expression.entries.length };
  }

  #call(call: Call, names: Names): StaticType {
    if (call.name === "has" && call.target === undefined) return this.#has(call, names);
    const macro = macroOf(call);
    if (macro !== undefined) return this.#macro(call, macro, names);
    const found = findFunction(call.name, call.target);
    if (found === undefined) throw undeclared(call);
    const operands = found.isMember && call.target !== undefined ? [call.target, ...call.args] : call.args;
    const types = operands.map((operand) => this.check(operand, names));
    const [min, max] = found.function.arity;
    if (types.length < min || types.length > max) throw mismatch(call.name, types, call.at);
    this.#spend(call.name, types);
    if (call.name.includes("_") || call.name === "@in")
      return operatorType(call, types) ?? { kind: found.function.result };
    return resultOf(call.name, found.function.result, types);
  }

  /** Strings and lists are looked through; equality ends with the shorter one. */
  #spend(name: string, types: readonly StaticType[]): void {
    const sizes = types.map(({ size }) => size).filter((size) => size !== undefined);
    const isLookup = name === "@in" && types[1]?.kind === "map";
    if (sizes.length === 0 || isLookup || CONSTANT_COST.has(name)) return;
    const isEquality = name === "_==_" || name === "_!=_";
    const length = isEquality ? Math.min(...sizes) : Math.max(...sizes);
    const isText = types.every(({ kind }) => kind === "string" || kind === "bytes");
    this.cost += this.#times * length * (name === "@in" && !isText ? 1 : 0.1);
  }

  #has({ args, at }: Call, names: Names): StaticType {
    const [selection] = args;
    if (args.length !== 1 || selection?.kind !== "select")
      throw new CelSyntaxError("invalid argument to has() macro", at);
    this.check(selection, names);
    return { kind: "bool" };
  }

  #macro(call: Call, macro: NonNullable<ReturnType<typeof macroOf>>, names: Names): StaticType {
    const source = this.check(macro.source as Expression, names);
    const isWalk = call.name !== "bind" && !call.name.startsWith("opt");
    const isContainer = ["list", "list(string)", "map", "dyn"].includes(source.kind);
    if (isWalk && !isContainer) {
      const what = `expression of type '${describeType(source)}' cannot be range of a comprehension (must be list, map, or dynamic)`;
      throw new CelSyntaxError(what, (macro.source as Expression).at);
    }
    const inner = new Map([...names, ...boundTypes(macro.names, source, call.name)]);
    const before = this.#times;
    if (isWalk) this.#times *= source.size ?? 1;
    const types = macro.bodies.map((body) => this.check(body, inner));
    this.#times = before;
    return macroType(call, source, types);
  }

  #expectBool(expression: Expression, names: Names): void {
    const type = this.check(expression, names);
    if (type.kind !== "bool" && type.kind !== "dyn") {
      throw new CelSyntaxError(`expected type 'bool' but found '${describeType(type)}'`, expression.at);
    }
  }
}

function literalType({ value }: Expression & { kind: "literal" }): StaticType {
  if (value === null) return { kind: "null" };
  if (typeof value === "bigint") return { kind: "int" };
  if (typeof value === "number") return { kind: "double" };
  if (typeof value === "boolean") return { kind: "bool" };
  if (typeof value === "string") return { kind: "string", size: value.length };
  return value instanceof Uint8Array ? { kind: "bytes", size: value.length } : { kind: "uint" };
}

function fieldOf(type: StaticType, field: string, at: number): StaticType {
  if (type.kind === "optional") return fieldOf(type.item ?? DYN, field, at);
  if (type.kind === "dyn") return DYN;
  if (type.kind === "map") return type.item ?? DYN;
  if (type.kind !== "object")
    throw new CelSyntaxError(`type '${describeType(type)}' does not support field selection`, at);
  const found = type.field?.(field);
  if (found === undefined) throw new CelSyntaxError(`undefined field '${field}'`, at);
  return found;
}

function optionalOf(type: StaticType): StaticType {
  return type.kind === "optional" ? type : { kind: "optional", item: type };
}

/** What the names of a macro stand for: elements of lists, keys of maps, with two names the place first. */
function boundTypes(
  names: readonly string[],
  source: StaticType,
  macro: string,
): readonly (readonly [string, StaticType])[] {
  const [first = "", second] = names;
  if (macro === "bind") return [[first, source]];
  const isList = source.kind === "list" || source.kind === "list(string)";
  const item: StaticType = source.kind === "list(string)" ? { kind: "string" } : (source.item ?? DYN);
  if (macro.startsWith("opt")) return [[first, item]];
  const place: StaticType = source.kind === "map" ? { kind: "string" } : isList ? { kind: "int" } : DYN;
  if (second !== undefined)
    return [
      [first, place],
      [second, item],
    ];
  return [[first, isList ? item : place]];
}

function macroType({ name, at }: Call, source: StaticType, types: readonly StaticType[]): StaticType {
  const last = types.at(-1) ?? DYN;
  const [test] = types;
  const isTest = !name.startsWith("transform") && !["map", "bind", "sortBy"].includes(name) && !name.startsWith("opt");
  if (isTest || (name === "map" && types.length === 2)) {
    if (test !== undefined && test.kind !== "bool" && test.kind !== "dyn") {
      throw new CelSyntaxError(`expected type 'bool' but found '${describeType(test)}'`, at);
    }
  }
  if (name === "bind") return last;
  if (name === "optMap") return optionalOf(last);
  if (name === "optFlatMap") return last;
  if (name === "transformMapEntry") return { kind: "map", item: DYN, ...sized(source) };
  if (name === "sortBy") return source.kind === "map" ? DYN : source;
  if (name === "transformMap") return { kind: "map", item: last, ...sized(source) };
  if (name === "map" || name === "transformList") return { kind: "list", item: last, ...sized(source) };
  if (name !== "filter") return { kind: "bool" };
  if (source.kind === "map") return { kind: "list", item: { kind: "string" }, ...sized(source) };
  return source;
}

function sized({ size }: StaticType): { readonly size?: number } {
  return size === undefined ? {} : { size };
}

/** The type that an operator gives. Throws when its operands do not fit each other. */
function operatorType({ name, at }: Call, types: readonly StaticType[]): StaticType | undefined {
  const [a, b] = types as readonly [StaticType, StaticType | undefined];
  if (b === undefined) return name === "-_" ? a : undefined;
  if (name === "_==_" || name === "_!=_") {
    if (!isComparable(a, b)) throw mismatch(name, types, at);
    return { kind: "bool" };
  }
  if (name === "@in") {
    if (!["list", "list(string)", "map", "dyn"].includes(b.kind)) throw mismatch(name, types, at);
    return { kind: "bool" };
  }
  if (/^_[<>]=?_$/.test(name)) {
    const fits =
      ORDERED.has(a.kind) &&
      ORDERED.has(b.kind) &&
      (isComparable(a, b) || (NUMERIC.has(a.kind) && NUMERIC.has(b.kind)));
    if (!fits) throw mismatch(name, types, at);
    return { kind: "bool" };
  }
  return arithmeticType(name, a, b, at);
}

function arithmeticType(name: string, a: StaticType, b: StaticType, at: number): StaticType {
  if (a.kind === "dyn" || b.kind === "dyn") return DYN;
  const isTime = (type: StaticType): boolean => type.kind === "timestamp" || type.kind === "duration";
  if (isTime(a) && isTime(b) && (name === "_+_" || name === "_-_")) {
    if (a.kind === b.kind) return { kind: "duration" };
    return { kind: "timestamp" };
  }
  const isAddable = name === "_+_" && ["string", "bytes", "list", "list(string)"].includes(a.kind);
  const isSame = a.kind === b.kind || (a.kind.startsWith("list") && b.kind.startsWith("list"));
  if (!isSame || !(NUMERIC.has(a.kind) || isAddable)) throw mismatch(name, [a, b], at);
  return isAddable && a.size !== undefined && b.size !== undefined ? { ...a, size: a.size + b.size } : a;
}

/** True when values of the types may be equal. */
function isComparable(a: StaticType, b: StaticType): boolean {
  const loose = new Set(["dyn", "null", "optional", "opaque"]);
  if (loose.has(a.kind) || loose.has(b.kind)) return true;
  const plain = ({ kind }: StaticType): string => (kind === "list(string)" ? "list" : kind === "object" ? "map" : kind);
  if (plain(a) !== plain(b)) return false;
  return a.item === undefined || b.item === undefined || isComparable(a.item, b.item);
}

/** Functions that give back what they were called on, or a part of it. */
function resultOf(name: string, result: StaticType["kind"], types: readonly StaticType[]): StaticType {
  const [target] = types;
  if (name === "dyn") return DYN;
  if (target?.kind === "optional" && (name === "value" || name === "orValue")) return target.item ?? DYN;
  if (target?.kind === "list" && ["distinct", "sort", "slice", "reverse"].includes(name)) return target;
  if (target?.kind === "list" && ["min", "max", "sum"].includes(name)) return target.item ?? DYN;
  if ((result === "string" || result === "list(string)") && target !== undefined)
    return { kind: result, ...sized(target) };
  return { kind: result };
}

function undeclared({ name, target, at }: Call): CelSyntaxError {
  const full = target?.kind === "name" && name === "" ? target.name : name;
  return new CelSyntaxError(`undeclared reference to '${full}' (in container '')`, at);
}

function mismatch(name: string, types: readonly StaticType[], at: number): CelSyntaxError {
  return new CelSyntaxError(
    `found no matching overload for '${name}' applied to '(${types.map(describeType).join(", ")})'`,
    at,
  );
}

/**
 * Turns trees of CEL into functions that run them. Every step counts against the limit of what an evaluation may cost.
 */
import type { CelFunction } from "./functions.ts";
import { GLOBALS, MEMBERS } from "./library.ts";
import { compileMacro } from "./macros.ts";
import { OPERATORS, TYPE_NAMES } from "./operators.ts";
import type { Code, Scope } from "./scope.ts";
import type { Expression } from "./syntax.ts";
import {
  CelError,
  type CelValue,
  isCelList,
  isCelMap,
  noOverload,
  Optional,
  show,
  StructValue,
  TypeValue,
  Uint,
  ValueMap,
} from "./values.ts";

/** Compiles an expression that the check has found good. */
export function compile(expression: Expression): Code {
  switch (expression.kind) {
    case "literal": {
      const { value } = expression;
      const result =
        typeof value === "object" && value !== null && "unsigned" in value ? new Uint(value.unsigned) : value;
      return () => result as CelValue;
    }
    case "name":
      return nameCode(expression.name);
    case "select":
      return selectCode(expression);
    case "index":
      return indexCode(expression);
    case "call":
      return compileMacro(expression, compile) ?? callCode(expression);
    case "and":
    case "or":
      return logicalCode(expression);
    case "conditional":
      return conditionalCode(expression);
    default:
      return literalCode(expression);
  }
}

function nameCode(name: string): Code {
  const type = TYPE_NAMES.has(name) ? new TypeValue(name) : undefined;
  return (scope) => {
    scope.meter.spend(1);
    const value = scope.find(name) ?? type;
    if (value === undefined) throw new CelError(`no such attribute(s): ${name}`);
    return value;
  };
}

function selectCode({ operand, field, isOptional }: Expression & { kind: "select" }): Code {
  const inner = compile(operand);
  return (scope) => {
    const value = inner(scope);
    scope.meter.spend(1);
    return select(value, (map) => map.field(field), field, isOptional);
  };
}

function indexCode({ operand, key, isOptional }: Expression & { kind: "index" }): Code {
  const inner = compile(operand);
  const keyCode = compile(key);
  return (scope) => {
    const value = inner(scope);
    const index = keyCode(scope);
    scope.meter.spend(1);
    const container = value instanceof Optional ? value.value : value;
    if (container === undefined || !isCelList(container))
      return select(value, (map) => map.get(index), show(index), isOptional);
    const position = typeof index === "bigint" ? Number(index) : index instanceof Uint ? Number(index.value) : index;
    if (typeof position !== "number" || !Number.isInteger(position)) throw noOverload();
    const item = container[position];
    if (isOptional || value instanceof Optional) return new Optional(item);
    if (item === undefined) throw new CelError(`index out of bounds: ${position}`);
    return item;
  };
}

type Lookup = (map: {
  get(key: CelValue): CelValue | undefined;
  field(name: string): CelValue | undefined;
}) => CelValue | undefined;

/** A selection from something optional is optional itself. */
function select(value: CelValue, lookup: Lookup, name: string, isOptional: boolean): CelValue {
  if (value instanceof Optional) {
    if (value.value === undefined) return value;
    return select(value.value, lookup, name, true);
  }
  if (!isCelMap(value)) throw noOverload();
  const found = lookup(value);
  if (isOptional) return new Optional(found);
  if (found === undefined) throw new CelError(`no such key: ${name}`);
  return found;
}

/** Errors on one side do not matter when the other side decides, in whichever order they stand. */
function logicalCode({ kind, left, right }: Expression & { kind: "and" | "or" }): Code {
  const decisive = kind === "or";
  const first = compile(left);
  const second = compile(right);
  return (scope) => {
    const a = attempt(first, scope);
    if (a === decisive) return decisive;
    const b = attempt(second, scope);
    if (b === decisive) return decisive;
    if (a instanceof CelError) throw a;
    if (b instanceof CelError) throw b;
    if (typeof a !== "boolean" || typeof b !== "boolean") throw noOverload();
    return !decisive;
  };
}

/** The value or the error. */
export function attempt(code: Code, scope: Scope): CelValue | CelError {
  try {
    return code(scope);
  } catch (error) {
    if (error instanceof CelError) return error;
    throw error;
  }
}

function conditionalCode({ test, yes, no }: Expression & { kind: "conditional" }): Code {
  const [testCode, yesCode, noCode] = [compile(test), compile(yes), compile(no)];
  return (scope) => {
    const result = testCode(scope);
    if (typeof result !== "boolean") throw noOverload();
    return result ? yesCode(scope) : noCode(scope);
  };
}

function callCode({ name, target, args }: Expression & { kind: "call" }): Code {
  const found = findFunction(name, target);
  if (found === undefined) return () => fail(noOverload());
  const all = (found.isMember && target !== undefined ? [target, ...args] : args).map(compile);
  return (scope) => {
    const values = all.map((code) => code(scope));
    scope.meter.spend(1);
    return found.function.call(values, scope.meter);
  };
}

/** The function that a call means: an operator, a global one, `namespace.name`, or a member. */
export function findFunction(
  name: string,
  target: Expression | undefined,
): { readonly function: CelFunction; readonly isMember: boolean } | undefined {
  if (target === undefined) {
    const global = own(OPERATORS, name) ?? own(GLOBALS, name);
    return global === undefined ? undefined : { function: global, isMember: false };
  }
  const qualified = target.kind === "name" ? own(GLOBALS, `${target.name}.${name}`) : undefined;
  if (qualified !== undefined) return { function: qualified, isMember: false };
  const member = own(MEMBERS, name);
  return member === undefined ? undefined : { function: member, isMember: true };
}

function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function literalCode(expression: Expression & { kind: "list" | "map" | "struct" }): Code {
  if (expression.kind === "list") {
    const items = expression.items.map(({ value, isOptional }) => ({ code: compile(value), isOptional }));
    return (scope) => {
      scope.meter.spend(10);
      return items.flatMap(({ code, isOptional }) => present(code(scope), isOptional));
    };
  }
  const isStruct = expression.kind === "struct";
  const parts = isStruct
    ? expression.fields.map(({ name, value, isOptional }) => ({ key: () => name, value: compile(value), isOptional }))
    : expression.entries.map(({ key, value, isOptional }) => ({
        key: compile(key),
        value: compile(value),
        isOptional,
      }));
  return (scope) => {
    scope.meter.spend(isStruct ? 40 : 30);
    const entries = parts.flatMap(({ key, value, isOptional }) =>
      present(value(scope), isOptional).map((each) => [(key as Code)(scope), each] as const),
    );
    return isStruct ? new StructValue(expression.type, entries) : new ValueMap(entries);
  };
}

function present(value: CelValue, isOptional: boolean): readonly CelValue[] {
  if (!isOptional) return [value];
  if (!(value instanceof Optional)) throw noOverload();
  return value.value === undefined ? [] : [value.value];
}

function fail(error: CelError): never {
  throw error;
}

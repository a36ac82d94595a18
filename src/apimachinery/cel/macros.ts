/**
 * The macros of CEL: has(), the walks over lists and maps, cel.bind and those of optional values.
 */
import type { Code, Scope } from "./scope.ts";
import type { Expression } from "./syntax.ts";
import { celCompare, CelError, type CelValue, isCelList, isCelMap, noOverload, Optional, ValueMap } from "./values.ts";

type Call = Expression & { readonly kind: "call" };
type Compile = (expression: Expression) => Code;

/** A macro that walks, with how many names it binds before its expressions. */
const WALKS: ReadonlySet<string> = new Set([
  "all",
  "exists",
  "exists_one",
  "existsOne",
  "map",
  "filter",
  "transformList",
  "transformMap",
  "transformMapEntry",
  "sortBy",
]);

/** What a call of a macro binds: the names, and the expressions that see them. Undefined for a call that is no macro. */
export function macroOf(call: Call):
  | {
      readonly names: readonly string[];
      readonly bodies: readonly Expression[];
      readonly source: Expression | undefined;
    }
  | undefined {
  const { name, target, args } = call;
  if (target === undefined) return undefined;
  const [first, second] = args;
  if (
    name === "bind" &&
    target.kind === "name" &&
    target.name === "cel" &&
    first?.kind === "name" &&
    args.length === 3
  ) {
    return { names: [first.name], bodies: args.slice(2), source: second as Expression };
  }
  if ((name === "optMap" || name === "optFlatMap") && first?.kind === "name" && args.length === 2) {
    return { names: [first.name], bodies: args.slice(1), source: target };
  }
  if (!WALKS.has(name) || first?.kind !== "name") return undefined;
  const isTwo = second?.kind === "name" && takesTwo(name, args.length);
  if (isTwo) return { names: [first.name, second.name], bodies: args.slice(2), source: target };
  if (name.startsWith("transform")) return undefined;
  const max = name === "map" ? 3 : 2;
  if (name === "sortBy" && args.length !== 2) return undefined;
  return args.length < 2 || args.length > max
    ? undefined
    : { names: [first.name], bodies: args.slice(1), source: target };
}

function takesTwo(name: string, count: number): boolean {
  if (name === "sortBy") return false;
  if (name.startsWith("transform")) return count === 3 || count === 4;
  return count === 3 && name !== "map" && name !== "filter";
}

/** The code of a macro, or undefined for other calls. */
export function compileMacro(call: Call, compile: Compile): Code | undefined {
  if (call.name === "has" && call.target === undefined && call.args.length === 1) return hasCode(call, compile);
  const macro = macroOf(call);
  if (macro === undefined) return undefined;
  const source = compile(macro.source as Expression);
  const bodies = macro.bodies.map(compile);
  if (call.name === "bind") return bindCode(macro.names[0] as string, source, bodies[0] as Code);
  if (call.name.startsWith("opt")) return optionalCode(call.name, macro.names[0] as string, source, bodies[0] as Code);
  return walkCode(call.name, macro.names, source, bodies);
}

function hasCode({ args: [selection] }: Call, compile: Compile): Code {
  if (selection?.kind !== "select") return () => fail("invalid argument to has() macro");
  const operand = compile(selection.operand);
  const { field } = selection;
  return (scope) => {
    const value = operand(scope);
    scope.meter.spend(1);
    if (value instanceof Optional)
      return value.value !== undefined && isCelMap(value.value) && value.value.field(field) !== undefined;
    if (!isCelMap(value)) throw noOverload();
    return value.field(field) !== undefined;
  };
}

function bindCode(name: string, value: Code, body: Code): Code {
  return (scope) => body(scope.with(name, value(scope)));
}

function optionalCode(macro: string, name: string, source: Code, body: Code): Code {
  return (scope) => {
    const optional = source(scope);
    if (!(optional instanceof Optional)) throw noOverload();
    if (optional.value === undefined) return optional;
    const result = body(scope.with(name, optional.value));
    return macro === "optMap" ? new Optional(result) : result;
  };
}

function walkCode(name: string, names: readonly string[], source: Code, bodies: readonly Code[]): Code {
  const walk = walkOf(name, bodies);
  return (scope) => {
    const container = source(scope);
    if (!isCelList(container) && !isCelMap(container)) throw noOverload();
    const outer = scope.with(names[0] as string);
    const inner = names.length === 2 ? outer.with(names[1] as string) : outer;
    const steps = function* (): Generator<CelValue> {
      const keys = isCelList(container) ? container : container.keys();
      for (const [index, key] of keys.entries()) {
        scope.meter.spend(1);
        if (names.length === 2) {
          outer.value = isCelList(container) ? BigInt(index) : key;
          inner.value = isCelList(container) ? key : container.get(key);
        } else inner.value = key;
        yield outer.value as CelValue;
      }
    };
    return walk(inner, steps());
  };
}

type Walk = (scope: Scope, steps: Iterable<CelValue>) => CelValue;

function walkOf(name: string, bodies: readonly Code[]): Walk {
  const [first, second] = bodies as readonly [Code, Code | undefined];
  if (name === "all") return (scope, steps) => !decides(scope, steps, first, false);
  if (name === "exists") return (scope, steps) => decides(scope, steps, first, true);
  if (name === "exists_one" || name === "existsOne") return (scope, steps) => countTrue(scope, steps, first) === 1;
  if (name === "filter") return (scope, steps) => collect(scope, steps, first, undefined);
  if (name === "sortBy") return (scope, steps) => sorted(scope, steps, first);
  if (name === "transformMapEntry") {
    return (scope, steps) =>
      new ValueMap(innerEntries(scope, steps, second === undefined ? undefined : first, second ?? first));
  }
  if (name === "transformMap") {
    return (scope, steps) =>
      new ValueMap(entriesOf(scope, steps, second === undefined ? undefined : first, second ?? first));
  }
  return (scope, steps) => collect(scope, steps, second === undefined ? undefined : first, second ?? first);
}

/** True when an element gives `decisive`. An error counts only when none does. */
function decides(scope: Scope, steps: Iterable<CelValue>, body: Code, decisive: boolean): boolean {
  let failed: CelError | undefined;
  for (const _ of steps) {
    try {
      const result = body(scope);
      if (result === decisive) return true;
      if (typeof result !== "boolean") failed ??= noOverload();
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
      failed ??= error;
    }
  }
  if (failed !== undefined) throw failed;
  return false;
}

function countTrue(scope: Scope, steps: Iterable<CelValue>, body: Code): number {
  let count = 0;
  for (const _ of steps) if (isTrue(body(scope))) count += 1;
  return count;
}

function collect(
  scope: Scope,
  steps: Iterable<CelValue>,
  test: Code | undefined,
  transform: Code | undefined,
): readonly CelValue[] {
  const found: CelValue[] = [];
  for (const step of steps) {
    if (test !== undefined && !isTrue(test(scope))) continue;
    found.push(transform === undefined ? step : transform(scope));
  }
  return found;
}

function* entriesOf(
  scope: Scope,
  steps: Iterable<CelValue>,
  test: Code | undefined,
  transform: Code,
): Generator<readonly [CelValue, CelValue]> {
  for (const step of steps) if (test === undefined || isTrue(test(scope))) yield [step, transform(scope)];
}

function* innerEntries(
  scope: Scope,
  steps: Iterable<CelValue>,
  test: Code | undefined,
  transform: Code,
): Generator<readonly [CelValue, CelValue]> {
  for (const [, made] of entriesOf(scope, steps, test, transform)) {
    if (!isCelMap(made)) throw noOverload();
    for (const key of made.keys()) yield [key, made.get(key) as CelValue];
  }
}

/** The elements in the order of what the expression gives for them. */
function sorted(scope: Scope, steps: Iterable<CelValue>, key: Code): readonly CelValue[] {
  const pairs = Array.from(steps, (element) => ({ element, key: key(scope) }));
  return pairs.sort((a, b) => celCompare(a.key, b.key) ?? 0).map(({ element }) => element);
}

function isTrue(value: CelValue): boolean {
  if (typeof value !== "boolean") throw noOverload();
  return value;
}

function fail(message: string): never {
  throw new CelError(message);
}

/**
 * What the parts of a CESQL expression do with an event: a closure each, put together once. After the first error every enclosing one gives its type's zero value (spec 1.0.0 §3.2, §3.4).
 */
import { findFunction } from "./functions.ts";
import { compileLike } from "./like.ts";
import {
  cast,
  castToBoolean,
  castToInteger,
  fail,
  type Run,
  typeOf,
  type Value,
  type ValueType,
  zeroOf,
} from "./values.ts";

/** A part of an expression. */
export type Node = { readonly type: ValueType | "Any"; readonly run: (run: Run) => Value };

const comparisons: Readonly<Record<string, (x: number, y: number) => boolean>> = {
  "<": (x, y) => x < y,
  "<=": (x, y) => x <= y,
  ">": (x, y) => x > y,
  ">=": (x, y) => x >= y,
};

/** 32 bits, as Go's SDK computes: what is too large wraps around. */
const arithmetic: Readonly<Record<string, (x: number, y: number) => number>> = {
  "+": (x, y) => (x + y) | 0,
  "-": (x, y) => (x - y) | 0,
  "*": (x, y) => Math.imul(x, y),
};

const requiredAttributes = ["specversion", "id", "source", "type"];

export function literal(value: Value): Node {
  return { type: typeOf(value), run: () => value };
}

export function attributeNode(name: string): Node {
  return {
    type: "Any",
    run: (run) => run.attributes.get(name) ?? fail(run, "missingAttribute", false),
  };
}

export function existsNode(name: string): Node {
  const isRequired = requiredAttributes.includes(name);
  return { type: "Boolean", run: (run) => isRequired || run.attributes.has(name) };
}

export function logicNode(operator: string, left: Node, right: Node): Node {
  return {
    type: "Boolean",
    run(run) {
      const x = castToBoolean(run, left.run(run));
      if (run.error !== undefined) return false;
      if ((operator === "AND" && !x) || (operator === "OR" && x)) return x;
      const y = castToBoolean(run, right.run(run));
      if (run.error !== undefined) return false;
      return operator === "XOR" ? x !== y : y;
    },
  };
}

export function comparisonNode(operator: string, left: Node, right: Node): Node {
  const compare = comparisons[operator];
  if (compare === undefined) return equalityNode(operator === "=", left, right);
  return {
    type: "Boolean",
    run(run) {
      const x = castToInteger(run, left.run(run));
      if (run.error !== undefined) return false;
      const y = castToInteger(run, right.run(run));
      return run.error === undefined && compare(x, y);
    },
  };
}

function equalityNode(isEqual: boolean, left: Node, right: Node): Node {
  return {
    type: "Boolean",
    run(run) {
      const x = left.run(run);
      if (run.error !== undefined) return false;
      const y = right.run(run);
      if (run.error !== undefined) return false;
      const same = cast(run, x, typeOf(y)) === y;
      return run.error === undefined && same === isEqual;
    },
  };
}

export function mathNode(operator: string, left: Node, right: Node): Node {
  const compute = arithmetic[operator];
  return {
    type: "Integer",
    run(run) {
      const x = castToInteger(run, left.run(run));
      if (run.error !== undefined) return 0;
      const y = castToInteger(run, right.run(run));
      if (run.error !== undefined) return 0;
      if (compute !== undefined) return compute(x, y);
      if (y === 0) return fail(run, "math", 0);
      // Adding 0 takes the sign off -0, which would not be equal to 0 as text.
      return operator === "/" ? (x / y) | 0 : (x % y) + 0;
    },
  };
}

export function inNode(left: Node, set: readonly Node[]): Node {
  return {
    type: "Boolean",
    run(run) {
      const x = left.run(run);
      if (run.error !== undefined) return false;
      const type = typeOf(x);
      for (const element of set) {
        const y = element.run(run);
        if (run.error !== undefined) return false;
        const value = cast(run, y, type);
        if (run.error !== undefined) return false;
        if (value === x) return true;
      }
      return false;
    },
  };
}

export function likeNode(left: Node, pattern: string): Node {
  const matches = compileLike(pattern);
  return {
    type: "Boolean",
    run(run) {
      const value = left.run(run);
      return run.error === undefined && matches(String(value));
    },
  };
}

export function notNode(operand: Node): Node {
  return {
    type: "Boolean",
    run(run) {
      const value = castToBoolean(run, operand.run(run));
      return run.error === undefined && !value;
    },
  };
}

export function negationNode(operand: Node): Node {
  return {
    type: "Integer",
    run(run) {
      const value = castToInteger(run, operand.run(run));
      return run.error === undefined ? -value | 0 : 0;
    },
  };
}

/** Undefined when there is no such function for so many arguments. */
export function callNode(name: string, args: readonly Node[]): Node | undefined {
  const builtIn = findFunction(name, args.length);
  if (builtIn === undefined) return undefined;
  const { parameters, rest, returns } = builtIn;
  const types = args.map((_, index) => parameters[index] ?? rest ?? "Any");
  const zero = zeroOf(returns);
  return {
    type: returns,
    run(run) {
      const values: Value[] = [];
      for (const [index, argument] of args.entries()) {
        const value = argument.run(run);
        if (run.error !== undefined) return zero;
        const type = types[index] ?? "Any";
        values.push(type === "Any" ? value : cast(run, value, type));
        if (run.error !== undefined) return zero;
      }
      return builtIn.run(run, values);
    },
  };
}

/** A call of a function that does not exist. */
export function missingFunctionNode(): Node {
  return { type: "Boolean", run: (run) => fail(run, "missingFunction", false) };
}

/**
 * Expressions of CEL as trees. Macros (all, exists, map, …) stay calls here; what runs them knows them by name.
 */

/** A part of an expression; `at` is its position in the text. */
export type Expression =
  | { readonly kind: "literal"; readonly at: number; readonly value: Literal }
  | { readonly kind: "name"; readonly at: number; readonly name: string }
  | {
      readonly kind: "select";
      readonly at: number;
      readonly operand: Expression;
      readonly field: string;
      readonly isOptional: boolean;
    }
  | {
      readonly kind: "index";
      readonly at: number;
      readonly operand: Expression;
      readonly key: Expression;
      readonly isOptional: boolean;
    }
  | {
      readonly kind: "call";
      readonly at: number;
      readonly name: string;
      readonly target: Expression | undefined;
      readonly args: readonly Expression[];
    }
  | { readonly kind: "and" | "or"; readonly at: number; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: "conditional";
      readonly at: number;
      readonly test: Expression;
      readonly yes: Expression;
      readonly no: Expression;
    }
  | { readonly kind: "list"; readonly at: number; readonly items: readonly Item[] }
  | { readonly kind: "map"; readonly at: number; readonly entries: readonly Entry[] }
  | { readonly kind: "struct"; readonly at: number; readonly type: string; readonly fields: readonly Field[] };

/** What stands in the text itself; integers are bigints, unsigned ones wrapped. */
export type Literal = null | boolean | number | bigint | string | Uint8Array | { readonly unsigned: bigint };

export type Item = { readonly value: Expression; readonly isOptional: boolean };
export type Entry = { readonly key: Expression; readonly value: Expression; readonly isOptional: boolean };
export type Field = { readonly name: string; readonly value: Expression; readonly isOptional: boolean };

/** An expression that cannot be run: its text, where, and why. */
export class CelSyntaxError extends Error {
  readonly kind = "cel-syntax";
  readonly at: number;

  constructor(message: string, at: number) {
    super(message);
    this.name = "CelSyntaxError";
    this.at = at;
  }
}

/** An error with its line and a mark under its place, as cel-go prints it. */
export function describeProblem(text: string, at: number, message: string): string {
  const before = text.slice(0, at).split("\n");
  const column = (before.at(-1) as string).length;
  const line = text.split("\n")[before.length - 1] ?? "";
  return `ERROR: <input>:${before.length}:${column + 1}: ${message}\n | ${line}\n | ${".".repeat(column)}^`;
}

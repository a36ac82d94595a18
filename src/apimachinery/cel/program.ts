/**
 * CEL expressions of users: compiled and checked once, run with a limit of what they may cost.
 */
import { check, type Checked } from "./check.ts";
import { compile } from "./evaluate.ts";
import type { Meter } from "./functions.ts";
import { parseCel } from "./parser.ts";
import { type Code, Scope } from "./scope.ts";
import type { StaticType } from "./static-types.ts";
import { CelSyntaxError, describeProblem, type Expression } from "./syntax.ts";
import type { CelValue } from "./values.ts";

/** What one run may cost: about a tenth of a second. */
const COST_LIMIT = 1_000_000;

/** A run that went past its limit. */
export class CelLimitError extends Error {
  readonly kind = "cel-limit";

  constructor() {
    super("operation cancelled: actual cost limit exceeded");
    this.name = "CelLimitError";
  }
}

class CostMeter implements Meter {
  spent = 0;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  spend(cost: number): void {
    this.spent += cost;
    if (this.spent > this.#limit) throw new CelLimitError();
  }
}

/** A checked expression. */
export class CelProgram {
  readonly text: string;
  readonly checked: Checked;
  readonly #expression: Expression;
  #code: Code | undefined;

  /** Throws a CelSyntaxError. `variables` are the names that the expression may use. */
  constructor(text: string, variables: ReadonlyMap<string, StaticType>) {
    this.text = text;
    this.#expression = parseCel(text);
    this.checked = check(this.#expression, variables);
  }

  /** The value, or what went wrong (a CelError or CelLimitError), with what it cost. */
  run(
    variables: ReadonlyMap<string, CelValue>,
    limit: number = COST_LIMIT,
  ): { readonly value: CelValue | Error; readonly cost: number } {
    this.#code ??= compile(this.#expression);
    const meter = new CostMeter(limit);
    let scope = new Scope(meter);
    for (const [name, value] of variables) scope = scope.with(name, value);
    try {
      return { value: this.#code(scope), cost: meter.spent };
    } catch (error) {
      if (!(error instanceof Error) || !("kind" in error)) throw error;
      return { value: error, cost: meter.spent };
    }
  }
}

/** The program, or what is wrong with the text, in cel-go's layout. */
export function compileCel(text: string, variables: ReadonlyMap<string, StaticType>): CelProgram | string {
  try {
    return new CelProgram(text, variables);
  } catch (error) {
    if (error instanceof CelSyntaxError) return describeProblem(text, error.at, error.message);
    throw error;
  }
}

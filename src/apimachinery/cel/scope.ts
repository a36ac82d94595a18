/**
 * What a running expression sees: the names around it, and what it may still cost.
 */
import type { Meter } from "./functions.ts";
import type { CelValue } from "./values.ts";

/** An expression that can be run. */
export type Code = (scope: Scope) => CelValue;

/** The names that an expression may use where it stands. */
export class Scope {
  readonly meter: Meter;
  readonly #parent: Scope | undefined;
  readonly #name: string;
  value: CelValue | undefined;

  constructor(meter: Meter, name = "", parent?: Scope, value?: CelValue) {
    this.meter = meter;
    this.#name = name;
    this.#parent = parent;
    this.value = value;
  }

  /** A scope with one more name, whose value may be set again and again. */
  with(name: string, value?: CelValue): Scope {
    return new Scope(this.meter, name, this, value);
  }

  /** The value of a name, or undefined. */
  find(name: string): CelValue | undefined {
    return this.#name === name ? this.value : this.#parent?.find(name);
  }
}

/**
 * CESQL's errors (spec 1.0.0 §3.3): what is wrong with an expression's text, and what went wrong with one event. The first throws; the second is only noted, for every expression has a value, and a filter says no.
 */

/** What can go wrong with one event. */
export type EvaluationError =
  | "math"
  | "cast"
  | "missingAttribute"
  | "missingFunction"
  | "functionEvaluation"
  | "generic";

/** An expression that is none, with the place in its text. */
export class CesqlParseError extends Error {
  readonly kind = "CesqlParseError";
  /** Counted in characters of JavaScript from 0. */
  readonly position: number;

  constructor(problem: string, position: number) {
    super(`${problem} at position ${position + 1}`);
    this.position = position;
  }
}

/**
 * Regular expressions that users write, in RE2's syntax as upstream has it: matched in linear time, so that no pattern can stall the server.
 */
import { RE2JS } from "re2js";

/** Compiled patterns of one schema, each compiled once. */
export class Patterns {
  readonly #compiled = new Map<string, RE2JS>();

  /** True when `text` holds a match. Throws for what is no pattern; the check of the schema finds these first. */
  matches(pattern: string, text: string): boolean {
    let compiled = this.#compiled.get(pattern);
    if (compiled === undefined) {
      compiled = RE2JS.compile(pattern);
      this.#compiled.set(pattern, compiled);
    }
    return compiled.test(text);
  }
}

/** What is wrong with a pattern, in Go's words, or undefined. */
export function patternProblem(pattern: string): string | undefined {
  try {
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

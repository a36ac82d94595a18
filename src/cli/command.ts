/**
 * What a command of `nodeless` is: data for parsing and help, and a function that does it.
 */
import type { Machine } from "./machine.ts";
import type { Terminal } from "./terminal.ts";

/** One flag. Its name is written with dashes on the command line, as it stands here. */
export type Flag = {
  readonly type: "string" | "boolean";
  readonly short?: string;
  /** One sentence, without a full stop. */
  readonly help: string;
  /** What stands for the value in the help: NAME, N, FOLDER. */
  readonly value?: string;
  readonly default?: string;
  readonly multiple?: boolean;
};

/** What a command was given. Flags that were not given and have no default are absent. */
export type Arguments = {
  readonly positionals: readonly string[];
  readonly flags: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
};

/** What a command works with. */
export type CommandContext = {
  readonly terminal: Terminal;
  readonly machine: Machine;
  /** Errors show where they come from. */
  readonly isDebugging: boolean;
};

/** A command of the command line. */
export type Command = {
  /** One word, or two: "image load". */
  readonly name: string;
  /** What stands behind the name: "NAME…", "FILE". */
  readonly usage: string;
  /** One sentence, without a full stop. */
  readonly summary: string;
  /** Other names for it. */
  readonly aliases?: readonly string[];
  /** What else a reader of the help should know, as lines. */
  readonly details?: readonly string[];
  /** Command lines, without the program's name. */
  readonly examples?: readonly string[];
  readonly flags: Readonly<Record<string, Flag>>;
  readonly minPositionals?: number;
  readonly maxPositionals?: number;
  /** After so many positionals nothing is a flag any more: the words of a command to run. */
  readonly optionsEndAfter?: number;
  /** Gives the exit code. A thrown {@link UserError} is printed without a stack and exits with its code. */
  readonly run: (args: Arguments, context: CommandContext) => Promise<number>;
};

/** Something the user can put right: the message says what was wrong and what to do. */
export class UserError extends Error {
  readonly kind = "UserError";
  readonly exitCode: number;
  constructor(message: string, options: { readonly exitCode?: number; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
  }
}

/** The flag's text, or undefined. */
export function textFlag(args: Arguments, name: string): string | undefined {
  const value = args.flags[name];
  return typeof value === "string" ? value : undefined;
}

/** The flag as a whole number within bounds. Throws UserError. */
export function numberFlag(
  args: Arguments,
  name: string,
  bounds: { readonly min: number; readonly max: number },
): number | undefined {
  const text = textFlag(args, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < bounds.min || value > bounds.max) {
    throw new UserError(`--${name} must be a whole number from ${bounds.min} to ${bounds.max}, not "${text}"`, {
      exitCode: 2,
    });
  }
  return value;
}

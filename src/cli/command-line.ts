/**
 * From argv to a command: finds it in the table, parses its flags, runs it, turns errors into messages and exit codes. Help comes from the same table.
 * Exit codes: 0 done, 1 failed, 2 wrong usage; `exec` passes on the command's own.
 */
import { parseArgs } from "node:util";
import { type Arguments, type Command, type CommandContext, type Flag, UserError } from "./command.ts";
import type { Terminal } from "./terminal.ts";

/** Runs one command line (without node and script). Gives the exit code. */
export async function runCommandLine(
  commands: readonly Command[],
  argv: readonly string[],
  context: CommandContext,
): Promise<number> {
  const { terminal } = context;
  // `help up` is `up --help`.
  const words = argv[0] === "help" ? [...argv.slice(1), "--help"] : argv;
  if (words.length === 0 || (words.length === 1 && /^(-h|--help)$/.test(words[0] ?? ""))) {
    terminal.print(overview(commands));
    return 0;
  }
  const found = findCommand(commands, words);
  if (!found) return withoutCommand(commands, words, terminal);
  const { command } = found;
  const rest = withEndOfOptions(command, found.rest);
  if (wantsHelp(rest)) {
    terminal.print(helpOf(command));
    return 0;
  }
  try {
    return await command.run(parse(command, rest), context);
  } catch (error) {
    terminal.warn(`nodeless ${command.name}: ${messageOf(error, context)}`);
    return error instanceof UserError ? error.exitCode : 1;
  }
}

/** What the user can put right or the machine refused is said as it is; all else is our fault, and somebody has to see where. */
function messageOf(error: unknown, { isDebugging }: CommandContext): string {
  if (!(error instanceof Error)) return `ended by ${String(error)}`;
  if (isDebugging) return error.stack ?? error.message;
  // Our own errors have a kind and say what was being done; `syscall` is what Node's errors of the system have.
  const isClear = "kind" in error || "syscall" in error;
  return isClear ? error.message : `${error.message}. That is a bug of nodeless; NODELESS_LOG=debug shows where it is`;
}

function wantsHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}

type Found = { readonly command: Command; readonly rest: readonly string[] };

function findCommand(commands: readonly Command[], argv: readonly string[]): Found | undefined {
  for (const words of [2, 1]) {
    const asked = argv.slice(0, words).join(" ");
    const command = commands.find(({ name, aliases = [] }) => [name, ...aliases].includes(asked));
    if (command) return { command, rest: argv.slice(words) };
  }
  return undefined;
}

/** Help on a group of commands ("image"), or the refusal of a word that is none. */
function withoutCommand(commands: readonly Command[], argv: readonly string[], terminal: Terminal): number {
  const [word = "", second = ""] = argv;
  const group = commands.filter(({ name }) => name.startsWith(`${word} `));
  if (group.length > 0 && wantsHelp(argv)) {
    terminal.print(helpOfGroup(word, group));
    return 0;
  }
  if (group.length > 0 && second === "") {
    terminal.warn(helpOfGroup(word, group));
    return 2;
  }
  const isOfGroup = group.length > 0;
  const asked = isOfGroup ? `${word} ${second}` : word;
  const help = isOfGroup ? `nodeless ${word} --help` : "nodeless --help";
  const near = nearest(isOfGroup ? group : commands, asked);
  terminal.warn(
    `nodeless: unknown command "${asked}"${near === undefined ? "." : `; did you mean "${near}"?`} See '${help}'.`,
  );
  return 2;
}

/** Puts `--` where a command's flags end by its positionals. */
function withEndOfOptions(command: Command, argv: readonly string[]): readonly string[] {
  if (command.optionsEndAfter === undefined) return argv;
  const args = [...argv];
  const { tokens } = parseArgs({
    args,
    options: optionsOf(command),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const words = tokens.filter(({ kind }) => kind !== "option");
  const end = words[command.optionsEndAfter];
  const isMarked = words.slice(0, command.optionsEndAfter + 1).some(({ kind }) => kind === "option-terminator");
  return end === undefined || isMarked ? argv : args.toSpliced(end.index, 0, "--");
}

/** A number below zero is a value, not a flag: the command says what is wrong with it. */
function withNegativeValues(command: Command, argv: readonly string[]): string[] {
  const end = argv.includes("--") ? argv.indexOf("--") : argv.length;
  const isValue = (index: number) => {
    const name = /^--([^=]+)$/.exec(argv[index - 1] ?? "")?.[1] ?? "";
    return index < end && /^-\d/.test(argv[index] ?? "") && command.flags[name]?.type === "string";
  };
  return argv.flatMap((word, index) => {
    if (isValue(index)) return [];
    return [isValue(index + 1) ? `${word}=${argv[index + 1]}` : word];
  });
}

function optionsOf(command: Command): Record<string, ReturnType<typeof optionOf>> {
  return Object.fromEntries(Object.entries(command.flags).map(([name, flag]) => [name, optionOf(flag)]));
}

function parse(command: Command, argv: readonly string[]): Arguments {
  const options = optionsOf(command);
  const args = withNegativeValues(command, argv);
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args, options, allowPositionals: true, strict: true, allowNegative: true });
  } catch (error) {
    throw new UserError(
      `${(error as Error).message.replace(/\. To specify a positional.*$/, "")}. See 'nodeless ${command.name} --help'.`,
      { exitCode: 2 },
    );
  }
  const { positionals } = parsed;
  const [min, max] = [command.minPositionals ?? 0, command.maxPositionals ?? Number.POSITIVE_INFINITY];
  if (positionals.length < min)
    throw new UserError(`wants ${command.usage}. See 'nodeless ${command.name} --help'.`, { exitCode: 2 });
  if (positionals.length > max)
    throw new UserError(`takes no argument "${positionals[max]}". See 'nodeless ${command.name} --help'.`, {
      exitCode: 2,
    });
  return { positionals, flags: parsed.values as Arguments["flags"] };
}

function optionOf(
  flag: Flag,
): NonNullable<Parameters<typeof parseArgs>[0]>["options"] extends infer O
  ? NonNullable<O>[keyof NonNullable<O>]
  : never {
  return {
    type: flag.type,
    ...(flag.short === undefined ? {} : { short: flag.short }),
    ...(flag.default === undefined ? {} : { default: flag.default }),
    ...(flag.multiple === undefined ? {} : { multiple: flag.multiple }),
  };
}

function overview(commands: readonly Command[]): string {
  return [
    "nodeless: serverless Kubernetes in one command",
    "",
    "Usage: nodeless COMMAND [flags]",
    "",
    ...summaries(commands),
    "",
    "See 'nodeless COMMAND --help' for a command's flags.",
  ].join("\n");
}

function helpOfGroup(word: string, group: readonly Command[]): string {
  return [
    `Usage: nodeless ${word} COMMAND`,
    "",
    ...summaries(group),
    "",
    `See 'nodeless ${word} COMMAND --help' for a command's flags.`,
  ].join("\n");
}

function summaries(commands: readonly Command[]): string[] {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2;
  return commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`);
}

function helpOf(command: Command): string {
  const flags = Object.entries(command.flags).map(([name, flag]) => {
    const left = `${flag.short === undefined ? "    " : `-${flag.short}, `}--${name}${flag.value === undefined ? "" : ` ${flag.value}`}`;
    return { left, right: `${flag.help}${flag.default === undefined ? "" : ` (default "${flag.default}")`}` };
  });
  const width = Math.max(0, ...flags.map(({ left }) => left.length)) + 2;
  const lines = flags.map(({ left, right }) => `  ${left.padEnd(width)}${right}`);
  const usage = ["Usage: nodeless", command.name, flags.length > 0 ? "[flags]" : "", command.usage]
    .filter(Boolean)
    .join(" ");
  const examples = (command.examples ?? []).map((example) => `  nodeless ${example}`);
  return [
    `${command.summary}.`,
    ...(command.details === undefined ? [] : ["", ...command.details]),
    "",
    usage,
    ...(lines.length > 0 ? ["", "Flags:", ...lines] : []),
    ...(examples.length > 0 ? ["", "Examples:", ...examples] : []),
  ].join("\n");
}

/** The command that is the fewest letters away, if that is few. */
function nearest(commands: readonly Command[], word: string): string | undefined {
  const [best] = commands
    .map(({ name }) => ({ name, distance: distance(name, word) }))
    .sort((a, b) => a.distance - b.distance);
  return best && best.distance <= Math.max(1, Math.floor(word.length / 3)) ? best.name : undefined;
}

/** How many letters must be changed, put in or left out to make one word of the other (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (const [i, letter] of one.split("").entries()) {
    const next = [i + 1];
    for (const [j, against] of other.split("").entries()) {
      const changed = (row[j] ?? 0) + (letter === against ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}

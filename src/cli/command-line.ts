/**
 * From argv to a command: finds it in the table, parses its flags, runs it, turns errors into messages and exit codes. Help comes from the same table.
 * Exit codes: 0 done, 1 failed, 2 wrong usage; `exec` passes on the command's own.
 */
import { parseArgs } from "node:util";
import { type Arguments, type Command, type CommandContext, type Flag, UserError } from "./command.ts";

/** Runs one command line (without node and script). Gives the exit code. */
export async function runCommandLine(
  commands: readonly Command[],
  argv: readonly string[],
  context: CommandContext,
): Promise<number> {
  const { terminal } = context;
  if (argv.length === 0 || (argv.length === 1 && /^(-h|--help|help)$/.test(argv[0] ?? ""))) {
    terminal.print(overview(commands));
    return 0;
  }
  const command = findCommand(commands, argv);
  if (!command) {
    terminal.warn(
      `nodeless: unknown command "${argv[0]}"${suggestion(commands, argv[0] ?? "")}. See 'nodeless --help'.`,
    );
    return 2;
  }
  const rest = argv.slice(command.name.split(" ").length);
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
  // A StatusError is an answer of the API server, so its message is for people too. `syscall` is what Node's errors of the system have.
  const isClear = error instanceof UserError || ("kind" in error && error.kind === "StatusError") || "syscall" in error;
  return isClear ? error.message : `${error.message}. That is a bug of nodeless; NODELESS_LOG=debug shows where it is`;
}

function wantsHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}

function findCommand(commands: readonly Command[], argv: readonly string[]): Command | undefined {
  const byTwo = commands.find(({ name }) => name === `${argv[0]} ${argv[1]}`);
  return byTwo ?? commands.find(({ name }) => name === argv[0]);
}

function parse(command: Command, argv: readonly string[]): Arguments {
  const options = Object.fromEntries(Object.entries(command.flags).map(([name, flag]) => [name, optionOf(flag)]));
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true, allowNegative: true });
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
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2;
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`);
  return [
    "nodeless: serverless Kubernetes in one command",
    "",
    "Usage: nodeless COMMAND [flags]",
    "",
    ...lines,
    "",
    "See 'nodeless COMMAND --help' for a command's flags.",
  ].join("\n");
}

function helpOf(command: Command): string {
  const flags = Object.entries(command.flags).map(([name, flag]) => {
    const left = `${flag.short === undefined ? "    " : `-${flag.short}, `}--${name}${flag.value === undefined ? "" : ` ${flag.value}`}`;
    return { left, right: `${flag.help}${flag.default === undefined ? "" : ` (default ${flag.default})`}` };
  });
  const width = Math.max(0, ...flags.map(({ left }) => left.length)) + 2;
  const lines = flags.map(({ left, right }) => `  ${left.padEnd(width)}${right}`);
  const usage = ["Usage: nodeless", command.name, command.usage, flags.length > 0 ? "[flags]" : ""]
    .filter(Boolean)
    .join(" ");
  return [`${command.summary}.`, "", usage, ...(lines.length > 0 ? ["", ...lines] : [])].join("\n");
}

function suggestion(commands: readonly Command[], word: string): string {
  const close = commands.find(({ name }) => name.startsWith(word.slice(0, 3)) && word.length >= 3);
  return close === undefined ? "" : `; did you mean "${close.name}"?`;
}

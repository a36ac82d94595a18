/**
 * `nodeless fn`: functions from their first line to their last request. Commands with more to them are in `fn/`.
 */
import { functions } from "#api/nodeless/function.ts";
import type { Command } from "#cli/command.ts";
import { describeFunction } from "#cli/functions/describe-function.ts";
import { namespaceOf } from "./cluster-and-namespace.ts";
import { deployFunction } from "./fn/deploy.ts";
import { developFunction } from "./fn/dev.ts";
import { invokeFunction } from "./fn/invoke.ts";
import { functionLogs } from "./fn/logs.ts";
import { newFunction } from "./fn/new.ts";
import { functionPlace, whereFunctionsAre, withFunctions } from "./fn/where-functions-are.ts";
import { deleteCommand, listCommand } from "./kind-commands.ts";

const words = { word: "fn", kind: "Function", resource: functions, place: functionPlace };

/** The command, where there may be no functions. */
function onFunctions(command: Command): Command {
  return { ...command, run: (args, context) => whereFunctionsAre(args, context, () => command.run(args, context)) };
}

const describe: Command = {
  name: "fn describe",
  usage: "NAME",
  summary: "Show a function with its conditions, revisions and traffic",
  minPositionals: 1,
  maxPositionals: 1,
  flags: functionPlace,
  run: (args, context) =>
    withFunctions(args, context, async (client) => {
      const [name = ""] = args.positionals;
      const lines = await describeFunction(client, namespaceOf(args), name);
      for (const line of lines) context.terminal.print(line);
      return 0;
    }),
};

/** All of them. */
export const functionCommands: readonly Command[] = [
  newFunction,
  developFunction,
  deployFunction,
  onFunctions(listCommand(words, "List functions")),
  invokeFunction,
  functionLogs,
  describe,
  onFunctions(deleteCommand(words, "Delete functions with all that belongs to them")),
];

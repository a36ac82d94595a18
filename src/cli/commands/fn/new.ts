/**
 * `nodeless fn new`: the first lines of a function.
 */
import { resolve } from "node:path";
import type { FunctionRuntime } from "#api/nodeless/function-runtime.ts";
import { type Command, textFlag, UserError } from "#cli/command.ts";
import { checkName } from "#cli/functions/function-spec.ts";

const runtimes: readonly string[] = ["isolate", "node", "python", "container"];

export const newFunction: Command = {
  name: "fn new",
  usage: "NAME",
  summary: "Write a new function's files into a folder of its name",
  examples: ["fn new hello", "fn new report --runtime python", "fn new thumbs --event"],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    runtime: { type: "string", value: "RUNTIME", default: "isolate", help: "isolate, node, python or container" },
    event: { type: "boolean", help: "A handler for events (CloudEvents), which answers with another" },
  },
  async run(args, { terminal, machine }) {
    const [name = ""] = args.positionals;
    checkName(name);
    const isForEvents = args.flags["event"] === true;
    const runtime = textFlag(args, "runtime") ?? "";
    if (!runtimes.includes(runtime))
      throw new UserError(`--runtime may be ${runtimes.join(", ")}, not "${runtime}"`, { exitCode: 2 });
    if (isForEvents && runtime === "container")
      throw new UserError("--event is for runtimes that have a handler: isolate, node, python", { exitCode: 2 });
    const wanted = { name, runtime: runtime as FunctionRuntime, isForEvents };
    const files = machine.functions.writeTemplate(resolve(name), wanted);
    for (const file of files) terminal.print(`Wrote ${name}/${file}`);
    if (runtime === "isolate") terminal.print(`Next: nodeless fn dev --source ${name}`);
    const on = isForEvents ? ` --on "type = ${name}.wanted"` : "";
    terminal.print(`${runtime === "isolate" ? "Then" : "Next"}: nodeless fn deploy ${name} --source ${name}${on}`);
    return 0;
  },
};

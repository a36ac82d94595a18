/**
 * The `nodeless` command: joins the command table with this machine.
 */
import { runCommandLine } from "#cli/command-line.ts";
import { clusterCommands } from "#cli/commands/clusters.ts";
import { eventCommands } from "#cli/commands/events.ts";
import { functionCommands } from "#cli/commands/functions.ts";
import { repositoryCommands } from "#cli/commands/repositories.ts";
import { machineCommands } from "#cli/commands/images.ts";
import { objectCommands } from "#cli/commands/objects.ts";
import { podCommands } from "#cli/commands/pods.ts";
import { processTerminal } from "#cli/terminal.ts";
import { defaultDataRoot, defaultRunRoot } from "./machine/cluster-record.ts";
import { localMachine } from "./machine/local-machine.ts";
import { searchPath } from "./machine/node-plan.ts";

const isRoot = process.getuid?.() === 0;
const environment = process.env;
// `su` without a dash leaves out where nft and ip are. What is started from here has them too.
environment["PATH"] = [environment["PATH"], searchPath].filter(Boolean).join(":");
const dataRoot = defaultDataRoot(environment, isRoot);
const runRoot = defaultRunRoot(environment, dataRoot, isRoot);

// Whoever reads our output may stop reading: `nodeless list | head -1`. What changes something is brought to its end.
const isShowing = /^(get|logs|list|status|doctor|exec|image|fn|event|repo|help|version|-.*)$/.test(
  process.argv[2] ?? "help",
);
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    if (isShowing) process.exit(0);
  });
}

const isDebugging = environment["NODELESS_LOG"] === "debug";
// Otherwise Node would show the line of code as well, and here that is a line of a bundle.
process.on("uncaughtException", (error: unknown) => {
  const told = error instanceof Error ? error : new Error(String(error));
  const advice = "That is a bug of nodeless; NODELESS_LOG=debug shows where it is";
  process.stderr.write(`nodeless: ${isDebugging ? (told.stack ?? told.message) : `${told.message}. ${advice}`}\n`);
  process.exit(1);
});

const machine = localMachine({ dataRoot, runRoot, isRoot, environment });
const context = { terminal: processTerminal(process), machine, isDebugging };
process.exitCode = await runCommandLine(
  [
    ...clusterCommands,
    ...objectCommands,
    ...podCommands,
    ...functionCommands,
    ...eventCommands,
    ...repositoryCommands,
    ...machineCommands,
  ],
  process.argv.slice(2),
  context,
);

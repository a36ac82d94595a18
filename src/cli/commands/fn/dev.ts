/**
 * `nodeless fn dev`: a function while it is written.
 */
import { type Command, numberFlag, textFlag, UserError } from "#cli/command.ts";
import {
  environmentFlag,
  readFunctionFile,
  runtimeOf,
  sourceFlags,
  sourceFolder,
  specFlags,
} from "#cli/functions/function-spec.ts";

export const developFunction: Command = {
  name: "fn dev",
  usage: "",
  summary: "Run a folder's function on this machine, anew after each change",
  details: ["In the engine that isolates run in. Needs no cluster."],
  maxPositionals: 0,
  flags: {
    source: sourceFlags["source"]!,
    entrypoint: specFlags["entrypoint"]!,
    env: specFlags["env"]!,
    port: { type: "string", value: "PORT", default: "8787", help: "Where it listens, on loopback" },
  },
  async run(args, { terminal, machine }) {
    const folder = sourceFolder(args);
    const { spec = {} } = readFunctionFile(folder);
    const runtime = spec.runtime ?? runtimeOf(folder);
    if (runtime !== "isolate" && runtime !== "node")
      throw new UserError(
        `${folder} is a function of the runtime ${runtime}, and fn dev runs JavaScript and TypeScript in the engine of isolates only: 'nodeless fn deploy' runs it in a cluster`,
        { exitCode: 2 },
      );
    const fromFile = (spec.env ?? []).flatMap(({ name, value }) =>
      value === undefined ? [] : [[name, value] as const],
    );
    await machine.functions.develop(
      {
        folder,
        entrypoint: textFlag(args, "entrypoint") ?? spec.entrypoint,
        port: numberFlag(args, "port", { min: 1, max: 65_535 }) ?? 8787,
        env: { ...Object.fromEntries(fromFile), ...environmentFlag(args) },
        timeoutSeconds: spec.timeoutSeconds,
      },
      terminal,
    );
    return 0;
  },
};

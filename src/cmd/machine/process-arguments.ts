/**
 * Which cluster a process belongs to: whoever starts it says so on its command line.
 */
import { parseArgs } from "node:util";
import { type Cluster, getCluster, type MachineContext } from "./clusters.ts";

/** What the command line of a cluster's process says. */
export type ProcessArguments = {
  readonly context: MachineContext;
  readonly cluster: Cluster;
  /** Of a node's process: which node. */
  readonly index: number;
};

/** Throws for a cluster that is not there. */
export function processArguments({ argv, env, getuid }: NodeJS.Process): ProcessArguments {
  const { values } = parseArgs({
    args: argv.slice(2),
    options: {
      name: { type: "string", default: "default" },
      index: { type: "string", default: "0" },
      "data-root": { type: "string", default: "" },
      "run-root": { type: "string", default: "" },
    },
  });
  const context: MachineContext = {
    dataRoot: values["data-root"],
    runRoot: values["run-root"],
    isRoot: getuid?.() === 0,
    environment: env,
  };
  return { context, cluster: getCluster(context, values.name), index: Number(values.index) };
}

/**
 * Commands on clusters as a whole: up, down, status, list, reset, delete.
 */
import { type Arguments, type Command, type CommandContext, numberFlag, textFlag, UserError } from "#cli/command.ts";
import { columns } from "#cli/columns.ts";
import type { ClusterStatus, UpOptions } from "#cli/machine.ts";
import { clusterOf, nameFlag } from "./cluster-and-namespace.ts";

const up: Command = {
  name: "up",
  usage: "",
  summary: "Start a cluster, making it when it is new",
  details: [
    "It runs in the background until 'nodeless down', and its context is put into the kubeconfig. Settings are kept:",
    "the next 'up' needs no flags. A cluster that runs already is left alone.",
  ],
  examples: ["up", "up --name test --nodes 3", "up --boot"],
  maxPositionals: 0,
  flags: {
    name: nameFlag,
    nodes: {
      type: "string",
      value: "N",
      help: "How many nodes it has; a new one has 1, one that was taken down may come back with more or fewer",
    },
    "data-dir": {
      type: "string",
      value: "FOLDER",
      help: "Where a new one keeps its data; one that is there stays where it is",
    },
    kubeconfig: {
      type: "string",
      value: "FILE",
      help: "Which kubeconfig gets the context; by default the one that kubectl writes to. May be changed while it runs",
    },
    "api-port": {
      type: "string",
      value: "PORT",
      help: "Port of the API server; by default 6443. One that is taken is replaced by the next free one",
    },
    timeout: {
      type: "string",
      value: "SECONDS",
      default: "300",
      help: "How long to wait until it is ready. One that is late goes on starting",
    },
    foreground: { type: "boolean", help: "Stay until Ctrl-C, then stop the cluster" },
    boot: { type: "boolean", help: "Also bring it up when the machine boots (systemd)" },
    expose: { type: "boolean", help: "Listen on all addresses of this machine; --no-expose takes it back" },
    serving: {
      type: "boolean",
      help: "Knative Serving and Functions; --no-serving leaves them out. There by default where there is root",
    },
    eventing: {
      type: "boolean",
      help: "Knative Eventing; --no-eventing leaves it out. There by default where there is root",
    },
  },
  async run(args, { terminal, machine }) {
    const startedMs = performance.now();
    const options = upOptions(args);
    const { status, alreadyRunning, notes } = await machine.up(options, terminal);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    terminal.print(
      alreadyRunning
        ? `Cluster "${status.name}" runs already.`
        : `Cluster "${status.name}" is ready after ${seconds} s.`,
    );
    for (const line of notes) {
      if (line.startsWith("Warning: ")) terminal.warn(line);
      else terminal.print(line);
    }
    for (const line of summaryOf(status)) terminal.print(line);
    if (!options.foreground) return 0;
    await machine.stayUntilStopped(options.name, terminal);
    terminal.print(`Cluster "${status.name}" is down.`);
    return 0;
  },
};

function upOptions(args: Arguments): UpOptions {
  const [nodes, apiPort, timeoutSeconds] = [
    numberFlag(args, "nodes", { min: 1, max: 126 }),
    numberFlag(args, "api-port", { min: 1, max: 65_535 }),
    numberFlag(args, "timeout", { min: 1, max: 86_400 }),
  ];
  const [dataFolder, kubeconfig] = [textFlag(args, "data-dir"), textFlag(args, "kubeconfig")];
  return {
    name: clusterOf(args),
    ...(dataFolder === undefined ? {} : { dataFolder }),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(nodes === undefined ? {} : { nodes }),
    ...(apiPort === undefined ? {} : { apiPort }),
    timeoutSeconds: timeoutSeconds ?? 300,
    foreground: args.flags["foreground"] === true,
    boot: args.flags["boot"] === true,
    ...(typeof args.flags["expose"] === "boolean" ? { expose: args.flags["expose"] } : {}),
    ...(typeof args.flags["serving"] === "boolean" ? { serving: args.flags["serving"] } : {}),
    ...(typeof args.flags["eventing"] === "boolean" ? { eventing: args.flags["eventing"] } : {}),
  };
}

function summaryOf(status: ClusterStatus): string[] {
  const nodes = status.processes.filter(({ role }) => role === "node").map(({ name }) => name);
  const count =
    nodes.length === 0 ? "no node" : `${nodes.length} node${nodes.length === 1 ? "" : "s"}: ${nodes.join(", ")}`;
  const ports = nodes.length === 0 ? "" : `; node ports answer at ${status.addresses.nodePorts}`;
  return [
    `  Kubernetes ${status.kubernetesVersion} at ${status.apiServer}, ${count}`,
    `  Context "${status.context}" is in ${status.kubeconfig}${ports}`,
    `Next: kubectl --context ${status.context} get ${nodes.length === 0 ? "namespaces" : "nodes"}`,
  ];
}

const down: Command = {
  name: "down",
  usage: "",
  summary: "Stop a cluster; its objects and data stay",
  details: ["Containers get 10 s to end, those that do not listen to the signal none."],
  maxPositionals: 0,
  flags: { name: nameFlag },
  async run(args, { terminal, machine }) {
    const name = clusterOf(args);
    const up = name === "default" ? "nodeless up" : `nodeless up --name ${name}`;
    const outcomes = {
      stopped: `Cluster "${name}" is down. '${up}' brings it back.`,
      idle: `Cluster "${name}" was not running.`,
      deleted: `Cluster "${name}" was deleted meanwhile by another command.`,
    } as const;
    terminal.print(outcomes[await machine.down(name, terminal)]);
    return 0;
  },
};

const status: Command = {
  name: "status",
  usage: "",
  summary: "Say how a cluster is",
  details: ["Ends with 0 when it runs, 3 when it does not."],
  maxPositionals: 0,
  flags: {
    name: nameFlag,
    output: { type: "string", short: "o", value: "FORMAT", help: "json: also ports, addresses and versions" },
  },
  async run(args, { terminal, machine }) {
    const found = await machine.status(clusterOf(args));
    if (wantsJson(args)) terminal.print(JSON.stringify(found, null, 2));
    else for (const line of describe(found)) terminal.print(line);
    return found.isRunning ? 0 : 3;
  },
};

function wantsJson(args: Arguments): boolean {
  const output = textFlag(args, "output");
  if (output !== undefined && output !== "json")
    throw new UserError(`-o may be json, not "${output}"`, { exitCode: 2 });
  return output === "json";
}

function describe(found: ClusterStatus): string[] {
  const processes = found.processes.map(({ role, name, pid, isReady, isSilent }) => {
    const absent = isSilent ? "does not answer; 'nodeless down' ends it" : "not running";
    const how = pid === undefined ? absent : `${isReady ? "ready" : "starting"}, pid ${pid}`;
    const title = { node: `node ${name}`, "control-plane": "control plane", eventing: "eventing" }[role];
    return `  ${title.padEnd(22)}${how}`;
  });
  return [
    `Cluster "${found.name}" is ${stateOf(found)} (nodeless ${found.version}, Kubernetes ${found.kubernetesVersion})`,
    ...processes,
    `  ${"API server".padEnd(22)}${found.apiServer}`,
    ...(found.registry === undefined ? [] : [`  ${"image registry".padEnd(22)}http://${found.registry}`]),
    ...requestPlaces(found),
    ...(found.hasServing ? [] : [`  ${"functions".padEnd(22)}off: 'nodeless up --serving' adds them`]),
    `  ${"context".padEnd(22)}${found.context} in ${found.kubeconfig}`,
    `  ${"data".padEnd(22)}${found.dataFolder}`,
  ];
}

/** Where Ingresses and Knative Services answer. */
function requestPlaces({ processes }: ClusterStatus): string[] {
  const places = processes.flatMap(({ listening = [] }) => listening);
  const urls = places.flatMap(({ address, httpPort, httpsPort }) => [
    ...(httpPort === undefined ? [] : [`http://${address}${httpPort === 80 ? "" : `:${httpPort}`}`]),
    ...(httpsPort === undefined ? [] : [`https://${address}${httpsPort === 443 ? "" : `:${httpsPort}`}`]),
  ]);
  return urls.map((url, index) => `  ${(index === 0 ? "requests" : "").padEnd(22)}${url}`);
}

function stateOf(found: ClusterStatus): string {
  if (found.isReady) return "ready";
  return found.isRunning ? "starting" : "stopped";
}

const list: Command = {
  name: "list",
  usage: "",
  summary: "List the clusters of this machine",
  maxPositionals: 0,
  flags: { output: { type: "string", short: "o", value: "FORMAT", help: "json: also ports, addresses and versions" } },
  async run(args, { terminal, machine }) {
    const clusters = await machine.list();
    if (wantsJson(args)) {
      terminal.print(JSON.stringify(clusters, null, 2));
      return 0;
    }
    if (clusters.length === 0) {
      terminal.print("No clusters. 'nodeless up' makes one.");
      return 0;
    }
    const rows = clusters.map((found) =>
      "trouble" in found
        ? [found.name, "broken", "", "", ""]
        : [
            found.name,
            stateOf(found),
            String(found.processes.filter(({ role }) => role === "node").length),
            found.apiServer,
            found.context,
          ],
    );
    for (const line of columns([["NAME", "STATUS", "NODES", "API SERVER", "CONTEXT"], ...rows])) terminal.print(line);
    const broken = clusters.filter((found) => "trouble" in found);
    for (const { trouble } of broken) terminal.warn(`nodeless list: ${trouble}`);
    return broken.length === 0 ? 0 : 1;
  },
};

const reset: Command = {
  name: "reset",
  usage: "",
  summary: "Empty a cluster: all objects and containers go, its settings stay",
  details: [
    "It comes back with the same addresses, certificates and context, if it ran before. On a terminal it asks first.",
  ],
  maxPositionals: 0,
  flags: {
    name: nameFlag,
    yes: { type: "boolean", short: "y", help: "Do it without asking, as where there is no terminal" },
  },
  async run(args, context) {
    const { terminal, machine } = context;
    const name = clusterOf(args);
    if (!(await isMeant(`Remove all objects and their data from cluster "${name}"?`, args, context))) return 1;
    await machine.reset(name, terminal);
    terminal.print(`Cluster "${name}" is empty.`);
    return 0;
  },
};

/** Removes a whole cluster. Joined with the deletion of objects in `objects.ts`. */
export async function deleteCluster(args: Arguments, context: CommandContext): Promise<number> {
  const { terminal, machine } = context;
  const name = clusterOf(args);
  if (!(await isMeant(`Delete the whole cluster "${name}" with all its objects and data?`, args, context))) return 1;
  await machine.delete(name, terminal);
  terminal.print(`Cluster "${name}" is deleted.`);
  return 0;
}

/** Asks before data goes, if somebody is there to answer. Throws UserError when there is no such cluster. */
async function isMeant(question: string, args: Arguments, { terminal, machine }: CommandContext): Promise<boolean> {
  const hasData = machine.hasData(clusterOf(args));
  if (args.flags["yes"] === true || !hasData) return true;
  const answer = await terminal.confirm(question);
  if (answer === false) terminal.warn("Nothing was done.");
  return answer !== false;
}

/** All commands of this file. */
export const clusterCommands: readonly Command[] = [up, down, status, list, reset];

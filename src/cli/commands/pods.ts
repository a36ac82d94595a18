/**
 * Commands on a pod's containers: logs and exec. A pod may be meant by what it belongs to: deploy/web.
 */
import {
  compileLabelSelector,
  formatSelector,
  type LabelSelector,
  selectorFromLabels,
} from "#apimachinery/label-selector.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { pathOf } from "#client/resource-path.ts";
import { createClient } from "#client/rest-client.ts";
import type { Transport } from "#client/transport.ts";
import { type Arguments, type Command, type CommandContext, textFlag, UserError } from "#cli/command.ts";
import { findObjects } from "#cli/object-words.ts";
import { clusterOf, nameFlag, namespaceFlag, namespaceOf } from "./cluster-and-namespace.ts";
import { withTransport } from "./with-transport.ts";

const pods = { group: "", version: "v1", resource: "pods" } as const;
const containerFlag = {
  type: "string",
  short: "c",
  value: "NAME",
  help: "Which container, where there are several",
} as const;

const logs: Command = {
  name: "logs",
  usage: "POD | RESOURCE/NAME",
  summary: "Print the log of a pod's container",
  examples: ["logs web --tail 20", "logs -f deploy/web"],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    name: nameFlag,
    namespace: namespaceFlag(),
    container: containerFlag,
    follow: { type: "boolean", short: "f", help: "Go on as the log grows" },
    previous: { type: "boolean", short: "p", help: "Of the container's run before this one" },
    tail: { type: "string", value: "N", help: "Only the last N lines" },
  },
  run: async (args, context) => {
    const { machine, terminal } = context;
    const name = await podNameOf(args.positionals[0] ?? "", args, context);
    const query = new URLSearchParams();
    for (const [flag, parameter] of [
      ["container", "container"],
      ["tail", "tailLines"],
    ] as const) {
      const value = textFlag(args, flag);
      if (value !== undefined) query.set(parameter, value);
    }
    for (const flag of ["follow", "previous"] as const) if (args.flags[flag] === true) query.set(flag, "true");
    const path = pathOf({ resource: pods, namespace: namespaceOf(args), name, subresource: "log" });
    for await (const chunk of await machine.readStream(clusterOf(args), `${path}?${query}`))
      await terminal.write(chunk);
    return 0;
  },
};

const exec: Command = {
  name: "exec",
  usage: "POD|RESOURCE/NAME -- COMMAND…",
  summary: "Run a command in a pod's container",
  details: [
    "Ends with the command's own exit code. From its first word on everything is the command's, with or without --.",
  ],
  examples: ["exec -it web -- sh", "exec deploy/web -- ls /"],
  optionsEndAfter: 1,
  minPositionals: 2,
  flags: {
    name: nameFlag,
    namespace: namespaceFlag(),
    container: containerFlag,
    stdin: { type: "boolean", short: "i", help: "Pass standard input on" },
    tty: { type: "boolean", short: "t", help: "With a terminal" },
  },
  run: async (args, context) => {
    const [word = "", ...command] = args.positionals;
    const container = textFlag(args, "container");
    return await context.machine.exec(clusterOf(args), {
      namespace: namespaceOf(args),
      pod: await podNameOf(word, args, context),
      ...(container === undefined ? {} : { container }),
      command,
      stdin: args.flags["stdin"] === true,
      tty: args.flags["tty"] === true,
    });
  },
};

/** The pod of this name, or for TYPE/NAME one that belongs to it, best one that runs. Throws UserError when there is none. */
async function podNameOf(word: string, args: Arguments, context: CommandContext): Promise<string> {
  if (!word.includes("/")) return word;
  return await withTransport(args, context, async (transport) => {
    const [choice] = await findObjects(transport, [word]);
    const name = choice?.names[0] ?? "";
    if (choice === undefined || choice.resource.resource === "pods") return name;
    const namespace = namespaceOf(args);
    const object = await createClient(transport).get<KubeObject>({ resource: choice.resource, namespace, name });
    const found = await podsOf(transport, namespace, selectorOf(object, word));
    const [first] = found.filter(isRunning).concat(found);
    if (first === undefined) throw new UserError(`${word} has no pods`);
    if (found.length > 1) context.terminal.warn(`Found ${found.length} pods, using pod/${first.metadata?.name}`);
    return first.metadata?.name ?? "";
  });
}

type PodLike = KubeObject & { readonly status?: { readonly phase?: string } };

const isRunning = ({ status }: PodLike): boolean => status?.phase === "Running";

async function podsOf(transport: Transport, namespace: string, labelSelector: string): Promise<readonly PodLike[]> {
  const path = pathOf({ resource: pods, namespace });
  const { body } = await transport.request({ method: "GET", path, query: { labelSelector } });
  return (body as { readonly items?: readonly PodLike[] }).items ?? [];
}

/** Which pods are an object's: Services and ReplicationControllers have plain labels. Throws UserError for what has none. */
function selectorOf(object: KubeObject, word: string): string {
  const { selector } = (object as { readonly spec?: { readonly selector?: object } }).spec ?? {};
  if (selector === undefined) throw new UserError(`${word} has no selector of pods: name a pod`);
  const isPlain = !("matchLabels" in selector) && !("matchExpressions" in selector);
  return formatSelector(
    isPlain ? selectorFromLabels(selector as Record<string, string>) : compileLabelSelector(selector as LabelSelector),
  );
}

/** All commands of this file. */
export const podCommands: readonly Command[] = [logs, exec];

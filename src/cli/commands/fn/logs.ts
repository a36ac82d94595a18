/**
 * `nodeless fn logs`: what a function says, and what its build said.
 */
import { type FunctionObject, functions } from "#api/nodeless/function.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { type Command, type CommandContext, textFlag, UserError } from "#cli/command.ts";
import { clusterOf, namespaceOf } from "#cli/commands/cluster-and-namespace.ts";
import { type LogOptions, printEndedLogs, printFunctionLogs } from "#cli/functions/function-logs.ts";
import { troubleLines, troublesOf } from "#cli/functions/function-troubles.ts";
import { functionPlace, withFunctions } from "./where-functions-are.ts";

const revisionResource = { group: "serving.knative.dev", version: "v1", resource: "revisions" };

export const functionLogs: Command = {
  name: "fn logs",
  usage: "NAME",
  summary: "Print what a function says; each line begins with its request's identifier",
  details: ["First the last lines of instances that are gone, as far as their node has kept them; not with --follow."],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    ...functionPlace,
    follow: { type: "boolean", short: "f", help: "Go on, also with instances that come" },
    tail: { type: "string", value: "N", help: "Only the last N lines of each instance" },
    request: { type: "string", value: "ID", help: "Only lines of this request (its x-request-id)" },
    revision: { type: "string", value: "REVISION", help: "Only instances of this revision" },
    build: { type: "boolean", help: "What the newest build said" },
  },
  async run(args, context) {
    const [name = ""] = args.positionals;
    const { terminal, machine } = context;
    const namespace = namespaceOf(args);
    return await withFunctions(args, context, async (client) => {
      const fn = await client.get<FunctionObject>({ resource: functions, namespace, name });
      if (args.flags["build"] === true) return await printBuildLog(client, context, fn);
      const revisions = await client.list<KubeObject>(
        { resource: revisionResource, namespace },
        { labelSelector: `serving.knative.dev/service=${name}` },
      );
      const follow = args.flags["follow"] === true;
      const options: LogOptions = {
        client,
        machine,
        terminal,
        cluster: clusterOf(args),
        namespace,
        name,
        follow,
        tail: textFlag(args, "tail"),
        request: textFlag(args, "request"),
        revision: textFlag(args, "revision"),
      };
      if (!follow) await printEndedLogs(options, wantedRevisions(revisions.items, options.revision));
      const count = await printFunctionLogs(options);
      if (count === 0) terminal.warn(`Function ${name} has no instance now.`);
      for (const line of troubleLines(await troublesOf(client, namespace, revisions.items), Date.now()))
        terminal.warn(line);
      return 0;
    });
  },
};

/** In the order in which they were made. */
function wantedRevisions(all: readonly KubeObject[], only: string | undefined): readonly KubeObject[] {
  return all
    .filter(({ metadata }) => only === undefined || metadata?.name === only)
    .toSorted((a, b) => timeOf(a) - timeOf(b));
}

function timeOf({ metadata }: KubeObject): number {
  return Date.parse(metadata?.creationTimestamp ?? "");
}

async function printBuildLog(
  client: Client,
  { terminal }: CommandContext,
  { metadata, status }: FunctionObject,
): Promise<number> {
  const name = status?.buildLog?.configMapName;
  if (name === undefined) throw new UserError(`nothing was built for function ${metadata?.name}`);
  const ref = {
    resource: { group: "", version: "v1", resource: "configmaps" },
    namespace: metadata?.namespace ?? "",
    name,
  };
  const { data } = await client.get<KubeObject & { readonly data?: { readonly log?: string } }>(ref);
  terminal.print((data?.log ?? "").trimEnd());
  return 0;
}

/**
 * `nodeless fn deploy`: from a folder to an address.
 */
import { type FunctionObject, functions } from "#api/nodeless/function.ts";
import { findObject } from "#client/find-object.ts";
import { buildLogVersion } from "#client/nodeless/build-lines.ts";
import { tryAgain } from "#client/nodeless/try-again.ts";
import { type Command, type CommandContext, numberFlag } from "#cli/command.ts";
import { clusterOf, namespaceOf } from "#cli/commands/cluster-and-namespace.ts";
import { withClient } from "#cli/commands/with-transport.ts";
import { applyFunction, refuseTakenName } from "#cli/functions/apply-function.ts";
import { followDeploy, type FollowDeployOptions } from "#cli/functions/follow-deploy.ts";
import { sourceFlags, specFlags, wantedFunction } from "#cli/functions/function-spec.ts";
import { shareLine, trafficOf } from "#cli/functions/function-traffic.ts";
import { applyTriggers, checkTriggers, parseTriggers } from "#cli/functions/function-triggers.ts";
import { functionPlace } from "./where-functions-are.ts";

export const deployFunction: Command = {
  name: "fn deploy",
  usage: "[NAME]",
  summary: "Build a function and run it; ends with its address",
  details: [
    "The folder is packed without what .gitignore and .funcignore name, built in the cluster, and becomes a new revision when",
    "anything has changed. A function.yaml in it says what no flag says. Without a cluster that is up, one is started.",
    "",
    "With --on it also runs when something happens, and gets that as a CloudEvent. What an earlier deploy named and this one",
    "does not is taken away; without --on all stays as it is.",
  ],
  examples: [
    "fn deploy hello --source hello",
    "fn deploy api --git https://example.com/api.git --revision v1",
    'fn deploy report --on "cron: 0 3 * * *"',
    'fn deploy thumbs --on "object: uploads/*.png" --on "type = image.resize"',
  ],
  maxPositionals: 1,
  flags: {
    ...functionPlace,
    ...sourceFlags,
    ...specFlags,
    on: {
      type: "string",
      value: "WHAT",
      multiple: true,
      help: 'What it runs on: "cron: SCHEDULE", "type = ORDER.CREATED", "push: REPOSITORY", "object: BUCKET/PATTERN"; none: nothing any more',
    },
    timeout: {
      type: "string",
      value: "SECONDS",
      default: "360",
      help: "How long to wait until it is ready. One that is late goes on",
    },
  },
  async run(args, context) {
    const wanted = wantedFunction(args);
    const triggers = parseTriggers(args.flags["on"] as readonly string[] | undefined);
    const [cluster, namespace] = [clusterOf(args), namespaceOf(args)];
    const timeoutSeconds = numberFlag(args, "timeout", { min: 1, max: 86_400 }) ?? 360;
    const { terminal, machine } = context;
    if (wanted.folder !== undefined) {
      const { runtime = "isolate", entrypoint } = wanted.spec;
      await machine.functions.checkSource(wanted.folder, { runtime, entrypoint });
    }
    await machine.functions.ensureFunctions(cluster, terminal);
    return await withClient(args, context, async (client) => {
      const apply = async (reference: string, dryRun: boolean): Promise<FunctionObject> =>
        await applyFunction(client, { ...wanted, namespace, reference, dryRun });
      // What is refused is refused before anything is packed.
      const tried = await apply("not-pushed-yet", true);
      await checkTriggers(client, tried, triggers ?? []);
      const { name, folder } = wanted;
      await refuseTakenName(client, namespace, name);
      const reference = folder === undefined ? "" : await push(context, cluster, { folder, namespace, name });
      const deployed = { client, terminal, namespace, name, timeoutSeconds };
      const fn = await writeAndFollow(deployed, () => apply(reference, false));
      terminal.print(` ✓ ${fn.status?.latestReadyRevisionName ?? "ready"}`);
      const share = shareLine(fn, await trafficOf(client, fn));
      if (share !== undefined) terminal.print(share);
      if (triggers !== undefined)
        for (const line of await applyTriggers(client, fn, triggers)) terminal.print(` ✓ On ${line}`);
      for (const line of await addressLines(context, cluster, fn)) terminal.print(line);
      return 0;
    });
  },
};

/** Gives the Function when it is ready; what is known of it before it is written is no news. */
async function writeAndFollow(
  deployed: Omit<FollowDeployOptions, "generation" | "logVersion" | "before">,
  write: () => Promise<FunctionObject>,
): Promise<FunctionObject> {
  const { client, namespace, name } = deployed;
  const logVersion = await buildLogVersion(client, namespace, name);
  const before = await findObject<FunctionObject>(client, { resource: functions, namespace, name });
  const written = await write();
  const isAgain = before !== undefined && (await tryAgain(client, before, written));
  const generation = written.metadata?.generation ?? 0;
  return await followDeploy({ ...deployed, generation, logVersion, before: isAgain ? before : undefined });
}

async function push(
  { machine, terminal }: CommandContext,
  cluster: string,
  source: { readonly folder: string; readonly namespace: string; readonly name: string },
): Promise<string> {
  const { reference, fileCount, sizeBytes } = await machine.functions.pushSource(cluster, source);
  terminal.print(` ✓ Packed ${fileCount} ${fileCount === 1 ? "file" : "files"}, ${(sizeBytes / 1000).toFixed(1)} kB`);
  return reference;
}

/** The URL; and how to ask it where its name does not lead to this cluster. */
async function addressLines(
  { machine }: CommandContext,
  cluster: string,
  { status }: FunctionObject,
): Promise<string[]> {
  const { url } = status ?? {};
  if (url === undefined) return [];
  const address = await machine.functions.requestAddress(cluster);
  if (address === undefined || address === "http://127.0.0.1") return [url];
  return [url, `(from here: curl -H 'Host: ${new URL(url).host}' ${address}/)`];
}

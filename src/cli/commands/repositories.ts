/**
 * `nodeless repo`: repositories to push to. What a push deploys is said in the push itself; all else is `nodeless get repo`.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { findObject } from "#client/find-object.ts";
import { followObject } from "#client/follow-object.ts";
import { type Command, numberFlag, textFlag, UserError } from "#cli/command.ts";
import { clusterOf, nameFlag, namespaceFlag, namespaceOf } from "./cluster-and-namespace.ts";
import { deleteCommand, listCommand } from "./kind-commands.ts";
import { withClient } from "./with-transport.ts";

const repositories = { group: "nodeless.dev", version: "v1alpha1", resource: "repositories" };
const fieldManager = "nodeless-repo";
const lookAgainMs = 100;
const place = { name: nameFlag, namespace: namespaceFlag("Namespace of the repository") };
const words = { word: "repo", kind: "Repository", resource: repositories, place };

type LogMap = KubeObject & { readonly data?: { readonly log?: string } };

type Repository = KubeObject & {
  readonly spec?: object;
  readonly status?: {
    readonly url?: string;
    readonly lastPush?: {
      readonly branch?: string;
      readonly commit?: string;
      readonly outcome?: string;
      readonly message?: string;
    };
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
};

const create: Command = {
  name: "repo create",
  usage: "NAME",
  summary: "Make a repository whose pushes are deployments; ends with its address",
  details: [
    "A push deploys what the branch holds: functions, a Dockerfile, manifests or a kustomization. Other branches become",
    "previews. Without a cluster that is up, one is started.",
  ],
  examples: ["repo create site", "repo create shop --branch trunk --path deploy"],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    ...place,
    branch: { type: "string", value: "BRANCH", help: "The branch that is live; main unless said otherwise" },
    path: { type: "string", value: "FOLDER", help: "The folder of the tree that is deployed" },
    timeout: { type: "string", value: "SECONDS", default: "60", help: "How long to wait for its address" },
  },
  async run(args, context) {
    const [name = ""] = args.positionals;
    const { terminal, machine } = context;
    const namespace = namespaceOf(args);
    await machine.functions.ensureFunctions(clusterOf(args), terminal);
    const [branch, path] = [textFlag(args, "branch"), textFlag(args, "path")];
    const spec = { ...(branch === undefined ? {} : { branch }), ...(path === undefined ? {} : { path }) };
    const timeoutMs = (numberFlag(args, "timeout", { min: 1, max: 3600 }) ?? 60) * 1000;
    return await withClient(args, context, async (client) => {
      const ref = { resource: repositories, namespace, name };
      const body = { apiVersion: "nodeless.dev/v1alpha1", kind: "Repository", metadata: { name, namespace }, spec };
      const signal = AbortSignal.timeout(timeoutMs);
      await whenServed(signal, () => client.patch(ref, { type: "apply", body }, { fieldManager, force: true, signal }));
      const options = { decide: addressOf, signal };
      const url = await followObject<Repository, string>(client, ref, options);
      terminal.print(url);
      terminal.print(`Next: git remote add nodeless ${url} && git push nodeless ${branch ?? "main"}`);
      return 0;
    });
  },
};

/** The kind comes a moment after Functions. */
async function whenServed(signal: AbortSignal, work: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (!hasReason(error, "NotFound") || !error.message.includes("the requested resource")) throw error;
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
      signal.throwIfAborted();
    }
  }
}

/** Throws UserError for one that cannot be served. */
function addressOf({ status }: Repository): string | undefined {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  if (ready?.status === "False") throw new UserError(ready.message ?? "the repository is not served");
  return ready?.status === "True" ? status?.url : undefined;
}

const log: Command = {
  name: "repo log",
  usage: "NAME",
  summary: "Print what the last push to a repository said",
  minPositionals: 1,
  maxPositionals: 1,
  flags: place,
  run: (args, context) =>
    withClient(args, context, async (client) => {
      const [name = ""] = args.positionals;
      const namespace = namespaceOf(args);
      const ref = { resource: { group: "", version: "v1", resource: "configmaps" }, namespace, name: `${name}-push` };
      const found = await findObject<LogMap>(client, ref);
      if (found === undefined) throw await nothingSaid(client, namespace, name);
      context.terminal.print((found.data?.log ?? "").trimEnd());
      return 0;
    }),
};

/** Why there are no lines: nothing was pushed, or what came of it was not heard to its end. */
async function nothingSaid(client: Client, namespace: string, name: string): Promise<UserError> {
  const { status } = await client.get<Repository>({ resource: repositories, namespace, name });
  const { commit = "", branch = "", outcome = "", message } = status?.lastPush ?? {};
  if (commit === "") return new UserError(`nothing was pushed to ${name} yet`);
  const what = `${commit.slice(0, 7)} of ${branch}: ${outcome}`;
  return new UserError(message === undefined ? what : `${what}: ${message}`);
}

/** All commands of this file. */
export const repositoryCommands: readonly Command[] = [
  create,
  listCommand(words, "List repositories and what came of their last pushes"),
  log,
  deleteCommand(words, "Delete repositories with all that they deployed into their namespace"),
];

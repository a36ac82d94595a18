/**
 * `nodeless fn`: functions from their first line to their last request.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type FunctionObject, functions } from "#api/nodeless/function.ts";
import type { FunctionRuntime } from "#api/nodeless/function-runtime.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { findObject } from "#client/find-object.ts";
import { buildLogVersion } from "#client/nodeless/build-lines.ts";
import { tryAgain } from "#client/nodeless/try-again.ts";
import { createClient } from "#client/rest-client.ts";
import { type Arguments, type Command, type CommandContext, numberFlag, textFlag, UserError } from "#cli/command.ts";
import { applyFunction } from "#cli/functions/apply-function.ts";
import { describeFunction } from "#cli/functions/describe-function.ts";
import { followDeploy } from "#cli/functions/follow-deploy.ts";
import { printFunctionLogs } from "#cli/functions/function-logs.ts";
import { addressOf, shareLine, trafficOf } from "#cli/functions/function-traffic.ts";
import { troubleLines, troublesOf } from "#cli/functions/function-troubles.ts";
import {
  checkName,
  environmentFlag,
  readFunctionFile,
  runtimeOf,
  sourceFolder,
  sourceFlags,
  specFlags,
  wantedFunction,
} from "#cli/functions/function-spec.ts";
import { applyTriggers, parseTriggers } from "#cli/functions/function-triggers.ts";
import { nameFlag } from "./clusters.ts";
import { namespaceFlag, showObjects, withTransport } from "./objects.ts";

/** The cluster: "name" is the function's. */
const clusterFlag = { ...nameFlag, help: "Name of the cluster" };
const revisionResource = { group: "serving.knative.dev", version: "v1", resource: "revisions" };
const common = { name: clusterFlag, namespace: { ...namespaceFlag, help: "Namespace of the function" } };
const runtimes: readonly string[] = ["isolate", "node", "python", "container"];
const newline = 0x0a;

const create: Command = {
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

const deploy: Command = {
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
    ...common,
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
    const cluster = textFlag(args, "name") ?? "default";
    const namespace = textFlag(args, "namespace") ?? "default";
    const { terminal, machine } = context;
    if (wanted.folder !== undefined) {
      const { runtime = "isolate", entrypoint } = wanted.spec;
      await machine.functions.checkSource(wanted.folder, { runtime, entrypoint });
    }
    await machine.functions.ensureFunctions(cluster, terminal);
    return await withTransport(args, context, async (transport) => {
      const client = createClient(transport);
      const apply = async (reference: string, dryRun: boolean): Promise<FunctionObject> =>
        await applyFunction(client, { ...wanted, namespace, reference, dryRun });
      // What is refused is refused before anything is packed.
      await apply("not-pushed-yet", true);
      const reference =
        wanted.folder === undefined
          ? ""
          : await push(context, cluster, { ...wanted, namespace, folder: wanted.folder });
      const logVersion = await buildLogVersion(client, namespace, wanted.name);
      const ref = { resource: functions, namespace, name: wanted.name };
      const before = await findObject<FunctionObject>(client, ref);
      const written = await apply(reference, false);
      const isAgain = before !== undefined && (await tryAgain(client, before, written));
      const timeoutSeconds = numberFlag(args, "timeout", { min: 1, max: 86_400 }) ?? 360;
      const generation = written.metadata?.generation ?? 0;
      const fn = await followDeploy({
        client,
        terminal,
        namespace,
        name: wanted.name,
        generation,
        logVersion,
        timeoutSeconds,
        ...(isAgain ? { before } : {}),
      });
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

const dev: Command = {
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

const list: Command = {
  name: "fn list",
  aliases: ["fn ls"],
  usage: "",
  summary: "List functions",
  maxPositionals: 0,
  flags: {
    ...common,
    "all-namespaces": { type: "boolean", short: "A", help: "In all namespaces" },
    output: { type: "string", short: "o", value: "FORMAT", help: "wide, json or yaml" },
  },
  run: (args, context) =>
    whereFunctionsAre(args, context, () =>
      withTransport(args, context, (transport) =>
        showObjects(transport, { ...args, positionals: ["functions.nodeless.dev"] }, context),
      ),
    ),
};

const invoke: Command = {
  name: "fn invoke",
  usage: "NAME",
  summary: "Ask a function and print its answer",
  details: ["Ends with 1 when the answer's status is 400 or more."],
  examples: ["fn invoke hello", "fn invoke hello --path /user/7 --data '{\"a\":1}'"],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    ...common,
    method: { type: "string", short: "X", value: "METHOD", help: "GET, or POST with --data" },
    path: { type: "string", value: "PATH", default: "/", help: "Path with query" },
    header: { type: "string", short: "H", value: "NAME:VALUE", multiple: true, help: "A header" },
    data: {
      type: "string",
      short: "d",
      value: "TEXT",
      help: "The body; @FILE for a file's content, @- for standard input",
    },
    tag: { type: "string", value: "TAG", help: "The revision with this tag" },
    include: { type: "boolean", short: "i", help: "Print status and headers too" },
  },
  async run(args, context) {
    const { machine, terminal } = context;
    const cluster = textFlag(args, "name") ?? "default";
    const url = await withClient(args, context, (client) => urlOf(client, args));
    const body = bodyOf(textFlag(args, "data"));
    const method = (textFlag(args, "method") ?? (body === undefined ? "GET" : "POST")).toUpperCase();
    // Known here, so that its lines can be found in the log.
    const headers = { "x-request-id": randomUUID(), ...headersOf(args) };
    const answer = await machine.functions.ask(cluster, { url, method, headers, body });
    if (args.flags["include"] === true)
      await terminal.write(
        Buffer.from(
          [
            `HTTP/1.1 ${answer.status}`,
            `x-request-id: ${headers["x-request-id"]}`,
            ...answer.headers.map(([name, value]) => `${name}: ${value}`),
            "",
            "",
          ].join("\n"),
        ),
      );
    let last = newline;
    for await (const chunk of answer.body) {
      await terminal.write(chunk);
      last = chunk.at(-1) ?? last;
    }
    // The next prompt is not to stand in the answer; whoever reads it by a program gets it as it is.
    if (terminal.isInteractive && last !== newline) terminal.print("");
    return answer.status < 400 ? 0 : 1;
  },
};

async function urlOf(client: Client, args: Arguments): Promise<string> {
  const [name = ""] = args.positionals;
  const namespace = textFlag(args, "namespace") ?? "default";
  const fn = await client.get<FunctionObject>({ resource: functions, namespace, name });
  const tag = textFlag(args, "tag");
  const traffic = tag === undefined ? [] : await trafficOf(client, fn);
  return new URL(textFlag(args, "path") ?? "/", addressOf(fn, { traffic, tag })).href;
}

function headersOf(args: Arguments): Readonly<Record<string, string>> {
  const given = (args.flags["header"] as readonly string[] | undefined) ?? [];
  return Object.fromEntries(
    given.map((text) => {
      const colon = text.indexOf(":");
      if (colon < 1) throw new UserError(`--header wants NAME:VALUE, not "${text}"`, { exitCode: 2 });
      return [text.slice(0, colon), text.slice(colon + 1).trim()];
    }),
  );
}

function bodyOf(data: string | undefined): Uint8Array | undefined {
  if (data === undefined) return undefined;
  if (!data.startsWith("@")) return Buffer.from(data);
  return readFileSync(data === "@-" ? 0 : data.slice(1));
}

const logs: Command = {
  name: "fn logs",
  usage: "NAME",
  summary: "Print what a function says; each line begins with its request's identifier",
  details: ["Of the instances that run: what sleeps has no log."],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    ...common,
    follow: { type: "boolean", short: "f", help: "Go on, also with instances that come" },
    tail: { type: "string", value: "N", help: "Only the last N lines of each instance" },
    request: { type: "string", value: "ID", help: "Only lines of this request (its x-request-id)" },
    revision: { type: "string", value: "REVISION", help: "Only instances of this revision" },
    build: { type: "boolean", help: "What the newest build said" },
  },
  async run(args, context) {
    const [name = ""] = args.positionals;
    const { terminal, machine } = context;
    const namespace = textFlag(args, "namespace") ?? "default";
    return await withClient(args, context, async (client) => {
      const fn = await client.get<FunctionObject>({ resource: functions, namespace, name });
      if (args.flags["build"] === true) return await printBuildLog(client, context, fn);
      const count = await printFunctionLogs({
        client,
        machine,
        terminal,
        cluster: textFlag(args, "name") ?? "default",
        namespace,
        name,
        follow: args.flags["follow"] === true,
        tail: textFlag(args, "tail"),
        request: textFlag(args, "request"),
        revision: textFlag(args, "revision"),
      });
      if (count === 0) terminal.warn(`Function ${name} has no instance now.`);
      const revisions = await client.list<KubeObject>(
        { resource: revisionResource, namespace },
        { labelSelector: `serving.knative.dev/service=${name}` },
      );
      // An instance that was killed has taken its log with it.
      for (const line of troubleLines(await troublesOf(client, namespace, revisions.items), Date.now()))
        terminal.warn(line);
      return 0;
    });
  },
};

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

const describe: Command = {
  name: "fn describe",
  usage: "NAME",
  summary: "Show a function with its conditions, revisions and traffic",
  minPositionals: 1,
  maxPositionals: 1,
  flags: common,
  run: (args, context) =>
    withClient(args, context, async (client) => {
      const [name = ""] = args.positionals;
      const lines = await describeFunction(client, textFlag(args, "namespace") ?? "default", name);
      for (const line of lines) context.terminal.print(line);
      return 0;
    }),
};

const remove: Command = {
  name: "fn delete",
  aliases: ["fn rm"],
  usage: "NAME…",
  summary: "Delete functions with all that belongs to them",
  minPositionals: 1,
  flags: common,
  run: (args, context) =>
    withClient(args, context, async (client) => {
      for (const name of args.positionals) {
        const ref = { resource: functions, namespace: textFlag(args, "namespace") ?? "default", name };
        await client.delete(ref, { propagationPolicy: "Background" });
        context.terminal.print(`Function ${name} is deleted.`);
      }
      return 0;
    }),
};

async function withClient<T>(
  args: Arguments,
  context: CommandContext,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  return await whereFunctionsAre(args, context, () =>
    withTransport(args, context, (transport) => use(createClient(transport))),
  );
}

/** A cluster without Serving does not know what a function is: that is said instead of what the API server says. */
async function whereFunctionsAre<T>(args: Arguments, { machine }: CommandContext, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (cause) {
    const cluster = textFlag(args, "name") ?? "default";
    const status = await machine.status(cluster).catch(() => undefined);
    if (status === undefined || !status.isRunning || status.hasServing) throw cause;
    throw new UserError(
      `cluster "${cluster}" runs no functions: 'nodeless fn deploy' adds them, or 'nodeless up --serving'`,
      { cause },
    );
  }
}

/** All commands of this file. */
export const functionCommands: readonly Command[] = [create, dev, deploy, list, invoke, logs, describe, remove];

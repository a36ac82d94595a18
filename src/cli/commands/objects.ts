/**
 * The few commands on objects for people without kubectl: get, apply, delete, logs, exec. Everything else is kubectl's.
 */
import { readFileSync } from "node:fs";
import type { KubeObject } from "#apimachinery/meta.ts";
import { pathOf } from "#client/resource-path.ts";
import { createClient } from "#client/rest-client.ts";
import type { Transport } from "#client/transport.ts";
import { parseAllDocuments, stringify } from "yaml";
import { type Arguments, type Command, type CommandContext, textFlag, UserError } from "#cli/command.ts";
import { type FoundResource, findResource, findResourceOfKind } from "#cli/resource-finder.ts";
import { columns, deleteCluster, nameFlag } from "./clusters.ts";

/** --namespace, which every command on objects has. */
export const namespaceFlag = {
  type: "string",
  short: "n",
  value: "NAMESPACE",
  default: "default",
  help: "Namespace of the objects",
} as const;
const fileFlag = {
  type: "string",
  short: "f",
  value: "FILE",
  multiple: true,
  help: "YAML or JSON file with objects; - for standard input",
} as const;

const get: Command = {
  name: "get",
  usage: "RESOURCE [NAME]",
  summary: "Show objects",
  examples: ["get pods -A", "get deployment web -o yaml"],
  minPositionals: 1,
  maxPositionals: 2,
  flags: {
    name: nameFlag,
    namespace: namespaceFlag,
    "all-namespaces": { type: "boolean", short: "A", help: "In all namespaces" },
    selector: { type: "string", short: "l", value: "SELECTOR", help: "Only objects with these labels" },
    output: { type: "string", short: "o", value: "FORMAT", help: "wide, json or yaml" },
  },
  run: (args, context) => withTransport(args, context, (transport) => showObjects(transport, args, context)),
};

type Table = {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object?: KubeObject }[];
};

/** Prints objects as the server shows them, or as JSON or YAML. */
export async function showObjects(
  transport: Transport,
  args: Arguments,
  { terminal }: CommandContext,
): Promise<number> {
  const [word = "", name] = args.positionals;
  const resource = await findResource(transport, word);
  const path = pathOf(refOf(resource, args, name));
  const selector = textFlag(args, "selector");
  const output = textFlag(args, "output");
  const query = selector === undefined ? {} : { labelSelector: selector };
  if (output === "json" || output === "yaml") {
    const { body } = await transport.request({ method: "GET", path, query });
    terminal.print(output === "json" ? JSON.stringify(body, null, 4) : stringify(body).trimEnd());
    return 0;
  }
  if (output !== undefined && output !== "wide")
    throw new UserError(`-o may be wide, json or yaml, not "${output}"`, { exitCode: 2 });
  const { body } = await transport.request({
    method: "GET",
    path,
    query,
    accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
  });
  const lines = tableLines(
    body as unknown as Table,
    output === "wide",
    args.flags["all-namespaces"] === true && resource.isNamespaced,
  );
  if (lines.length === 0)
    terminal.warn(
      resource.isNamespaced ? `No resources found in ${textFlag(args, "namespace")} namespace.` : "No resources found.",
    );
  for (const line of lines) terminal.print(line);
  return 0;
}

function tableLines(table: Table, isWide: boolean, withNamespace: boolean): string[] {
  if (table.rows.length === 0) return [];
  const shown = table.columnDefinitions
    .map((_, index) => index)
    .filter((index) => isWide || table.columnDefinitions[index]?.priority === 0);
  const header = shown.map((index) => (table.columnDefinitions[index]?.name ?? "").toUpperCase());
  const rows = table.rows.map(({ cells, object }) => {
    const row = shown.map((index) => String(cells[index] ?? "<none>"));
    return withNamespace ? [object?.metadata?.namespace ?? "", ...row] : row;
  });
  return columns([withNamespace ? ["NAMESPACE", ...header] : header, ...rows]);
}

const apply: Command = {
  name: "apply",
  usage: "",
  summary: "Create or change objects so that they are as a file says (server-side apply)",
  examples: ["apply -f app.yaml", "apply -f - < app.yaml"],
  maxPositionals: 0,
  flags: { name: nameFlag, namespace: namespaceFlag, filename: fileFlag },
  run: (args, context) => {
    if (args.flags["filename"] === undefined) throw new UserError("wants -f FILE", { exitCode: 2 });
    return withTransport(args, context, async (transport) => {
      const client = createClient(transport);
      for (const object of objectsOf(args)) {
        const { resource, ref } = await locate(transport, object, args);
        const before = await client
          .get(ref)
          .catch((error: Error) => (isNotFound(error) ? undefined : Promise.reject(error)));
        const after = await client.patch(
          ref,
          { type: "apply", body: object },
          { fieldManager: "nodeless", force: true },
        );
        const isSame = before?.metadata?.resourceVersion === after.metadata?.resourceVersion;
        const outcome = isSame ? "unchanged" : "configured";
        context.terminal.print(`${titleOf(resource, object)} ${before === undefined ? "created" : outcome}`);
      }
      return 0;
    });
  },
};

const deleteCommand: Command = {
  name: "delete",
  usage: "[RESOURCE NAME…]",
  summary: "Delete a whole cluster; with RESOURCE NAME or -f only objects",
  details: [
    "Without arguments the cluster goes with its objects, data, logs, certificates, context and boot unit.",
    "Images stay: other clusters use them too.",
  ],
  examples: ["delete --name test", "delete pod web", "delete -f app.yaml"],
  flags: { name: nameFlag, namespace: namespaceFlag, filename: fileFlag },
  run: (args, context) => {
    const isWholeCluster = args.positionals.length === 0 && args.flags["filename"] === undefined;
    return isWholeCluster
      ? deleteCluster(args, context)
      : withTransport(args, context, (transport) => deleteObjects(transport, args, context));
  },
};

async function deleteObjects(transport: Transport, args: Arguments, { terminal }: CommandContext): Promise<number> {
  const client = createClient(transport);
  for (const object of objectsOf(args)) {
    const { resource, ref } = await locate(transport, object, args);
    await client.delete(ref, { propagationPolicy: "Background" });
    terminal.print(`${titleOf(resource, object)} deleted`);
  }
  const [word, ...names] = args.positionals;
  if (word === undefined) return 0;
  if (names.length === 0) throw new UserError(`wants the name of the ${word} to delete`, { exitCode: 2 });
  const resource = await findResource(transport, word);
  for (const name of names) {
    await client.delete(refOf(resource, args, name), { propagationPolicy: "Background" });
    terminal.print(`${resource.kind.toLowerCase()} "${name}" deleted`);
  }
  return 0;
}

const logs: Command = {
  name: "logs",
  usage: "POD",
  summary: "Print the log of a pod's container",
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    name: nameFlag,
    namespace: namespaceFlag,
    container: { type: "string", short: "c", value: "NAME", help: "Which container, where there are several" },
    follow: { type: "boolean", short: "f", help: "Go on as the log grows" },
    previous: { type: "boolean", short: "p", help: "Of the container's run before this one" },
    tail: { type: "string", value: "N", help: "Only the last N lines" },
  },
  run: async (args, { machine, terminal }) => {
    const [pod = ""] = args.positionals;
    const query = new URLSearchParams();
    for (const [flag, parameter] of [
      ["container", "container"],
      ["tail", "tailLines"],
    ] as const) {
      const value = textFlag(args, flag);
      if (value !== undefined) query.set(parameter, value);
    }
    for (const flag of ["follow", "previous"] as const) if (args.flags[flag] === true) query.set(flag, "true");
    const path = pathOf({
      resource: { group: "", version: "v1", resource: "pods" },
      namespace: textFlag(args, "namespace") ?? "default",
      name: pod,
      subresource: "log",
    });
    for await (const chunk of await machine.readStream(textFlag(args, "name") ?? "default", `${path}?${query}`))
      await terminal.write(chunk);
    return 0;
  },
};

const exec: Command = {
  name: "exec",
  usage: "POD -- COMMAND…",
  summary: "Run a command in a pod's container",
  details: ["Ends with the command's own exit code."],
  examples: ["exec -it web -- sh"],
  minPositionals: 2,
  flags: {
    name: nameFlag,
    namespace: namespaceFlag,
    container: { type: "string", short: "c", value: "NAME", help: "Which container, where there are several" },
    stdin: { type: "boolean", short: "i", help: "Pass standard input on" },
    tty: { type: "boolean", short: "t", help: "With a terminal" },
  },
  run: async (args, { machine }) => {
    const [pod = "", ...command] = args.positionals;
    const container = textFlag(args, "container");
    return await machine.exec(textFlag(args, "name") ?? "default", {
      namespace: textFlag(args, "namespace") ?? "default",
      pod,
      ...(container === undefined ? {} : { container }),
      command,
      stdin: args.flags["stdin"] === true,
      tty: args.flags["tty"] === true,
    });
  },
};

/** Does something with the cluster that is named, as its administrator. */
export async function withTransport<T>(
  args: Arguments,
  { machine }: CommandContext,
  use: (transport: Transport) => Promise<T>,
): Promise<T> {
  const transport = await machine.connect(textFlag(args, "name") ?? "default");
  try {
    return await use(transport);
  } finally {
    await transport.close();
  }
}

function refOf(resource: FoundResource, args: Arguments, name: string | undefined): Parameters<typeof pathOf>[0] {
  const isAll = args.flags["all-namespaces"] === true && name === undefined;
  return {
    resource,
    ...(resource.isNamespaced && !isAll ? { namespace: textFlag(args, "namespace") ?? "default" } : {}),
    ...(name === undefined ? {} : { name }),
  };
}

async function locate(
  transport: Transport,
  object: KubeObject,
  args: Arguments,
): Promise<{ readonly resource: FoundResource; readonly ref: Parameters<typeof pathOf>[0] }> {
  const name = object.metadata?.name;
  if (object.apiVersion === undefined || object.kind === undefined || name === undefined) {
    throw new UserError("an object of the file lacks apiVersion, kind or metadata.name; nothing was done with it");
  }
  const resource = await findResourceOfKind(transport, object.apiVersion, object.kind);
  const namespace = object.metadata?.namespace ?? textFlag(args, "namespace") ?? "default";
  return { resource, ref: { resource, name, ...(resource.isNamespaced ? { namespace } : {}) } };
}

/** All objects of the files given by -f, Lists taken apart. Throws UserError for what is not YAML. */
function objectsOf(args: Arguments): KubeObject[] {
  const files = (args.flags["filename"] as readonly string[] | undefined) ?? [];
  return files.flatMap((file) => {
    const documents = parseAllDocuments(readFileSync(file === "-" ? 0 : file, "utf8"));
    return [...documents].flatMap((document) => {
      if (document.errors.length > 0) throw new UserError(`${file} is no YAML: ${document.errors[0]?.message}`);
      const object = document.toJS() as (KubeObject & { readonly items?: readonly KubeObject[] }) | null;
      if (object === null) return [];
      return object.kind === "List" ? [...(object.items ?? [])] : [object];
    });
  });
}

function titleOf(resource: FoundResource, object: KubeObject): string {
  return `${resource.kind.toLowerCase()}${resource.group === "" ? "" : `.${resource.group}`}/${object.metadata?.name}`;
}

function isNotFound(error: Error): boolean {
  return "code" in error && error.code === 404;
}

/** All commands of this file. */
export const objectCommands: readonly Command[] = [get, apply, deleteCommand, logs, exec];

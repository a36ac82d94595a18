/**
 * The few commands on objects for people without kubectl: get, apply, delete; logs and exec are in pods.ts. Everything else is kubectl's.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { ResourceRef } from "#client/client.ts";
import { pathOf } from "#client/resource-path.ts";
import { createClient } from "#client/rest-client.ts";
import type { Transport, TransportRequest } from "#client/transport.ts";
import { stringify } from "yaml";
import { type Arguments, type Command, type CommandContext, textFlag, UserError } from "#cli/command.ts";
import { readObjects } from "#cli/object-files.ts";
import { findObjects, type ObjectChoice } from "#cli/object-words.ts";
import { type FoundResource, findResourceOfKind } from "#cli/resource-finder.ts";
import { columns } from "#cli/columns.ts";
import { nameFlag, namespaceFlag, namespaceOf } from "./cluster-and-namespace.ts";
import { deleteCluster } from "./clusters.ts";
import { withTransport } from "./with-transport.ts";

const fileFlag = {
  type: "string",
  short: "f",
  value: "FILE",
  multiple: true,
  help: "YAML or JSON with objects: a file, a folder, a URL, or - for standard input",
} as const;
const recursiveFlag = { type: "boolean", short: "R", help: "With folders of folders that -f names" } as const;

const selectorFlag = {
  type: "string",
  short: "l",
  value: "SELECTOR",
  help: "Only objects with these labels",
} as const;

const get: Command = {
  name: "get",
  usage: "RESOURCE[,RESOURCE…] [NAME…] | RESOURCE/NAME…",
  summary: "Show objects",
  examples: ["get pods -A", "get deploy,svc", "get deployment web -o yaml"],
  minPositionals: 1,
  flags: {
    name: nameFlag,
    namespace: namespaceFlag(),
    "all-namespaces": { type: "boolean", short: "A", help: "In all namespaces" },
    selector: selectorFlag,
    output: { type: "string", short: "o", value: "FORMAT", help: "wide, name, json or yaml" },
  },
  run: (args, context) => withTransport(args, context, (transport) => showObjects(transport, args, context)),
};

/** Prints objects as the server shows them, or as JSON or YAML. */
export async function showObjects(
  transport: Transport,
  args: Arguments,
  { terminal }: CommandContext,
): Promise<number> {
  const output = textFlag(args, "output");
  if (output !== undefined && !["wide", "name", "json", "yaml"].includes(output))
    throw new UserError(`-o may be wide, name, json or yaml, not "${output}"`, { exitCode: 2 });
  const choices = await findObjects(transport, args.positionals);
  refuseNamesWith(args, choices);
  if (output === "json" || output === "yaml") {
    const body = await readBodies(transport, choices, args);
    terminal.print(output === "json" ? JSON.stringify(body, null, 4) : stringify(body).trimEnd());
    return 0;
  }
  const read = (choice: ObjectChoice) => readTable(transport, choice, args);
  const tables = (await Promise.all(choices.map(read))).filter(({ rows }) => rows.length > 0);
  if (tables.length === 0) terminal.warn(nothingFound(choices, args));
  if (output === "name") {
    for (const { resource, rows } of tables)
      for (const { object } of rows) terminal.print(titleOf(resource, object ?? {}));
    return 0;
  }
  const isMixed = choices.length > 1 || args.positionals.some((word) => word.includes("/"));
  for (const [index, table] of tables.entries()) {
    if (index > 0) terminal.print("");
    const withNamespace = args.flags["all-namespaces"] === true && table.resource.isNamespaced;
    for (const line of tableLines(table, { isWide: output === "wide", withNamespace, isMixed })) terminal.print(line);
  }
  return 0;
}

function refuseNamesWith({ flags }: Arguments, choices: readonly ObjectChoice[]): void {
  if (choices.every(({ names }) => names.length === 0)) return;
  if (flags["all-namespaces"] === true)
    throw new UserError("an object of a name is in one namespace: leave -A out", { exitCode: 2 });
  if (flags["selector"] !== undefined)
    throw new UserError("objects are meant by their names or by -l, not by both", { exitCode: 2 });
}

function nothingFound(choices: readonly ObjectChoice[], args: Arguments): string {
  const isOfNamespace = choices.some(({ resource }) => resource.isNamespaced) && args.flags["all-namespaces"] !== true;
  return isOfNamespace ? `No resources found in ${namespaceOf(args)} namespace.` : "No resources found.";
}

/** The one object or list that was asked for, or a List of all. */
async function readBodies(transport: Transport, choices: readonly ObjectChoice[], args: Arguments): Promise<unknown> {
  const bodies = await Promise.all(
    choices.flatMap((choice) =>
      requestsOf(choice, args).map(async (request) => (await transport.request(request)).body as KubeList),
    ),
  );
  if (bodies.length === 1) return bodies[0];
  const items = bodies.flatMap((body) => (body.items === undefined ? [body] : itemsOf(body)));
  return { apiVersion: "v1", items, kind: "List", metadata: { resourceVersion: "" } };
}

type KubeList = KubeObject & { readonly items?: readonly KubeObject[] };

/** Items of a list do not say what they are. */
function itemsOf({ apiVersion, kind = "", items = [] }: KubeList): KubeObject[] {
  return items.map((item) => ({ ...(apiVersion && { apiVersion }), kind: kind.replace(/List$/, ""), ...item }));
}

type Table = {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object?: KubeObject }[];
};

type ResourceTable = Table & { readonly resource: FoundResource };

async function readTable(transport: Transport, choice: ObjectChoice, args: Arguments): Promise<ResourceTable> {
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const tables = await Promise.all(
    requestsOf(choice, args).map(
      async (request) => (await transport.request({ ...request, accept })).body as unknown as Table,
    ),
  );
  const rows = tables.flatMap((table) => table.rows);
  return { resource: choice.resource, columnDefinitions: tables[0]?.columnDefinitions ?? [], rows };
}

function requestsOf({ resource, names }: ObjectChoice, args: Arguments): TransportRequest[] {
  const selector = textFlag(args, "selector");
  const query = selector === undefined ? {} : { labelSelector: selector };
  const wanted = names.length === 0 ? [undefined] : names;
  return wanted.map((name) => ({ method: "GET", path: pathOf(refOf(resource, args, name)), query }));
}

type TableForm = {
  readonly isWide: boolean;
  readonly withNamespace: boolean;
  /** Of several resources: names say of which. */
  readonly isMixed: boolean;
};

function tableLines(table: ResourceTable, { isWide, withNamespace, isMixed }: TableForm): string[] {
  const shown = [...table.columnDefinitions.keys()].filter(
    (index) => isWide || table.columnDefinitions[index]?.priority === 0,
  );
  const header = shown.map((index) => (table.columnDefinitions[index]?.name ?? "").toUpperCase());
  const rows = table.rows.map(({ cells, object }) => {
    const row = shown.map((index) => String(cells[index] ?? "<none>"));
    if (isMixed) row[0] = titleOf(table.resource, { metadata: { name: row[0] ?? "" } });
    return withNamespace ? [object?.metadata?.namespace ?? "", ...row] : row;
  });
  return columns([withNamespace ? ["NAMESPACE", ...header] : header, ...rows]);
}

const apply: Command = {
  name: "apply",
  usage: "",
  summary: "Create or change objects so that they are as a file says (server-side apply)",
  examples: ["apply -f app.yaml", "apply -f manifests -R", "apply -f https://example.com/app.yaml"],
  maxPositionals: 0,
  flags: { name: nameFlag, namespace: namespaceFlag(), filename: fileFlag, recursive: recursiveFlag },
  run: (args, context) => {
    if (args.flags["filename"] === undefined) throw new UserError("wants -f FILE", { exitCode: 2 });
    return withTransport(args, context, async (transport) => {
      const client = createClient(transport);
      for (const object of await objectsOf(args)) {
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

const { default: _, ...optionalNamespaceFlag } = namespaceFlag();

const deleteCommand: Command = {
  name: "delete",
  usage: "[RESOURCE NAME… | RESOURCE/NAME…]",
  summary: "Delete a whole cluster; with RESOURCE NAME or -f only objects",
  details: [
    "'nodeless delete [--name NAME]' and no more: the cluster goes with its objects, data, logs, certificates, context and boot",
    "unit. On a terminal it asks first. Images stay, as other clusters use them too: 'nodeless image rm --all' removes them.",
    "With RESOURCE NAME, RESOURCE -l SELECTOR, RESOURCE --all or -f FILE: these objects go, and nothing else.",
  ],
  examples: ["delete --name test", "delete pod web", "delete deploy,svc -l app=shop", "delete -f app.yaml"],
  flags: {
    name: nameFlag,
    yes: { type: "boolean", short: "y", help: "Delete the cluster without asking" },
    namespace: { ...optionalNamespaceFlag, help: 'Namespace of the objects; "default" when it is left out' },
    filename: fileFlag,
    recursive: recursiveFlag,
    selector: selectorFlag,
    all: { type: "boolean", help: "All objects of the resource, in the namespace" },
    "ignore-not-found": { type: "boolean", help: "Objects that are not there are no failure" },
  },
  run: (args, context) => {
    if (isOfCluster(args)) return deleteCluster(args, context);
    return withTransport(args, context, (transport) => deleteObjects(transport, args, context));
  },
};

/** Whether the whole cluster is meant: only then when nothing that was said is about objects. */
function isOfCluster({ positionals, flags }: Arguments): boolean {
  if (positionals.length > 0 || flags["filename"] !== undefined) return false;
  const ofObjects = ["namespace", "recursive", "selector", "all", "ignore-not-found"];
  const given = ofObjects.filter((flag) => flags[flag] !== undefined).map((flag) => `--${flag}`);
  if (given.length === 0) return true;
  const forms =
    "'nodeless delete RESOURCE NAME' or '-f FILE' deletes objects, 'nodeless delete --name NAME' and no more a whole cluster";
  throw new UserError(`${given.join(" and ")}, but no objects: ${forms}. Nothing was deleted`, { exitCode: 2 });
}

async function deleteObjects(transport: Transport, args: Arguments, { terminal }: CommandContext): Promise<number> {
  const client = createClient(transport);
  let missing = 0;
  const remove = async (ref: ResourceRef, title: string) => {
    try {
      await client.delete(ref, { propagationPolicy: "Background" });
      terminal.print(`${title} deleted`);
    } catch (error) {
      if (!isNotFound(error as Error)) throw error;
      if (args.flags["ignore-not-found"] === true) return;
      terminal.warn(`nodeless delete: ${(error as Error).message}`);
      missing += 1;
    }
  };
  for (const object of await objectsOf(args)) {
    const { resource, ref } = await locate(transport, object, args);
    await remove(ref, titleOf(resource, object));
  }
  if (args.positionals.length === 0) return missing > 0 ? 1 : 0;
  const doomed = await findDoomed(transport, args);
  if (doomed.every(({ names }) => names.length === 0)) terminal.print("No resources found.");
  for (const { resource, names } of doomed)
    for (const name of names) await remove(refOf(resource, args, name), `${resource.kind.toLowerCase()} "${name}"`);
  return missing > 0 ? 1 : 0;
}

/** What is to go, by name. Throws UserError for words that leave open which objects. */
async function findDoomed(transport: Transport, args: Arguments): Promise<readonly ObjectChoice[]> {
  const choices = await findObjects(transport, args.positionals);
  const selector = textFlag(args, "selector");
  const isByName = choices.every(({ names }) => names.length > 0);
  const isBySelection = selector !== undefined || args.flags["all"] === true;
  if (isByName && isBySelection)
    throw new UserError("objects are meant by their names, by -l or by --all, not by several of these", {
      exitCode: 2,
    });
  if (isByName) return choices;
  const words = args.positionals.join(" ");
  if (!isBySelection)
    throw new UserError(`wants the name of the ${words} to delete, -l SELECTOR or --all`, { exitCode: 2 });
  const query = selector === undefined ? {} : { labelSelector: selector };
  return await Promise.all(
    choices.map(async ({ resource }) => {
      const { body } = await transport.request({
        method: "GET",
        path: pathOf(refOf(resource, args, undefined)),
        query,
      });
      const names = ((body as KubeList).items ?? []).map(({ metadata }) => metadata?.name ?? "");
      return { resource, names };
    }),
  );
}

function refOf(resource: FoundResource, args: Arguments, name: string | undefined): ResourceRef {
  const isAll = args.flags["all-namespaces"] === true && name === undefined;
  return {
    resource,
    ...(resource.isNamespaced && !isAll ? { namespace: namespaceOf(args) } : {}),
    ...(name === undefined ? {} : { name }),
  };
}

async function locate(
  transport: Transport,
  object: KubeObject,
  args: Arguments,
): Promise<{ readonly resource: FoundResource; readonly ref: ResourceRef }> {
  const name = object.metadata?.name;
  if (object.apiVersion === undefined || object.kind === undefined || name === undefined) {
    throw new UserError("an object of the file lacks apiVersion, kind or metadata.name; nothing was done with it");
  }
  const resource = await findResourceOfKind(transport, object.apiVersion, object.kind);
  const namespace = object.metadata?.namespace ?? namespaceOf(args);
  return { resource, ref: { resource, name, ...(resource.isNamespaced ? { namespace } : {}) } };
}

async function objectsOf({ flags }: Arguments): Promise<readonly KubeObject[]> {
  const places = (flags["filename"] as readonly string[] | undefined) ?? [];
  return places.length === 0 ? [] : await readObjects(places, flags["recursive"] === true);
}

function titleOf(resource: FoundResource, object: KubeObject): string {
  return `${resource.kind.toLowerCase()}${resource.group === "" ? "" : `.${resource.group}`}/${object.metadata?.name}`;
}

function isNotFound(error: Error): boolean {
  return "code" in error && error.code === 404;
}

/** All commands of this file. */
export const objectCommands: readonly Command[] = [get, apply, deleteCommand];

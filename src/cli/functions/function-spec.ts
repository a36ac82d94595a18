/**
 * The Function that a command line and a folder's function.yaml ask for. What the command line says goes before what the file says.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import {
  type FunctionObject,
  functionFile,
  functionIn,
  type FunctionSpec,
  isNoFunction,
} from "#api/nodeless/function.ts";
import { type FunctionRuntime, guessRuntime } from "#api/nodeless/function-runtime.ts";
import { compareQuantities, isQuantity, parseQuantity } from "#apimachinery/quantity.ts";
import { type Arguments, type Flag, numberFlag, textFlag, UserError } from "#cli/command.ts";
import { parseObjects } from "#cli/object-files.ts";

/** Flags that say what a function shall be like. */
export const specFlags: Readonly<Record<string, Flag>> = {
  runtime: {
    type: "string",
    value: "RUNTIME",
    help: "isolate (JavaScript and TypeScript; the default), node, python, or container (a Dockerfile)",
  },
  entrypoint: { type: "string", value: "FILE", help: "The file with the handler; for python FILE:NAME" },
  env: { type: "string", short: "e", value: "NAME=VALUE", multiple: true, help: "An environment variable" },
  secret: { type: "string", value: "NAME", multiple: true, help: "A Secret whose keys become environment variables" },
  cpu: { type: "string", value: "AMOUNT", help: "Most CPU of one instance, such as 500m" },
  memory: { type: "string", value: "AMOUNT", help: "Most memory of one instance, such as 128Mi" },
  "request-timeout": {
    type: "string",
    value: "SECONDS",
    help: "How long an answer may take; 300 unless said otherwise",
  },
  concurrency: { type: "string", value: "N", help: "Most requests at once in one instance; 0: no bound" },
  "min-scale": { type: "string", value: "N", help: "Instances that are kept while nobody asks" },
  "max-scale": { type: "string", value: "N", help: "Most instances" },
  window: {
    type: "string",
    value: "DURATION",
    help: "How long silence lasts before it sleeps, from 6s on; 60s unless said otherwise",
  },
  allow: {
    type: "string",
    value: "HOST",
    multiple: true,
    help: "What its code may connect to (isolates): public, private, or a host; none: nothing",
  },
};

/** Where the source is, when it is no folder of this machine. */
export const sourceFlags: Readonly<Record<string, Flag>> = {
  source: {
    type: "string",
    short: "s",
    value: "FOLDER",
    help: "The folder with the code; the current one unless said otherwise",
  },
  git: { type: "string", value: "URL", help: "A Git repository instead of a folder" },
  revision: { type: "string", value: "REVISION", help: "With --git: branch, tag or commit" },
  path: { type: "string", value: "PATH", help: "With --git: a folder in the repository" },
  image: {
    type: "string",
    value: "IMAGE",
    help: "An image that is built already, instead of a folder; a container's, unless --runtime isolate says otherwise",
  },
};

/** What is to be deployed; `folder` when the source is one. */
export type WantedFunction = {
  readonly name: string;
  readonly folder: string | undefined;
  /** Labels and annotations of the file. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Without a source when it is a folder: that is to be pushed first. */
  readonly spec: FunctionSpec;
};

/** Throws UserError. */
export function wantedFunction(args: Arguments): WantedFunction {
  const [git, image] = [textFlag(args, "git"), textFlag(args, "image")];
  if (git !== undefined && image !== undefined)
    throw new UserError("takes --git or --image, not both", { exitCode: 2 });
  for (const flag of ["revision", "path"])
    if (git === undefined && textFlag(args, flag) !== undefined)
      throw new UserError(`--${flag} is about a repository: say with --git which one`, { exitCode: 2 });
  for (const flag of ["git", "image"])
    if (textFlag(args, flag) !== undefined && textFlag(args, "source") !== undefined)
      throw new UserError(`takes --source or --${flag}, not both`, { exitCode: 2 });
  const isElsewhere = git !== undefined || image !== undefined;
  const folder = isElsewhere ? undefined : sourceFolder(args);
  const file = folder === undefined ? {} : readFunctionFile(folder);
  const name =
    args.positionals[0] ?? file.metadata?.name ?? (folder === undefined ? undefined : basename(folder).toLowerCase());
  if (name === undefined) throw new UserError("wants the function's NAME", { exitCode: 2 });
  checkName(name);
  const { name: _name, namespace: _namespace, ...metadata } = file.metadata ?? {};
  const spec = { ...file.spec, ...flagSpec(args, file.spec ?? {}), ...remoteSource(args) };
  return {
    name,
    folder,
    metadata,
    spec: folder === undefined ? spec : { ...spec, runtime: spec.runtime ?? runtimeOf(folder) },
  };
}

/** The folder that --source names, else the current one. Throws UserError. */
export function sourceFolder(args: Arguments): string {
  const folder = resolve(textFlag(args, "source") ?? ".");
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw new UserError(`${folder} is no folder`);
  // All of it would be packed.
  if (["/", homedir()].includes(folder) && !existsSync(join(folder, functionFile)))
    throw new UserError(`${folder} is not the folder of one function: --source names it`, { exitCode: 2 });
  return folder;
}

/** Throws UserError for what cannot be a function's name: it becomes a part of hosts. */
export function checkName(name: string): void {
  if (/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) return;
  const rule = "small letters, digits and '-', a letter first and no '-' last, at most 63 characters";
  throw new UserError(`"${name}" cannot name a function: ${rule}`, { exitCode: 2 });
}

/** The folder's function.yaml. Throws UserError for one that is none. */
export function readFunctionFile(folder: string): FunctionObject {
  const path = join(folder, functionFile);
  if (!existsSync(path)) return {};
  const found = functionIn(parseObjects(path, readFileSync(path, "utf8")));
  if (found === undefined) throw new UserError(`${path} ${isNoFunction}`);
  return found;
}

/** What a folder that says nothing itself is for: one that has one thing only can be nothing else. */
export function runtimeOf(folder: string): FunctionRuntime {
  return guessRuntime((name) => existsSync(join(folder, name)));
}

/** What is built already is a container unless it is said to be something else. */
function remoteSource(args: Arguments): Pick<FunctionSpec, "runtime" | "source"> {
  const [url, image] = [textFlag(args, "git"), textFlag(args, "image")];
  if (image !== undefined) return { runtime: runtimeFlag(args) ?? "container", source: { image } };
  if (url === undefined) return {};
  const [revision, path] = [textFlag(args, "revision"), textFlag(args, "path")];
  return {
    source: { git: { url, ...(revision === undefined ? {} : { revision }), ...(path === undefined ? {} : { path }) } },
  };
}

function flagSpec(args: Arguments, file: FunctionSpec): FunctionSpec {
  const [cpu, memory] = [amountFlag(args, "cpu", "500m"), memoryFlag(args)];
  const limits = { ...(cpu === undefined ? {} : { cpu }), ...(memory === undefined ? {} : { memory }) };
  const { resources } = file;
  const allow = listFlag(args, "allow");
  return withoutUndefined({
    runtime: runtimeFlag(args),
    entrypoint: textFlag(args, "entrypoint"),
    env: environmentOf(args, file),
    secrets: listFlag(args, "secret"),
    resources:
      cpu === undefined && memory === undefined
        ? undefined
        : { ...resources, limits: { ...resources?.limits, ...limits } },
    timeoutSeconds: numberFlag(args, "request-timeout", { min: 1, max: 600 }),
    concurrency: numberFlag(args, "concurrency", { min: 0, max: 1000 }),
    scale: scaleOf(args, file),
    network: allow === undefined ? undefined : { outbound: { allow: allow.filter((one) => one !== "none") } },
  });
}

/** One that is none is refused by the API server. */
function runtimeFlag(args: Arguments): FunctionRuntime | undefined {
  return textFlag(args, "runtime") as FunctionRuntime | undefined;
}

function amountFlag(args: Arguments, name: string, example: string): string | undefined {
  const text = textFlag(args, name);
  if (text !== undefined && !isQuantity(text))
    throw new UserError(`--${name} wants an amount such as ${example}, not "${text}"`, { exitCode: 2 });
  return text;
}

/** A number alone is bytes, and nobody means these. */
function memoryFlag(args: Arguments): string | undefined {
  const text = amountFlag(args, "memory", "128Mi");
  if (text !== undefined && compareQuantities(parseQuantity(text), parseQuantity("1Mi")) < 0)
    throw new UserError(`--memory ${text} is less than a megabyte: no program runs in that; 128Mi is usual`, {
      exitCode: 2,
    });
  return text;
}

function scaleOf(args: Arguments, file: FunctionSpec): object | undefined {
  const bounds = { min: 0, max: 100_000 };
  const given = withoutUndefined({
    min: numberFlag(args, "min-scale", bounds),
    max: numberFlag(args, "max-scale", bounds),
    window: textFlag(args, "window"),
  });
  return Object.keys(given).length === 0 ? undefined : { ...file.scale, ...given };
}

function environmentOf(args: Arguments, file: FunctionSpec): readonly object[] | undefined {
  const given = environmentFlag(args);
  if (given === undefined) return undefined;
  const kept = (file.env ?? []).filter(({ name }) => !Object.hasOwn(given, name));
  return [...kept, ...Object.entries(given).map(([name, value]) => ({ name, value }))];
}

/** --env as a map; undefined when it was not given. Throws UserError. */
export function environmentFlag(args: Arguments): Readonly<Record<string, string>> | undefined {
  const entries = listFlag(args, "env")?.map((text) => {
    const equals = text.indexOf("=");
    if (equals < 1) throw new UserError(`--env wants NAME=VALUE, not "${text}"`, { exitCode: 2 });
    return [text.slice(0, equals), text.slice(equals + 1)] as const;
  });
  return entries && Object.fromEntries(entries);
}

function listFlag(args: Arguments, name: string): readonly string[] | undefined {
  return args.flags[name] as readonly string[] | undefined;
}

function withoutUndefined(fields: Readonly<Record<string, unknown>>): FunctionSpec {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/**
 * Deploys functions of a tree: each folder becomes the source of a Function, which is written with the rights of whoever pushed; its build's lines are said as they come, and it is
 * followed until it is ready or will not be.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { guessRuntime } from "#api/nodeless/function-runtime.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { hasReason, StatusError } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { followObject } from "#client/follow-object.ts";
import { deliveryGroup } from "#delivery/kinds.ts";
import type { YamlFiles } from "#delivery/manifests/read-manifests.ts";
import { branchLabel, commitAnnotation, previewName, repositoryLabel, slugOf } from "./branch-names.ts";
import { DeployFailed } from "./deploy-failed.ts";
import type { Deployment } from "./deployment.ts";
import type { FunctionFolder } from "./plan.ts";

export const functions: GroupVersionResource = { group: deliveryGroup, version: "v1alpha1", resource: "functions" };
const configMaps: GroupVersionResource = { group: "", version: "v1", resource: "configmaps" };
const fieldManager = "nodeless-push";
const functionFile = "function.yaml";

type Condition = {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
};

/** What is read and written of a Function. */
type FunctionObject = KubeObject & {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
    readonly url?: string;
    readonly latestReadyRevisionName?: string;
  };
};

type LogMap = KubeObject & { readonly data?: { readonly log?: string } };

/** Puts a folder where builds find it; gives its reference. Throws an Error that says what is wrong with it. */
export type PublishSource = (source: {
  readonly folder: string;
  readonly namespace: string;
  readonly name: string;
}) => Promise<string>;

/** Writes them all, so that they are built at the same time, and follows each. Gives their URLs. Throws {@link DeployFailed}. */
export async function deployFunctions(
  deployment: Deployment,
  folders: readonly FunctionFolder[],
  parts: { readonly files: YamlFiles; readonly publish: PublishSource },
): Promise<readonly string[]> {
  const { namespace, say } = deployment;
  const wanted: FunctionObject[] = [];
  for (const folder of folders) wanted.push(await wantedFunction(deployment, folder, parts));
  const names = wanted.map(nameOf);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new DeployFailed(`two functions are called ${twice}`);
  for (const fn of wanted) await refuseForeign(deployment, nameOf(fn));
  const following: Promise<string>[] = [];
  for (const fn of wanted) {
    const written = await write(deployment, fn);
    say(`Function ${namespace}/${nameOf(fn)}: ${written.isChanged ? "building" : "as it was"}`);
    const following1 = follow(deployment, written, folders.length > 1 ? `${nameOf(fn)}: ` : "");
    following1.catch(() => {}); // awaited below
    following.push(following1);
  }
  const ends = await Promise.allSettled(following);
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return ends.map((end) => (end as PromiseFulfilledResult<string>).value);
}

/** Deletes functions that this branch had and has no more; all, without names. */
export async function pruneFunctions(
  client: Client,
  { namespace, repository, branch }: Pick<Deployment, "namespace" | "repository" | "branch">,
  keep: readonly string[],
): Promise<readonly string[]> {
  const labelSelector = `${repositoryLabel}=${repository.metadata?.name},${branchLabel}=${slugOf(branch)}`;
  const { items } = await client.list<FunctionObject>({ resource: functions, namespace }, { labelSelector });
  const gone = items.map(nameOf).filter((name) => !keep.includes(name));
  for (const name of gone) await deleteQuietly(client, namespace, name);
  return gone;
}

async function deleteQuietly(client: Client, namespace: string, name: string): Promise<void> {
  try {
    await client.delete({ resource: functions, namespace, name }, { propagationPolicy: "Background" });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
  }
}

/** Names that functions of these folders have. */
export async function functionNames(
  deployment: Deployment,
  folders: readonly FunctionFolder[],
  files: YamlFiles,
): Promise<readonly string[]> {
  return await Promise.all(
    folders.map(async (folder) => nameFor(deployment, folder, await readFunctionFile(files, folder.folder))),
  );
}

async function wantedFunction(
  deployment: Deployment,
  folder: FunctionFolder,
  { files, publish }: { readonly files: YamlFiles; readonly publish: PublishSource },
): Promise<FunctionObject> {
  const { repository, namespace, branch, commit, isPreview } = deployment;
  const path = join(files.root, folder.folder);
  const file = await readFunctionFile(files, folder.folder);
  const name = nameFor(deployment, folder, file);
  const { labels, annotations } = file.metadata ?? {};
  const reference = await publish({ folder: path, namespace, name });
  const spec = {
    ...file.spec,
    runtime: file.spec?.["runtime"] ?? guessRuntime((name) => existsSync(join(path, name))),
    source: { artifact: { reference } },
  };
  return {
    apiVersion: `${functions.group}/${functions.version}`,
    kind: "Function",
    metadata: {
      name,
      namespace,
      labels: {
        ...labels,
        [repositoryLabel]: repository.metadata?.name ?? "",
        [branchLabel]: slugOf(branch),
      },
      annotations: { ...annotations, [commitAnnotation]: commit },
      ownerReferences: [deployment.owner],
    },
    spec: isPreview ? asleep(spec) : spec,
  };
}

/** A preview costs nothing while nobody looks at it. */
function asleep(spec: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { scale, traffic: _traffic, ...rest } = spec;
  if (scale === undefined) return rest;
  const { min: _min, ...bounds } = scale as Readonly<Record<string, unknown>>;
  return { ...rest, scale: bounds };
}

function nameFor(
  { repository, branch, isPreview }: Deployment,
  { folder, isOnly }: FunctionFolder,
  file: FunctionObject,
): string {
  const given = file.metadata?.name ?? (isOnly ? (repository.metadata?.name ?? "") : basename(folder).toLowerCase());
  return isPreview ? previewName(given, branch) : given;
}

async function readFunctionFile(files: YamlFiles, folder: string): Promise<FunctionObject> {
  const file = join(folder, functionFile);
  if (!existsSync(join(files.root, file))) return {};
  const [found, ...more] = (await files.mapsOf(await files.text(file), file)) as readonly FunctionObject[];
  if (found?.kind !== "Function" || more.length > 0)
    throw new DeployFailed(`${file} is no Function: it wants apiVersion nodeless.dev/v1alpha1 and kind Function`);
  return found;
}

/** What somebody else made is not taken from him because a name is the same. */
async function refuseForeign({ client, namespace, repository, branch }: Deployment, name: string): Promise<void> {
  try {
    const { metadata } = await client.get<FunctionObject>({ resource: functions, namespace, name });
    const { [repositoryLabel]: owner, [branchLabel]: of } = metadata?.labels ?? {};
    if (owner === repository.metadata?.name && of === slugOf(branch)) return;
  } catch (error) {
    if (hasReason(error, "NotFound")) return;
    throw refused(error, `Function ${name}`);
  }
  const labels = `${repositoryLabel}=${repository.metadata?.name} ${branchLabel}=${slugOf(branch)}`;
  throw new DeployFailed(
    `Function ${name} is there already and not of this branch; to hand it over: kubectl label fn ${name} -n ${namespace} --overwrite ${labels}`,
  );
}

/** A function that was written; `logVersion` is of the build log as it was before. */
type Written = { readonly fn: FunctionObject; readonly isChanged: boolean; readonly logVersion: string | undefined };

async function write({ client, namespace }: Deployment, body: FunctionObject): Promise<Written> {
  const name = nameOf(body);
  const ref = { resource: functions, namespace, name };
  try {
    const before = await client.get<FunctionObject>(ref).catch(() => undefined);
    const log = await client
      .get<LogMap>({ resource: configMaps, namespace, name: `${name}-build` })
      .catch(() => undefined);
    const fn = await client.patch<FunctionObject>(ref, { type: "apply", body }, { fieldManager, force: true });
    const isChanged = before?.metadata?.generation !== fn.metadata?.generation;
    return { fn, isChanged, logVersion: log?.metadata?.resourceVersion };
  } catch (error) {
    throw refused(error, `Function ${name}`);
  }
}

/** What the API says is what whoever pushed has to know. */
function refused(error: unknown, what: string): unknown {
  return error instanceof StatusError ? new DeployFailed(`${what}: ${error.message}`, { cause: error }) : error;
}

async function follow(deployment: Deployment, { fn, logVersion }: Written, prefix: string): Promise<string> {
  const { namespace, say } = deployment;
  const name = nameOf(fn);
  const ended = new AbortController();
  const signal = AbortSignal.any([deployment.signal, ended.signal]);
  // What the build says is for whoever may push, whether or not he may read ConfigMaps.
  const log = new LogLines(logVersion, (line) => say(`${prefix}${line}`));
  const logRef = { resource: configMaps, namespace, name: `${name}-build` };
  const decideLog = (map: LogMap): undefined => log.take(map);
  const reading = followObject<LogMap, never>(deployment.ownClient, logRef, { decide: decideLog, signal }).catch(
    () => {}, // the function's own end says it
  );
  try {
    const decide = (found: FunctionObject) => verdictOf(found, fn.metadata?.generation ?? 0);
    const ref = { resource: functions, namespace, name };
    const verdict = await followObject(deployment.ownClient, ref, { decide, signal });
    // The last lines may come after the verdict.
    log.take(await deployment.ownClient.get<LogMap>(logRef).catch(() => undefined));
    if (verdict.failure !== undefined) throw new DeployFailed(`${prefix}${verdict.failure}`);
    return verdict.url;
  } finally {
    ended.abort(new Error("all was heard"));
    await reading;
  }
}

function verdictOf(
  { status, metadata }: FunctionObject,
  generation: number,
): { readonly url: string; readonly failure?: string } | undefined {
  if (metadata?.deletionTimestamp !== undefined) return { url: "", failure: "it was deleted meanwhile" };
  if ((status?.observedGeneration ?? 0) < generation) return undefined;
  const of = (type: string) => status?.conditions?.find((condition) => condition.type === type);
  const ready = of("Ready");
  if (ready?.status === "True") return { url: status?.url ?? "" };
  // While something newer is built, what is said of the Service is about what ran before.
  const [source, built] = [of("SourceReady")?.status, of("Built")?.status];
  const isBuilding = source === "Unknown" || (source === "True" && built === "Unknown");
  if (ready?.status !== "False" || isBuilding) return undefined;
  return { url: "", failure: `${ready.reason}: ${ready.message}` };
}

/** Says what is new of a build log. */
class LogLines {
  readonly #versionBefore: string | undefined;
  readonly #say: (line: string) => void;
  #said = "";

  constructor(versionBefore: string | undefined, say: (line: string) => void) {
    this.#versionBefore = versionBefore;
    this.#say = say;
  }

  take(map: LogMap | undefined): undefined {
    if (map === undefined || map.metadata?.resourceVersion === this.#versionBefore) return;
    const text = map.data?.log ?? "";
    const fresh = text.startsWith(this.#said) ? text.slice(this.#said.length) : text;
    this.#said = text;
    // What went wrong is said at the end.
    for (const line of fresh.split("\n")) if (line !== "" && !line.startsWith("error: ")) this.#say(`  ${line}`);
  }
}

function nameOf({ metadata }: KubeObject): string {
  return metadata?.name ?? "";
}

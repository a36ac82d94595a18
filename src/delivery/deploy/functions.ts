/**
 * Deploys functions of a tree: each folder becomes the source of a Function, which is written with the rights of whoever pushed; its build's lines are said as they come, and it is
 * followed until it is ready or will not be.
 */
import { type FunctionObject, functions } from "#api/nodeless/function.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason, StatusError } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { ensureDeleted, findObject } from "#client/find-object.ts";
import { buildLogVersion } from "#client/nodeless/build-lines.ts";
import { followFunction, FunctionFailed } from "#client/nodeless/follow-function.ts";
import { tryAgain } from "#client/nodeless/try-again.ts";
import type { YamlFiles } from "#delivery/manifests/read-manifests.ts";
import { branchLabel, repositoryLabel, slugOf } from "./branch-names.ts";
import { DeployFailed } from "./deploy-failed.ts";
import type { Deployment } from "./deployment.ts";
import { functionOfFolder, type PublishSource } from "./function-of-folder.ts";
import type { FunctionFolder } from "./plan.ts";

const fieldManager = "nodeless-push";

/** Writes them all, so that they are built at the same time, and follows each. Gives their URLs. Throws {@link DeployFailed}. */
export async function deployFunctions(
  deployment: Deployment,
  folders: readonly FunctionFolder[],
  parts: { readonly files: YamlFiles; readonly publish: PublishSource },
): Promise<readonly string[]> {
  const { namespace, say } = deployment;
  const wanted: FunctionObject[] = [];
  for (const folder of folders) wanted.push(await functionOfFolder(deployment, folder, parts));
  const names = wanted.map(nameOf);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new DeployFailed(`two functions are called ${twice}`);
  for (const fn of wanted) await refuseForeign(deployment, nameOf(fn));
  const following: Promise<string>[] = [];
  for (const fn of wanted) {
    const written = await write(deployment, fn);
    say(`Function ${namespace}/${nameOf(fn)}: ${written.isChanged ? "building" : "as it was"}`);
    const end = follow(deployment, written, folders.length > 1 ? `${nameOf(fn)}: ` : "");
    end.catch(() => {}); // awaited below
    following.push(end);
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
  for (const name of gone)
    await ensureDeleted(client, { resource: functions, namespace, name }, { propagationPolicy: "Background" });
  return gone;
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

/** A function that was written. */
type Written = {
  readonly fn: FunctionObject;
  readonly isChanged: boolean;
  /** Of the build log as it was before. */
  readonly logVersion: string | undefined;
  /** It failed as it is, and is tried again: what was known of it is no news. */
  readonly before: FunctionObject | undefined;
};

async function write({ client, ownClient, namespace }: Deployment, body: FunctionObject): Promise<Written> {
  const name = nameOf(body);
  const ref = { resource: functions, namespace, name };
  try {
    const before = await findObject<FunctionObject>(ownClient, ref);
    const logVersion = await buildLogVersion(ownClient, namespace, name);
    const fn = await client.patch<FunctionObject>(ref, { type: "apply", body }, { fieldManager, force: true });
    const isChanged = before?.metadata?.generation !== fn.metadata?.generation;
    const isAgain = before !== undefined && (await tryAgain(ownClient, before, fn));
    return { fn, isChanged, logVersion, before: isAgain ? before : undefined };
  } catch (error) {
    throw refused(error, `Function ${name}`);
  }
}

/** What the API says is what whoever pushed has to know. */
function refused(error: unknown, what: string): unknown {
  return error instanceof StatusError ? new DeployFailed(`${what}: ${error.message}`, { cause: error }) : error;
}

async function follow(deployment: Deployment, written: Written, prefix: string): Promise<string> {
  const { namespace, say, signal, ownClient } = deployment;
  const { fn, logVersion, before } = written;
  try {
    const { status } = await followFunction({
      // What the build says is for whoever may push, whether or not he may read ConfigMaps.
      client: ownClient,
      namespace,
      name: nameOf(fn),
      generation: fn.metadata?.generation ?? 0,
      logVersion,
      before,
      onLine: (line) => say(`${prefix}  ${line}`),
      onWait: (what) => what !== "" && say(`${prefix}  waits: ${what}`),
      signal,
    });
    return status?.url ?? "";
  } catch (error) {
    throw error instanceof FunctionFailed ? new DeployFailed(`${prefix}${error.message}`, { cause: error }) : error;
  }
}

function nameOf({ metadata }: KubeObject): string {
  return metadata?.name ?? "";
}

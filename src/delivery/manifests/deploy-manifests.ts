/**
 * Applies a tree's manifests with the rights of whoever pushed: all of them as a trial first, so that one that is wrong leaves nothing half; then in earnest, and what is no longer
 * among them goes. Ends when all of it is ready. Of a preview only the trial: its names would be those of what is live.
 */
import { isJsonObject } from "#apimachinery/json.ts";
import { type KubeObject, parseApiVersion } from "#apimachinery/meta.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { type DiscoveredResource, discoverResources } from "#client/discovery.ts";
import { followObject } from "#client/follow-object.ts";
import { branchLabel, repositoryLabel, slugOf } from "#delivery/deploy/branch-names.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import type { Deployment } from "#delivery/deploy/deployment.ts";
import { ApplySet, type ApplySetScope, deleteMember, groupKind, type Member, partOfLabel } from "./apply-set.ts";
import { inOrder } from "./order.ts";
import type { Manifest } from "./read-manifests.ts";
import { isWaitedFor, verdictOf, type Watched } from "./readiness.ts";
import { whatPodsSay } from "./what-pods-say.ts";

const fieldManager = "nodeless-push";
const crdKind = "CustomResourceDefinition.apiextensions.k8s.io";
const servedMs = 30_000;
const lookAgainMs = 100;

/** An object that is to be applied. */
type Wanted = Member & { readonly object: KubeObject; readonly file: string };

/** Throws {@link DeployFailed}. */
export async function deployManifests(deployment: Deployment, manifests: readonly Manifest[]): Promise<void> {
  const { ownClient, repository, namespace, say, signal, isPreview } = deployment;
  const set = new ApplySet(ownClient, repository);
  let known = (await discoverResources(ownClient, signal)).resources;
  const ordered = inOrder(manifests);
  refuseTwins(ordered, namespace);
  const made = kindsMadeHere(ordered);
  const resolve = (manifest: Manifest) => wantedOf(deployment, set.id, manifest, known);
  const ready = ordered.filter((manifest) => !made.has(kindOf(manifest)));
  const trial = ready.map(resolve);
  for (const wanted of trial) await apply(deployment, wanted, true, newNamespaces(ordered));
  if (isPreview) {
    say(`${manifests.length} objects would be accepted; of a preview they are not applied`);
    return;
  }
  const before = await set.scope();
  const scope = union(before, scopeOfManifests(ordered, namespace));
  await set.write(scope);
  const applied: (Wanted & { readonly isChanged: boolean })[] = [];
  for (const manifest of ordered) {
    if (made.has(kindOf(manifest)) && !isServed(known, manifest)) known = await untilServed(deployment, manifest);
    const wanted = resolve(manifest);
    const isChanged = await apply(deployment, wanted, false);
    if (isChanged) say(`${wanted.kind} ${wanted.name}: applied`);
    applied.push({ ...wanted, isChanged });
  }
  if (applied.every(({ isChanged }) => !isChanged)) say(`${applied.length} objects: as they were`);
  const kept = new Set(applied.map(keyOf));
  for (const member of await set.members(scope, known)) {
    if (kept.has(keyOf(member))) continue;
    await asPusher(`${member.kind} ${member.name}`, () => deleteMember(deployment.client, member));
    say(`${member.kind} ${member.name}: deleted`);
  }
  await set.write(scopeOfManifests(ordered, namespace));
  await Promise.all(applied.filter(({ kind }) => isWaitedFor(kind)).map((one) => waitFor(deployment, one)));
}

/** Takes away all that manifests of this repository made, with our own rights: what is not owned by it, too. */
export async function removeManifests(
  deployment: Pick<Deployment, "ownClient" | "repository" | "signal">,
): Promise<void> {
  const { ownClient, repository, signal } = deployment;
  const set = new ApplySet(ownClient, repository);
  const scope = await set.scope();
  if (scope.kinds.size === 0) return;
  const { resources } = await discoverResources(ownClient, signal);
  for (const member of await set.members(scope, resources)) await deleteMember(ownClient, member);
  await set.write({ kinds: new Set(), namespaces: new Set() });
}

function kindOf({ object }: Manifest): string {
  const { group } = parseApiVersion(String(object["apiVersion"]));
  return groupKind({ kind: String(object["kind"]), group });
}

function metaOf({ object }: Manifest): NonNullable<KubeObject["metadata"]> {
  return isJsonObject(object["metadata"]) ? (object["metadata"] as NonNullable<KubeObject["metadata"]>) : {};
}

function wantedOf(
  { repository, namespace: own, branch, owner }: Deployment,
  id: string,
  manifest: Manifest,
  known: readonly DiscoveredResource[],
): Wanted {
  const kind = kindOf(manifest);
  const metadata = metaOf(manifest);
  const { name, generateName } = metadata;
  const found = findResource(known, manifest);
  if (found === undefined)
    throw new DeployFailed(
      `${manifest.file}: there is no kind ${kind} of ${String(manifest.object["apiVersion"])} here`,
    );
  if (name === undefined)
    throw new DeployFailed(
      `${manifest.file}: ${kind} has no name${generateName === undefined ? "" : "; generateName cannot be applied"}`,
    );
  if (kind === "Repository.nodeless.dev" && name === repository.metadata?.name)
    throw new DeployFailed(`${manifest.file}: a Repository does not deploy itself`);
  const namespace = found.isNamespaced ? (metadata.namespace ?? own) : undefined;
  const { namespace: _namespace, ...rest } = metadata;
  const object = {
    ...manifest.object,
    metadata: {
      ...rest,
      ...(namespace === undefined ? {} : { namespace }),
      labels: {
        ...metadata.labels,
        [partOfLabel]: id,
        [repositoryLabel]: repository.metadata?.name ?? "",
        [branchLabel]: slugOf(branch),
      },
      ...(namespace === own ? { ownerReferences: [...(metadata.ownerReferences ?? []), owner] } : {}),
    },
  } as KubeObject;
  const { group, version, resource } = found;
  return { kind, resource: { group, version, resource }, namespace, name, object, file: manifest.file };
}

function findResource(known: readonly DiscoveredResource[], { object }: Manifest): DiscoveredResource | undefined {
  const { group, version } = parseApiVersion(String(object["apiVersion"]));
  const found = known.find((one) => one.group === group && one.kind === object["kind"] && !one.resource.includes("/"));
  return found && { ...found, version };
}

/** Whether it changed anything. `missing` are namespaces that are not there yet: a trial cannot look into them. */
async function apply(
  { client, signal }: Deployment,
  { kind, resource, namespace, name, object, file }: Wanted,
  dryRun: boolean,
  missing: ReadonlySet<string> = new Set(),
): Promise<boolean> {
  if (dryRun && namespace !== undefined && missing.has(namespace)) return true;
  const ref = { resource, name, ...(namespace === undefined ? {} : { namespace }) };
  return await asPusher(`${file}: ${kind} ${name}`, async () => {
    const before = dryRun ? undefined : await client.get(ref, { signal }).catch(() => undefined);
    const options = { fieldManager, force: true, dryRun, fieldValidation: "Strict" as const, signal };
    const after = await client.patch(ref, { type: "apply", body: object }, options);
    return before?.metadata?.resourceVersion !== after.metadata?.resourceVersion;
  });
}

/** What the API refuses is what whoever pushed has to know. */
async function asPusher<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    throw new DeployFailed(`${what}: ${error.message}`, { cause: error });
  }
}

async function waitFor(deployment: Deployment, wanted: Wanted): Promise<void> {
  const { ownClient, signal } = deployment;
  const { kind, resource, namespace, name } = wanted;
  const ref = { resource, name, ...(namespace === undefined ? {} : { namespace }) };
  let waitsFor = "";
  const decide = (object: Watched) => {
    const verdict = verdictOf(kind, object);
    if (verdict.isReady) return verdict;
    waitsFor = verdict.waitsFor;
    return verdict.failure === undefined ? undefined : verdict;
  };
  try {
    const verdict = await followObject<Watched, ReturnType<typeof verdictOf>>(ownClient, ref, { decide, signal });
    if (!verdict.isReady) throw new DeployFailed(`${kind} ${name}: ${verdict.failure}`);
  } catch (error) {
    const pods = await whatPodsSay(ownClient, wanted).catch(() => []);
    for (const line of pods) deployment.say(`  ${line}`);
    if (error instanceof DeployFailed || !signal.aborted) throw error;
    deployment.say(`${kind} ${name}: ${waitsFor}`);
    throw error;
  }
}

function refuseTwins(manifests: readonly Manifest[], own: string): void {
  const seen = new Map<string, string>();
  for (const manifest of manifests) {
    const { name = "", namespace = own } = metaOf(manifest);
    const key = `${kindOf(manifest)} ${namespace}/${name}`;
    const file = seen.get(key);
    if (file !== undefined)
      throw new DeployFailed(`${kindOf(manifest)} ${name} is there twice: ${file}, ${manifest.file}`);
    seen.set(key, manifest.file);
  }
}

/** Kinds that definitions among the manifests make. */
function kindsMadeHere(manifests: readonly Manifest[]): ReadonlySet<string> {
  return new Set(
    manifests.flatMap((manifest) => {
      if (kindOf(manifest) !== crdKind) return [];
      const spec = manifest.object["spec"] as { group?: string; names?: { kind?: string } } | undefined;
      return [groupKind({ kind: spec?.names?.kind ?? "", group: spec?.group ?? "" })];
    }),
  );
}

function newNamespaces(manifests: readonly Manifest[]): ReadonlySet<string> {
  return new Set(manifests.filter((one) => kindOf(one) === "Namespace").map((one) => metaOf(one).name ?? ""));
}

function isServed(known: readonly DiscoveredResource[], manifest: Manifest): boolean {
  return findResource(known, manifest) !== undefined;
}

async function untilServed(
  { ownClient, signal }: Deployment,
  manifest: Manifest,
): Promise<readonly DiscoveredResource[]> {
  for (let waitedMs = 0; ; waitedMs += lookAgainMs) {
    const { resources } = await discoverResources(ownClient, signal);
    if (isServed(resources, manifest)) return resources;
    if (waitedMs > servedMs) throw new DeployFailed(`${kindOf(manifest)} is not served after ${servedMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
    signal.throwIfAborted();
  }
}

function scopeOfManifests(manifests: readonly Manifest[], own: string): ApplySetScope {
  const namespaces = manifests.flatMap((one) => metaOf(one).namespace ?? []).filter((one) => one !== own);
  return { kinds: new Set(manifests.map(kindOf)), namespaces: new Set(namespaces) };
}

function union(one: ApplySetScope, other: ApplySetScope): ApplySetScope {
  return {
    kinds: new Set([...one.kinds, ...other.kinds]),
    namespaces: new Set([...one.namespaces, ...other.namespaces]),
  };
}

function keyOf({ kind, namespace = "", name }: Member): string {
  return `${kind} ${namespace}/${name}`;
}

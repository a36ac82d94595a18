/**
 * Applies a tree's manifests with the rights of whoever pushed: all of them as a trial first, so that one that is wrong leaves nothing half; then in earnest, until all of it is
 * ready; and what is no longer among them goes at the very end.
 */
import { isJsonObject } from "#apimachinery/json.ts";
import { type KubeObject, parseApiVersion } from "#apimachinery/meta.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { type DiscoveredResource, discoverResources } from "#client/discovery.ts";
import { findObject } from "#client/find-object.ts";
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

/** One deployment of manifests, in three parts: {@link try}, {@link apply}, {@link prune}. All throw {@link DeployFailed}. */
export class ManifestDeployment {
  readonly #deployment: Deployment;
  readonly #manifests: readonly Manifest[];
  readonly #set: ApplySet;
  #known: readonly DiscoveredResource[] = [];
  #applied: readonly Wanted[] = [];

  constructor(deployment: Deployment, manifests: readonly Manifest[]) {
    this.#deployment = deployment;
    this.#manifests = inOrder(manifests);
    this.#set = new ApplySet(deployment.ownClient, deployment.repository);
  }

  /** Writes nothing. What stands on kinds or namespaces that are still to be made cannot be tried. */
  async try(): Promise<void> {
    const { ownClient, namespace, signal } = this.#deployment;
    if (this.#manifests.length === 0) return;
    refuseTwins(this.#manifests, namespace);
    this.#known = (await discoverResources(ownClient, signal)).resources;
    const made = kindsMadeHere(this.#manifests);
    const trial = this.#manifests.filter((manifest) => !made.has(kindOf(manifest)));
    const wanted = trial.map((manifest) => this.#resolve(manifest));
    for (const one of wanted) await apply(this.#deployment, one, true, newNamespaces(this.#manifests));
  }

  /** Ends when all that was applied is ready. */
  async apply(): Promise<void> {
    const { namespace, say } = this.#deployment;
    if (this.#manifests.length === 0) return;
    await this.#set.write(union(await this.#set.scope(), scopeOfManifests(this.#manifests, namespace)));
    const made = kindsMadeHere(this.#manifests);
    const applied: Wanted[] = [];
    let changedCount = 0;
    for (const manifest of this.#manifests) {
      if (made.has(kindOf(manifest)) && !isServed(this.#known, manifest))
        this.#known = await untilServed(this.#deployment, manifest);
      const wanted = this.#resolve(manifest);
      applied.push(wanted);
      if (!(await apply(this.#deployment, wanted, false))) continue;
      changedCount++;
      say(`${wanted.kind} ${wanted.name}: applied`);
    }
    if (changedCount === 0)
      say(`Manifests: ${applied.length === 1 ? "one object" : `${applied.length} objects`} as before`);
    this.#applied = applied;
    await Promise.all(applied.filter(({ kind }) => isWaitedFor(kind)).map((one) => waitFor(this.#deployment, one)));
  }

  /** Deletes what is no longer among them. Last of all: what fails before must find everything as it was. */
  async prune(): Promise<void> {
    const { client, ownClient, namespace, say, signal } = this.#deployment;
    const scope = await this.#set.scope();
    if (scope.kinds.size === 0) return;
    if (this.#manifests.length === 0) this.#known = (await discoverResources(ownClient, signal)).resources;
    const kept = new Set(this.#applied.map(keyOf));
    for (const member of await this.#set.members(scope, this.#known)) {
      if (kept.has(keyOf(member))) continue;
      await asPusher(`${member.kind} ${member.name}`, () => deleteMember(client, member));
      say(`${member.kind} ${member.name}: deleted`);
    }
    await this.#set.write(scopeOfManifests(this.#manifests, namespace));
  }

  #resolve(manifest: Manifest): Wanted {
    return wantedOf(this.#deployment, this.#set.id, manifest, this.#known);
  }
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
  { client, ownClient, signal }: Deployment,
  { kind, resource, namespace, name, object, file }: Wanted,
  dryRun: boolean,
  missing: ReadonlySet<string> = new Set(),
): Promise<boolean> {
  if (dryRun && namespace !== undefined && missing.has(namespace)) return true;
  const ref = { resource, name, ...(namespace === undefined ? {} : { namespace }) };
  return await asPusher(`${file}: ${kind} ${name}`, async () => {
    // With our own rights: whoever may write need not be allowed to read.
    const before = dryRun ? undefined : await findObject(ownClient, ref, { signal });
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
    // Beside the error itself what they say is an extra.
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

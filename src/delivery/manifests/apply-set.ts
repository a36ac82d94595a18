/**
 * Everything that a branch's manifests made, as kubectl's ApplySet has it (KEP-3659): its parent is the Repository, whose annotations name the kinds and namespaces where members may
 * be; each member has a label. So what is no longer in the manifests is found again and deleted, also by `kubectl apply --prune`'s rules.
 */
import { createHash } from "node:crypto";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { DiscoveredResource } from "#client/discovery.ts";
import { deliveryGroup, repositories, type RepositoryObject } from "#delivery/kinds.ts";

export const partOfLabel = "applyset.kubernetes.io/part-of";
const idLabel = "applyset.kubernetes.io/id";
const toolingAnnotation = "applyset.kubernetes.io/tooling";
const kindsAnnotation = "applyset.kubernetes.io/contains-group-kinds";
const namespacesAnnotation = "applyset.kubernetes.io/additional-namespaces";
const tooling = "nodeless/v1";

/** Where members are, or may be. */
export type ApplySetScope = { readonly kinds: ReadonlySet<string>; readonly namespaces: ReadonlySet<string> };

/** One member. `kind` is "Deployment.apps". */
export type Member = {
  readonly kind: string;
  readonly resource: GroupVersionResource;
  readonly namespace: string | undefined;
  readonly name: string;
};

/** The set's identity, on its members and on its parent. */
export function applySetId({ metadata }: RepositoryObject): string {
  const whole = [metadata?.name, metadata?.namespace, "Repository", deliveryGroup].join(".");
  return `applyset-${createHash("sha256").update(whole).digest("base64url")}-v1`;
}

/** As the parent says it. */
function scopeOf({ metadata }: RepositoryObject): ApplySetScope {
  const list = (key: string) => (metadata?.annotations?.[key] ?? "").split(",").filter(Boolean);
  return { kinds: new Set(list(kindsAnnotation)), namespaces: new Set(list(namespacesAnnotation)) };
}

/** "Deployment.apps", and "ConfigMap" of the core group. */
export function groupKind({ kind, group }: { readonly kind: string; readonly group: string }): string {
  return group === "" ? kind : `${kind}.${group}`;
}

/** The set as it is on the server, written with our own rights. */
export class ApplySet {
  readonly #client: Client;
  readonly #repository: RepositoryObject;
  readonly id: string;

  constructor(client: Client, repository: RepositoryObject) {
    this.#client = client;
    this.#repository = repository;
    this.id = applySetId(repository);
  }

  /** What the parent says now: informers may be behind. */
  async scope(): Promise<ApplySetScope> {
    return scopeOf(await this.#client.get<RepositoryObject>(this.#ref));
  }

  /** Before anything is applied it names all that there was and will be; afterwards what there is. */
  async write({ kinds, namespaces }: ApplySetScope): Promise<void> {
    const own = this.#repository.metadata?.namespace ?? "";
    const others = [...namespaces].filter((namespace) => namespace !== own).toSorted();
    const annotations = {
      [toolingAnnotation]: tooling,
      [kindsAnnotation]: [...kinds].toSorted().join(","),
      [namespacesAnnotation]: others.length === 0 ? null : others.join(","),
    };
    const body = { metadata: { labels: { [idLabel]: this.id }, annotations } };
    await this.#client.patch(this.#ref, { type: "merge", body });
  }

  /** Members on the server, wherever the scope says that they may be. Kinds that are gone have none. */
  async members(
    { kinds, namespaces }: ApplySetScope,
    known: readonly DiscoveredResource[],
  ): Promise<readonly Member[]> {
    const own = this.#repository.metadata?.namespace ?? "";
    const found: Member[] = [];
    for (const resource of known) {
      const kind = groupKind(resource);
      if (!kinds.has(kind)) continue;
      for (const namespace of resource.isNamespaced ? [own, ...namespaces] : [undefined])
        found.push(...(await this.#list(resource, kind, namespace)));
    }
    return found;
  }

  async #list(
    { group, version, resource }: DiscoveredResource,
    kind: string,
    namespace: string | undefined,
  ): Promise<readonly Member[]> {
    const ref = { resource: { group, version, resource }, ...(namespace === undefined ? {} : { namespace }) };
    try {
      const selection = { labelSelector: `${partOfLabel}=${this.id}`, metadataOnly: true };
      const { items } = await this.#client.list<KubeObject>(ref, selection);
      return items
        .filter(({ metadata }) => metadata?.deletionTimestamp === undefined)
        .map(({ metadata }) => ({ kind, resource: ref.resource, namespace, name: metadata?.name ?? "" }));
    } catch (error) {
      if (hasReason(error, "NotFound")) return [];
      throw error;
    }
  }

  get #ref(): { readonly resource: GroupVersionResource; readonly namespace: string; readonly name: string } {
    const { namespace = "", name = "" } = this.#repository.metadata ?? {};
    return { resource: repositories, namespace, name };
  }
}

/** Deletes members with somebody's rights; what is gone already is no failure. */
export async function deleteMember(client: Client, { resource, namespace, name }: Member): Promise<void> {
  try {
    const ref = { resource, name, ...(namespace === undefined ? {} : { namespace }) };
    await client.delete(ref, { propagationPolicy: "Background" });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
  }
}

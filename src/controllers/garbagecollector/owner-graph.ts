/**
 * Who owns whom, over all kinds: a graph of names only. Changes come in from informers; what may have to be deleted or orphaned goes out through {@link GraphListener}. Rules as
 * kube-controller-manager's graph builder.
 */
import type { KubeObject, OwnerReference } from "#apimachinery/meta.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import type { DiscoveredResource } from "#client/discovery.ts";

export const foregroundFinalizer = "foregroundDeletion";
export const orphanFinalizer = "orphan";

/** Where an object is found. `resource` is undefined for owners whose kind the server does not know. */
export type Identity = {
  readonly resource: DiscoveredResource | undefined;
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
};

const noOwners: readonly OwnerReference[] = [];

/** What all objects of a kind have in common. */
type Kind = Pick<Identity, "resource" | "apiVersion" | "kind">;

/** One object, and those that name it as an owner. There is one for each object of the cluster, so it is kept small. */
export class GraphNode {
  readonly uid: string;
  namespace: string;
  name: string;
  kind: Kind;
  /** Changed by the graph alone. */
  owners: readonly OwnerReference[] = noOwners;
  /** Deletion has begun. */
  isDeleted = false;
  /** Deletion has begun and waits for the dependents. */
  isDeletingDependents = false;
  /** Known only because others name it as an owner; nobody has seen it yet. */
  isVirtual = false;
  /** Most objects own nothing, and many one other. */
  #dependents: GraphNode | Set<GraphNode> | undefined;

  constructor(kind: Kind, of: { readonly uid: string; readonly namespace: string; readonly name: string }) {
    this.uid = of.uid;
    this.namespace = of.namespace;
    this.name = of.name;
    this.kind = kind;
  }

  get identity(): Identity {
    const { uid, namespace, name } = this;
    return { ...this.kind, namespace, name, uid };
  }

  get dependents(): Iterable<GraphNode> {
    if (this.#dependents === undefined) return [];
    return this.#dependents instanceof GraphNode ? [this.#dependents] : this.#dependents;
  }

  get hasDependents(): boolean {
    return this.#dependents !== undefined;
  }

  /** For the graph. */
  add(dependent: GraphNode): void {
    const there = this.#dependents;
    if (there === undefined) this.#dependents = dependent;
    else if (!(there instanceof GraphNode)) there.add(dependent);
    else if (there !== dependent) this.#dependents = new Set([there, dependent]);
  }

  /** For the graph. */
  remove(dependent: GraphNode): void {
    const there = this.#dependents;
    if (there === dependent) this.#dependents = undefined;
    else if (there instanceof Set && there.delete(dependent) && there.size === 0) this.#dependents = undefined;
  }
}

/** Told what a change asks for. */
export type GraphListener = {
  /** Whether the object must go should be looked at. */
  readonly onSuspect: (node: GraphNode) => void;
  /** The object is being deleted and wants its dependents to be let go. */
  readonly onOrphan: (node: GraphNode) => void;
  /** An object names an owner that it must not have: of another namespace. */
  readonly onWrongOwner: (node: GraphNode, owner: OwnerReference) => void;
};

export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #kinds = new Map<string, Kind>();
  readonly #listener: GraphListener;

  constructor(listener: GraphListener) {
    this.#listener = listener;
  }

  get size(): number {
    return this.#nodes.size;
  }

  find(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  nodes(): Iterable<GraphNode> {
    return this.#nodes.values();
  }

  /** An object was seen, or changed. */
  observe(object: KubeObject, resource: DiscoveredResource, apiVersion: string): void {
    const {
      uid = "",
      namespace = "",
      name = "",
      ownerReferences = [],
      deletionTimestamp,
      finalizers = [],
    } = object.metadata ?? {};
    const kind = this.#kindOf({ resource, apiVersion, kind: resource.kind });
    const known = this.#nodes.get(uid);
    const node = known ?? new GraphNode(kind, { uid, namespace, name });
    if (known === undefined) this.#nodes.set(uid, node);
    else if (known.isVirtual) this.#makeReal(known, kind, { namespace, name });
    this.#setOwners(node, ownerReferences);
    this.#setDeletion(node, deletionTimestamp !== undefined, finalizers);
  }

  /** An object is gone. */
  forget(uid: string): void {
    const node = this.#nodes.get(uid);
    if (node === undefined) return;
    this.#nodes.delete(uid);
    for (const { uid: ownerUid } of node.owners) {
      const owner = this.#nodes.get(ownerUid);
      if (owner === undefined) continue;
      owner.remove(node);
      if (owner.isDeletingDependents) this.#listener.onSuspect(owner);
      this.#dropIfUseless(owner);
    }
    for (const dependent of node.dependents) this.#listener.onSuspect(dependent);
  }

  /** Dependents may name an owner by its uid and put it into the wrong namespace; now that it was seen, they are looked at again. */
  #makeReal(node: GraphNode, kind: Kind, { namespace, name }: Pick<Identity, "namespace" | "name">): void {
    node.isVirtual = false;
    node.kind = kind;
    node.namespace = namespace;
    node.name = name;
    for (const dependent of node.dependents) if (!isRightOwner(node, dependent)) this.#reportWrong(dependent, node);
  }

  #setOwners(node: GraphNode, owners: readonly OwnerReference[]): void {
    const before = node.owners;
    if (semanticEqual(before, owners)) return;
    node.owners = this.#shared(owners);
    const uids = new Set(owners.map((owner) => owner.uid));
    for (const old of before) if (!uids.has(old.uid)) this.#removeDependent(old, node);
    const blocking = new Map(before.map((owner) => [owner.uid, owner.blockOwnerDeletion === true]));
    for (const owner of owners) {
      if (!blocking.has(owner.uid)) this.#addDependent(owner, node);
      else if (blocking.get(owner.uid) && !owner.blockOwnerDeletion) this.#unblock(owner.uid);
    }
    if (before.length > 0) this.#listener.onSuspect(node);
  }

  /** The very references that another dependent of the first owner has, where they say the same; else with the owners' own names and uids, so that these are kept once. */
  #shared(owners: readonly OwnerReference[]): readonly OwnerReference[] {
    const [owner] = owners;
    if (owner === undefined) return noOwners;
    const [first] = this.#nodes.get(owner.uid)?.dependents ?? [];
    if (first !== undefined && semanticEqual(first.owners, owners)) return first.owners;
    return owners.map((one) => {
      const known = this.#nodes.get(one.uid);
      if (known === undefined || known.name !== one.name || known.kind.apiVersion !== one.apiVersion) return one;
      return { ...one, apiVersion: known.kind.apiVersion, name: known.name, uid: known.uid };
    });
  }

  #kindOf(kind: Kind): Kind {
    const key = `${kind.resource?.resource} ${kind.apiVersion} ${kind.kind}`;
    const known = this.#kinds.get(key);
    if (known !== undefined && known.resource === kind.resource) return known;
    this.#kinds.set(key, kind);
    return kind;
  }

  #addDependent(owner: OwnerReference, node: GraphNode): void {
    const known = this.#nodes.get(owner.uid);
    if (known !== undefined) {
      known.add(node);
      if (!known.isVirtual && !isRightOwner(known, node)) this.#reportWrong(node, known);
      // It came too late for the announcement that everything of this owner must go.
      if (known.isDeletingDependents) this.#listener.onSuspect(node);
      return;
    }
    const { apiVersion, kind, name, uid } = owner;
    const { namespace } = node;
    const virtual = new GraphNode({ resource: undefined, apiVersion, kind }, { uid, namespace, name });
    virtual.isVirtual = true;
    virtual.add(node);
    this.#nodes.set(uid, virtual);
    this.#listener.onSuspect(virtual);
  }

  #removeDependent(owner: OwnerReference, node: GraphNode): void {
    const known = this.#nodes.get(owner.uid);
    if (known === undefined) return;
    known.remove(node);
    if (owner.blockOwnerDeletion) this.#unblock(owner.uid);
    this.#dropIfUseless(known);
  }

  #unblock(uid: string): void {
    const owner = this.#nodes.get(uid);
    if (owner?.isDeletingDependents) this.#listener.onSuspect(owner);
  }

  #setDeletion(node: GraphNode, isDeleted: boolean, finalizers: readonly string[]): void {
    if (!isDeleted) return;
    const isNew = !node.isDeleted;
    node.isDeleted = true;
    if (finalizers.includes(orphanFinalizer)) this.#listener.onOrphan(node);
    const wantsForeground = finalizers.includes(foregroundFinalizer);
    if (wantsForeground && !node.isDeletingDependents) {
      node.isDeletingDependents = true;
      for (const dependent of node.dependents) this.#listener.onSuspect(dependent);
      this.#listener.onSuspect(node);
    } else if (isNew) this.#listener.onSuspect(node);
  }

  #reportWrong(dependent: GraphNode, owner: GraphNode): void {
    const reference = dependent.owners.find(({ uid }) => uid === owner.uid);
    if (reference !== undefined) this.#listener.onWrongOwner(dependent, reference);
    this.#listener.onSuspect(dependent);
  }

  #dropIfUseless(node: GraphNode): void {
    if (node.isVirtual && !node.hasDependents) this.#nodes.delete(node.uid);
  }
}

/** A namespaced owner can own only what is in its namespace; uid, kind and name must be those of the reference. */
export function isRightOwner(owner: GraphNode, dependent: GraphNode): boolean {
  const { namespace, kind, name, uid } = owner;
  const reference = dependent.owners.find((one) => one.uid === uid);
  if (reference === undefined || reference.kind !== kind.kind || reference.name !== name) return false;
  return namespace === "" || namespace === dependent.namespace;
}

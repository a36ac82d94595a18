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

/** One object, and those that name it as an owner. */
export type GraphNode = {
  identity: Identity;
  /** Changed by the graph alone. Most objects own nothing. */
  dependents: ReadonlySet<GraphNode>;
  owners: readonly OwnerReference[];
  /** Deletion has begun. */
  isDeleted: boolean;
  /** Deletion has begun and waits for the dependents. */
  isDeletingDependents: boolean;
  /** Known only because others name it as an owner; nobody has seen it yet. */
  isVirtual: boolean;
};

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
    const identity: Identity = { resource, apiVersion, kind: resource.kind, namespace, name, uid };
    const known = this.#nodes.get(uid);
    const node = known ?? newNode(identity);
    if (known === undefined) this.#nodes.set(uid, node);
    else if (known.isVirtual) this.#makeReal(known, identity);
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
      removeFrom(owner, node);
      if (owner.isDeletingDependents) this.#listener.onSuspect(owner);
      this.#dropIfUseless(owner);
    }
    for (const dependent of node.dependents) this.#listener.onSuspect(dependent);
  }

  /** Dependents may name an owner by its uid and put it into the wrong namespace; now that it was seen, they are looked at again. */
  #makeReal(node: GraphNode, identity: Identity): void {
    node.isVirtual = false;
    node.identity = identity;
    for (const dependent of node.dependents) if (!isRightOwner(node, dependent)) this.#reportWrong(dependent, node);
  }

  #setOwners(node: GraphNode, owners: readonly OwnerReference[]): void {
    const before = node.owners;
    if (semanticEqual(before, owners)) return;
    node.owners = owners.map((owner) => this.#sharedReference(owner));
    const uids = new Set(owners.map((owner) => owner.uid));
    for (const old of before) if (!uids.has(old.uid)) this.#removeDependent(old, node);
    const blocking = new Map(before.map((owner) => [owner.uid, owner.blockOwnerDeletion === true]));
    for (const owner of owners) {
      if (!blocking.has(owner.uid)) this.#addDependent(owner, node);
      else if (blocking.get(owner.uid) && !owner.blockOwnerDeletion) this.#unblock(owner.uid);
    }
    if (before.length > 0) this.#listener.onSuspect(node);
  }

  /** The very reference that another dependent of this owner has, where it says the same: an owner's name is kept once. */
  #sharedReference(owner: OwnerReference): OwnerReference {
    const [first] = this.#nodes.get(owner.uid)?.dependents ?? [];
    const theirs = first?.owners.find(({ uid }) => uid === owner.uid);
    return theirs !== undefined && semanticEqual(theirs, owner) ? theirs : owner;
  }

  #addDependent(owner: OwnerReference, node: GraphNode): void {
    const known = this.#nodes.get(owner.uid);
    if (known !== undefined) {
      addTo(known, node);
      if (!known.isVirtual && !isRightOwner(known, node)) this.#reportWrong(node, known);
      // It came too late for the announcement that everything of this owner must go.
      if (known.isDeletingDependents) this.#listener.onSuspect(node);
      return;
    }
    const { apiVersion, kind, name, uid } = owner;
    const { namespace } = node.identity;
    const virtual = newNode({ resource: undefined, apiVersion, kind, namespace, name, uid });
    virtual.isVirtual = true;
    addTo(virtual, node);
    this.#nodes.set(uid, virtual);
    this.#listener.onSuspect(virtual);
  }

  #removeDependent(owner: OwnerReference, node: GraphNode): void {
    const known = this.#nodes.get(owner.uid);
    if (known === undefined) return;
    removeFrom(known, node);
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
    const reference = dependent.owners.find(({ uid }) => uid === owner.identity.uid);
    if (reference !== undefined) this.#listener.onWrongOwner(dependent, reference);
    this.#listener.onSuspect(dependent);
  }

  #dropIfUseless(node: GraphNode): void {
    if (node.isVirtual && node.dependents.size === 0) this.#nodes.delete(node.identity.uid);
  }
}

/** A namespaced owner can own only what is in its namespace; uid, kind and name must be those of the reference. */
export function isRightOwner(owner: GraphNode, dependent: GraphNode): boolean {
  const { namespace, kind, name, uid } = owner.identity;
  const reference = dependent.owners.find((one) => one.uid === uid);
  if (reference === undefined || reference.kind !== kind || reference.name !== name) return false;
  return namespace === "" || namespace === dependent.identity.namespace;
}

const none: ReadonlySet<GraphNode> = new Set();

function addTo(owner: GraphNode, dependent: GraphNode): void {
  if (owner.dependents === none) owner.dependents = new Set();
  (owner.dependents as Set<GraphNode>).add(dependent);
}

function removeFrom(owner: GraphNode, dependent: GraphNode): void {
  if (owner.dependents === none) return;
  const dependents = owner.dependents as Set<GraphNode>;
  dependents.delete(dependent);
  if (dependents.size === 0) owner.dependents = none;
}

function newNode(identity: Identity): GraphNode {
  return {
    identity,
    dependents: none,
    owners: [],
    isDeleted: false,
    isDeletingDependents: false,
    isVirtual: false,
  };
}

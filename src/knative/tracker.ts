/**
 * Follows objects of any kind that others refer to: whoever asked for one is told when it appears, changes or goes. As upstream's `knative.dev/pkg/tracker`, with one informer a kind, made
 * when the kind is first referred to and shared with the rest of the process.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf } from "#client/object-store.ts";
import type { ObjectReference } from "./duck.ts";

/** The kind of a reference is not known to the API server. */
export class UnknownKind extends Error {
  readonly kind = "UnknownKind";

  constructor({ apiVersion, kind }: ObjectReference) {
    super(`no matches for kind ${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}`);
  }
}

/** By version, or by group alone. */
export type TrackedReference = ObjectReference & { readonly group?: string };

type Definition = KubeObject & {
  readonly spec?: { readonly versions?: readonly { readonly name: string; readonly storage?: boolean }[] };
};

/** What it works with. */
export type TrackerOptions = {
  readonly client: Client;
  readonly informers: InformerFactory;
  /** Called with the key of whoever asked for an object that has changed. */
  readonly onChange: (follower: string) => void;
};

const definitions: GroupVersionResource = {
  group: "apiextensions.k8s.io",
  version: "v1",
  resource: "customresourcedefinitions",
};

/** The resource of a kind, by upstream's rule: lower case and plural. */
export function resourceOf({ apiVersion = "", kind = "" }: ObjectReference): GroupVersionResource {
  const slash = apiVersion.indexOf("/");
  const lower = kind.toLowerCase();
  const plural = lower.endsWith("s") ? `${lower}es` : lower.endsWith("y") ? `${lower.slice(0, -1)}ies` : `${lower}s`;
  return { group: apiVersion.slice(0, Math.max(slash, 0)), version: apiVersion.slice(slash + 1), resource: plural };
}

/** Told by one controller of what its objects refer to. */
export class Tracker {
  readonly #options: TrackerOptions;
  readonly #informers = new Map<string, Informer<KubeObject>>();
  /** Who wants an object, by `resource/namespace/name`. */
  readonly #followers = new Map<string, Set<string>>();
  /** What somebody wants. */
  readonly #wanted = new Map<string, Set<string>>();
  /** Whoever refers to a kind that there is not. */
  readonly #waiting = new Set<string>();
  readonly #disconnect: (() => void)[] = [];
  #hasDefinitions = false;

  constructor(options: TrackerOptions) {
    this.#options = options;
  }

  /** What was asked for so far is of no interest any more. To be called at the start of each look at an object. */
  forget(follower: string): void {
    this.#waiting.delete(follower);
    for (const target of this.#wanted.get(follower) ?? []) {
      const followers = this.#followers.get(target);
      followers?.delete(follower);
      if (followers?.size === 0) this.#followers.delete(target);
    }
    this.#wanted.delete(follower);
  }

  /** The object as it is now, or undefined; its follower is told of changes from now on. Throws {@link UnknownKind}. */
  async find<T extends KubeObject>(
    wanted: TrackedReference,
    follower: string,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    const reference = await this.#withVersion(wanted, follower, signal);
    const resource = resourceOf(reference);
    const informer = await this.#informer(reference, resource, follower, signal);
    const { namespace = "", name = "" } = reference;
    const target = `${keyOfResource(resource)}/${namespace}/${name}`;
    add(this.#followers, target, follower);
    add(this.#wanted, follower, target);
    await informer.waitForSync(signal);
    return informer.lister.find(namespace, name) as T | undefined;
  }

  /** Ends all following. */
  stop(): void {
    for (const disconnect of this.#disconnect.splice(0)) disconnect();
  }

  /** A reference by group means the version in which its kind is kept. As upstream's feature `kreference-group`: for custom resources only. */
  async #withVersion(reference: TrackedReference, follower: string, signal: AbortSignal): Promise<ObjectReference> {
    const { group, apiVersion, ...rest } = reference;
    if (apiVersion || !group) return reference;
    const name = `${resourceOf(rest).resource}.${group}`;
    try {
      const { spec } = await this.#options.client.get<Definition>({ resource: definitions, name }, { signal });
      const version = spec?.versions?.find(({ storage }) => storage)?.name ?? "";
      return { ...rest, apiVersion: `${group}/${version}` };
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
      this.#await(follower);
      throw new UnknownKind({ ...rest, apiVersion: group });
    }
  }

  /** Whoever refers to a kind that there is not is told when kinds change. */
  #await(follower: string): void {
    this.#waiting.add(follower);
    this.#followDefinitions();
  }

  async #informer(
    reference: ObjectReference,
    resource: GroupVersionResource,
    follower: string,
    signal: AbortSignal,
  ): Promise<Informer<KubeObject>> {
    const key = keyOfResource(resource);
    const known = this.#informers.get(key);
    if (known !== undefined) return known;
    if (!(await this.#isServed(resource, signal))) {
      this.#await(follower);
      throw new UnknownKind(reference);
    }
    // Somebody else may have waited for the same.
    const made = this.#informers.get(key) ?? this.#options.informers.informer<KubeObject>({ resource });
    if (!this.#informers.has(key)) this.#follow(key, made);
    return made;
  }

  #follow(key: string, informer: Informer<KubeObject>): void {
    this.#informers.set(key, informer);
    const tell = (object: KubeObject) => {
      const name = keyOf(object);
      const target = `${key}/${name.includes("/") ? name : `/${name}`}`;
      for (const follower of this.#followers.get(target) ?? []) this.#options.onChange(follower);
    };
    this.#disconnect.push(
      informer.addHandler({ onAdd: tell, onUpdate: (_before, object) => tell(object), onDelete: tell }),
    );
  }

  async #isServed(resource: GroupVersionResource, signal: AbortSignal): Promise<boolean> {
    if (resource.version === "" || this.#options.informers.find(resource) !== undefined) return resource.version !== "";
    try {
      await this.#options.client.list({ resource }, { limit: 1, metadataOnly: true, signal });
      return true;
    } catch (error) {
      if (hasReason(error, "NotFound")) return false;
      throw error;
    }
  }

  /** A kind that is not there yet may come. */
  #followDefinitions(): void {
    if (this.#hasDefinitions) return;
    this.#hasDefinitions = true;
    const tell = () => {
      for (const follower of this.#waiting) this.#options.onChange(follower);
    };
    const informer = this.#options.informers.informer<KubeObject>({ resource: definitions, metadataOnly: true });
    this.#disconnect.push(
      informer.addHandler({ onAdd: (_object, isOld) => (isOld ? undefined : tell()), onUpdate: tell }),
    );
  }
}

function keyOfResource({ group, version, resource }: GroupVersionResource): string {
  return `${resource}.${version}.${group}`;
}

function add(sets: Map<string, Set<string>>, key: string, value: string): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

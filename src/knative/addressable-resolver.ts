/**
 * Finds out where a destination is: a Service's name in the cluster, what an object says in `status.address`, or the URI that was given. As upstream's `knative.dev/pkg/resolver`.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { type Destination, isAbsolute, type KReference } from "./destination.ts";
import type { Addressable } from "./duck.ts";
import { resourceOf, type Tracker, UnknownKind } from "./tracker.ts";

/** A destination leads nowhere, for now or for good. */
export class Unresolved extends Error {
  readonly kind = "Unresolved";
}

/** Somewhere that takes requests. */
export type Resolved = Addressable & { readonly url: string };

type AddressableObject = KubeObject & {
  readonly status?: { readonly address?: Addressable; readonly addresses?: readonly Addressable[] };
};

/** How destinations are resolved. */
export type ResolverOptions = {
  readonly tracker: Tracker;
  /** "cluster.local". */
  readonly clusterDomain: string;
};

/** Resolves destinations; followers are told when what they refer to changes. */
export class AddressableResolver {
  readonly #options: ResolverOptions;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** Where the destination is. References that say no namespace are in `namespace`. Throws {@link Unresolved}. */
  async resolve(
    destination: Destination,
    context: { readonly follower: string; readonly namespace: string; readonly signal: AbortSignal },
  ): Promise<Resolved> {
    const { ref, uri, CACerts, audience } = destination;
    if (ref !== undefined) {
      const found = await this.#resolveReference(ref, destination, context);
      if (uri === undefined) return found;
      if (URL.canParse(uri))
        throw new Unresolved("absolute URI is not allowed when Ref or [apiVersion, kind, name] exists");
      return { ...found, url: new URL(uri, found.url).href };
    }
    if (uri === undefined) throw new Unresolved("destination missing Ref and URI, expected at least one");
    if (!isAbsolute(uri))
      throw new Unresolved(`URI is not absolute (both scheme and host should be non-empty): ${JSON.stringify(uri)}`);
    return { url: uri, ...(CACerts ? { CACerts } : {}), ...(audience ? { audience } : {}) };
  }

  async #resolveReference(
    ref: KReference,
    { CACerts, audience }: Destination,
    context: { readonly follower: string; readonly namespace: string; readonly signal: AbortSignal },
  ): Promise<Resolved> {
    const namespace = ref.namespace || context.namespace;
    const object = await this.#find({ ...ref, namespace }, context);
    const given = { ...(CACerts ? { CACerts } : {}), ...(audience ? { audience } : {}) };
    if (ref.apiVersion === "v1" && ref.kind === "Service") {
      const host = `${ref.name}.${namespace}.svc.${this.#options.clusterDomain}`;
      return { url: `${CACerts ? "https" : "http"}://${host}`, ...given };
    }
    const { name: _name, url, ...address } = selectAddress(ref, object);
    if (!url) throw new Unresolved(`URL missing in address of ${describe(ref)}`);
    if (!URL.parse(url)?.host) throw new Unresolved(`hostname missing in address of ${describe(ref)}`);
    return { ...address, url, ...given };
  }

  async #find(
    ref: KReference,
    { follower, signal }: { readonly follower: string; readonly signal: AbortSignal },
  ): Promise<AddressableObject> {
    const { group, version, resource } = resourceOf(ref);
    try {
      const found = await this.#options.tracker.find<AddressableObject>(ref, follower, signal);
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof UnknownKind)) throw error;
      throw new Unresolved(`failed to get lister for ${group}/${version}, Resource=${resource}: ${error.message}`);
    }
    const what = group === "" ? resource : `${resource}.${group}`;
    throw new Unresolved(
      `failed to get object ${ref.namespace}/${ref.name}: ${what} ${JSON.stringify(ref.name)} not found`,
    );
  }
}

function selectAddress(ref: KReference, { status }: AddressableObject): Addressable {
  const { address, addresses = [] } = status ?? {};
  if (addresses.length === 0 && address === undefined) throw new Unresolved(`address not set for ${describe(ref)}`);
  if (!ref.address) return addresses[0] ?? address ?? {};
  const named = addresses.find(({ name }) => name === ref.address);
  if (named === undefined)
    throw new Unresolved(`address with name ${JSON.stringify(ref.address)} not found for ${describe(ref)}`);
  return named;
}

/** As upstream's text of a KReference. */
function describe({
  kind = "",
  namespace = "",
  name = "",
  apiVersion = "",
  group = "",
  address = "",
}: KReference): string {
  return `Kind = ${kind}, Namespace = ${namespace}, Name = ${name}, APIVersion = ${apiVersion}, Group = ${group}, Address = ${address}`;
}

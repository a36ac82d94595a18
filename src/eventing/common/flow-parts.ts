/**
 * What Sequences and Parallels are made of: channels and Subscriptions that they own, made when they are missing, changed when they differ, deleted when they are of no use any more.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { isControlledBy } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { Client } from "#client/client.ts";
import { ensureDeleted } from "#client/find-object.ts";
import type { Informer } from "#client/informer.ts";
import {
  type Channelable,
  type ChannelTemplate,
  type PartStatus,
  type Subscription,
  type SubscriptionSpec,
  subscriptions,
} from "#eventing/kinds.ts";
import { messagingGroup } from "#eventing/names.ts";
import { findCondition } from "#knative/conditions.ts";
import type { Conditioned } from "#knative/duck.ts";
import type { KindController, Look } from "#knative/kind-controller.ts";
import { ownedMeta, refOf } from "#knative/objects.ts";
import { resourceOf } from "#knative/tracker.ts";

/** Makes and unmakes the parts of one kind of flow. */
export class FlowParts {
  readonly #client: Client;
  readonly #subscriptions: Informer<Subscription>;
  readonly #channels: Informer<Channelable>;

  constructor(client: Client, controller: KindController<Conditioned>) {
    this.#client = client;
    this.#subscriptions = controller.watchOwned<Subscription>(subscriptions);
    this.#channels = controller.watchOwned<Channelable>({
      group: messagingGroup,
      version: "v1",
      resource: "inmemorychannels",
    });
  }

  /** The channel as it is, made of the template when there is none. Throws UnknownKind. */
  async ensureChannel(
    owner: KubeObject,
    part: { readonly name: string; readonly template: ChannelTemplate },
    { find, signal }: Look,
  ): Promise<Channelable> {
    const { apiVersion = "", kind = "", spec = {} } = part.template;
    const { namespace = "" } = owner.metadata ?? {};
    const reference = { apiVersion, kind, name: part.name, namespace };
    const found = await find<Channelable>(reference);
    if (found !== undefined) return found;
    const wanted: Channelable = { apiVersion, kind, metadata: ownedMeta(owner, { name: part.name }), spec };
    return await this.#client.create<Channelable>({ resource: resourceOf(reference), namespace }, wanted, { signal });
  }

  /** The Subscription with this specification. One that subscribes to something else is made anew: what it subscribes to cannot be changed. */
  async ensureSubscription(
    owner: KubeObject,
    part: { readonly name: string; readonly spec: SubscriptionSpec },
    signal: AbortSignal,
  ): Promise<Subscription> {
    const { namespace = "" } = owner.metadata ?? {};
    const found = this.#subscriptions.lister.find(namespace, part.name);
    const wanted: Subscription = {
      apiVersion: `${messagingGroup}/v1`,
      kind: "Subscription",
      metadata: ownedMeta(owner, { name: part.name }),
      spec: part.spec,
    };
    if (found === undefined)
      return await this.#client.create<Subscription>({ resource: subscriptions, namespace }, wanted, { signal });
    if (!isControlledBy(found, owner))
      throw new Error(`subscription ${namespace}/${part.name} is not owned by ${owner.metadata?.name}`);
    if (semanticEqual(found.spec, part.spec)) return found;
    if (semanticEqual(found.spec?.channel, part.spec.channel))
      return await this.#client.update<Subscription>(
        refOf(subscriptions, found),
        { ...found, spec: part.spec },
        { signal },
      );
    await this.#delete(subscriptions, found, signal);
    return await this.#client.create<Subscription>({ resource: subscriptions, namespace }, wanted, { signal });
  }

  /** Deletes what the owner has beside these. */
  async removeOthers(
    owner: KubeObject,
    kept: { readonly channels: ReadonlySet<string>; readonly subscriptions: ReadonlySet<string> },
    signal: AbortSignal,
  ): Promise<void> {
    const { namespace = "" } = owner.metadata ?? {};
    const isExtra = (names: ReadonlySet<string>) => (object: KubeObject) =>
      isControlledBy(object, owner) && !names.has(object.metadata?.name ?? "");
    const channels = this.#channels.lister.list(namespace).filter(isExtra(kept.channels));
    const gone = this.#subscriptions.lister.list(namespace).filter(isExtra(kept.subscriptions));
    await Promise.all([
      ...gone.map((one) => this.#delete(subscriptions, one, signal)),
      ...channels.map((one) =>
        this.#delete(resourceOf({ apiVersion: `${messagingGroup}/v1`, kind: "InMemoryChannel" }), one, signal),
      ),
    ]);
  }

  async #delete(resource: GroupVersionResource, object: KubeObject, signal: AbortSignal): Promise<void> {
    await ensureDeleted(this.#client, refOf(resource, object), { signal });
  }
}

/** How a part is, for the status of its flow. `before` keeps times while nothing changes. */
export function partStatus<K extends "channel" | "subscription">(
  key: K,
  part: Conditioned,
  options: { readonly before: PartStatus<K> | undefined; readonly nowMs: number; readonly type: ChannelTemplate },
): PartStatus<K> {
  const { name = "", namespace = "" } = part.metadata ?? {};
  const { apiVersion = "", kind = "" } = options.type;
  const what = key === "channel" ? "Channel" : "Subscription";
  const known = options.before?.ready;
  const ready =
    findCondition(part.status?.conditions, "Ready") ??
    (known?.reason === "NoReady"
      ? known
      : {
          type: "Ready",
          status: "Unknown" as const,
          reason: "NoReady",
          message: `${what} does not have Ready condition`,
          lastTransitionTime: formatTime(options.nowMs),
        });
  return { [key]: { apiVersion, kind, name, namespace }, ready } as unknown as PartStatus<K>;
}

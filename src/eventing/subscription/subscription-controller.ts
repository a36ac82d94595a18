/**
 * Finds out where a channel's events go for each Subscription, and says whether the channel has taken it up. As upstream's `pkg/reconciler/subscription` (v1.22), but that the channel's controller
 * writes the channel: see `inmemorychannel/subscribers.ts`.
 */
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { deliveryStatusOf } from "#eventing/common/dead-letter.ts";
import { ensureIdentity } from "#eventing/common/identity.ts";
import {
  type Channel,
  type Channelable,
  type DeliveryStatus,
  type PhysicalSubscription,
  type Subscription,
  subscriptions,
} from "#eventing/kinds.ts";
import { messagingGroup } from "#eventing/names.ts";
import { type Resolved, Unresolved } from "#knative/addressable-resolver.ts";
import { isFalse, isTrue, isUnknown } from "#knative/conditions.ts";
import { type Destination, isEmptyDestination } from "#knative/destination.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { isReady } from "#knative/objects.ts";
import { UnknownKind } from "#knative/tracker.ts";

const dependents = ["ReferencesResolved", "AddedToChannel", "ChannelReady", "OIDCIdentityCreated"];

/** A step on the way that did not go well. */
class Unsettled extends Error {
  readonly kind = "Unsettled";
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

type Status = NonNullable<Subscription["status"]> & { readonly physicalSubscription?: PhysicalSubscription };

/** The controller of Subscriptions. */
export function createSubscriptionController(context: EventingContext): NamedController {
  const controller = new KindController<Subscription>(context, {
    name: "eventing-subscription",
    kind: "Subscription",
    resource: subscriptions,
    dependents,
    async look(subscription, look) {
      const identity = await ensureIdentity(
        context,
        subscription,
        { group: messagingGroup, kind: "Subscription" },
        look,
      );
      const { crossNamespaceEventLinks } = context.config.current.features;
      return { ...(await lookAt(subscription, look, crossNamespaceEventLinks)), ...identity };
    },
  });
  context.config.onChange(() => controller.enqueueAll());
  return controller;
}

async function lookAt(subscription: Subscription, look: Look, mayLink: boolean): Promise<Status> {
  const { conditions } = look;
  const before = subscription.status?.physicalSubscription;
  const channel = await findChannel(subscription, look, mayLink);
  if ("problem" in channel) {
    const message = `Failed to get Spec.Channel or backing channel: ${channel.problem}`;
    conditions.mark("ReferencesResolved", isUnknown("ChannelReferenceFailed", message));
    return before === undefined ? {} : { physicalSubscription: before };
  }
  try {
    const physicalSubscription = await resolveAll(subscription, channel, look);
    conditions.mark("ReferencesResolved", isTrue);
    markChannel(subscription, channel, look);
    return Object.keys(physicalSubscription).length === 0 ? {} : { physicalSubscription };
  } catch (error) {
    if (!(error instanceof Unsettled)) throw error;
    conditions.mark("ReferencesResolved", isFalse(error.reason, error.message));
    return {};
  }
}

/** The channel that has the subscribers: for a Channel, the one behind it. */
async function findChannel(
  { metadata, spec }: Subscription,
  look: Look,
  mayLink: boolean,
): Promise<Channelable | { readonly problem: string }> {
  const reference = spec?.channel ?? {};
  const namespace = (mayLink ? reference.namespace : undefined) ?? metadata?.namespace ?? "";
  try {
    const found = await look.find<Channel>({ ...reference, namespace });
    if (found === undefined) return notFound(reference);
    const { group = (reference.apiVersion ?? "").split("/")[0] } = reference;
    const isGeneric = reference.kind === "Channel" && group === messagingGroup;
    if (!isGeneric) return found;
    const { channel } = found.status ?? {};
    if (!isReady(found) || channel === undefined) return { problem: "channel is not ready." };
    return (await look.find<Channelable>({ ...channel, namespace })) ?? notFound(channel);
  } catch (error) {
    if (!(error instanceof UnknownKind)) throw error;
    return { problem: error.message };
  }
}

function notFound({ kind = "", name = "" }: { readonly kind?: string; readonly name?: string }): {
  readonly problem: string;
} {
  return { problem: `${kind.toLowerCase()}s.${messagingGroup} ${JSON.stringify(name)} not found` };
}

async function resolveAll(
  { spec = {} }: Subscription,
  channel: Channelable,
  look: Look,
): Promise<PhysicalSubscription> {
  const subscriber = await resolveOne(spec.subscriber, look, "SubscriberResolveFailed", "spec.subscriber");
  const reply = await resolveOne(spec.reply, look, "ReplyResolveFailed", "spec.reply");
  return {
    ...(subscriber === undefined
      ? {}
      : {
          subscriberUri: subscriber.url,
          ...(subscriber.CACerts ? { subscriberCACerts: subscriber.CACerts } : {}),
          ...(subscriber.audience ? { subscriberAudience: subscriber.audience } : {}),
        }),
    ...(reply === undefined
      ? {}
      : {
          replyUri: reply.url,
          ...(reply.CACerts ? { replyCACerts: reply.CACerts } : {}),
          ...(reply.audience ? { replyAudience: reply.audience } : {}),
        }),
    ...(await deadLetterOf(spec.delivery?.deadLetterSink, channel, look)),
  };
}

async function resolveOne(
  destination: Destination | undefined,
  { resolve }: Look,
  reason: string,
  field: string,
): Promise<Resolved | undefined> {
  if (destination === undefined || isEmptyDestination(destination)) return undefined;
  try {
    return await resolve(destination);
  } catch (error) {
    if (!(error instanceof Unresolved)) throw error;
    throw new Unsettled(reason, `Failed to resolve ${field}: ${error.message}`);
  }
}

/** The Subscription's own sink, else its channel's. */
async function deadLetterOf(sink: Destination | undefined, channel: Channelable, look: Look): Promise<DeliveryStatus> {
  const reason = "DeadLetterSinkResolveFailed";
  const own = await resolveOne(sink, look, reason, "spec.delivery.deadLetterSink");
  if (own !== undefined) return deliveryStatusOf(own);
  if (channel.spec?.delivery?.deadLetterSink === undefined) return {};
  const { deadLetterSinkUri, deadLetterSinkCACerts, deadLetterSinkAudience } = channel.status ?? {};
  if (deadLetterSinkUri === undefined)
    throw new Unsettled(reason, `channel ${channel.metadata?.name} didn't set status.deadLetterSinkURI`);
  return {
    deadLetterSinkUri,
    ...(deadLetterSinkCACerts === undefined ? {} : { deadLetterSinkCACerts }),
    ...(deadLetterSinkAudience === undefined ? {} : { deadLetterSinkAudience }),
  };
}

function markChannel({ metadata }: Subscription, channel: Channelable, { conditions }: Look): void {
  const { uid, generation, name } = metadata ?? {};
  const isAdded = channel.spec?.subscribers?.some((one) => one.uid === uid && one.generation === generation);
  conditions.mark(
    "AddedToChannel",
    isAdded ? isTrue : isUnknown("PhysicalChannelSync", "The channel has not taken the subscription up yet."),
  );
  const found = channel.status?.subscribers?.find((one) => one.uid === uid && one.observedGeneration === generation);
  const reason = "SubscriptionNotMarkedReadyByChannel";
  if (found === undefined) {
    const why = `Failed to get subscription status: subscription ${JSON.stringify(name)} not present in channel ${JSON.stringify(channel.metadata?.name)} subscriber's list`;
    return conditions.mark("ChannelReady", isUnknown(reason, why));
  }
  if (found.ready === "True") return conditions.mark("ChannelReady", isTrue);
  conditions.mark(
    "ChannelReady",
    found.ready === "False"
      ? isFalse(reason, "Subscription marked by Channel as False")
      : isUnknown(reason, "Subscription marked by Channel as Unknown"),
  );
}

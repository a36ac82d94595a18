/**
 * Who is told of a channel's events: what the Subscriptions to it come to, in the form in which channels keep it. As upstream's subscription controller writes it (v1.22).
 */
import { controllerOf } from "#apimachinery/owner-references.ts";
import type { DeliverySpec, InMemoryChannel, SubscriberSpec, Subscription } from "#eventing/kinds.ts";
import { messagingGroup } from "#eventing/names.ts";
import { findCondition } from "#knative/conditions.ts";

/** The channel that a Subscription names, as "Kind/namespace/name"; undefined when it is none of ours. */
export function channelKeyOf({ metadata, spec }: Subscription): string | undefined {
  const { apiVersion = "", group = "", kind, name, namespace = metadata?.namespace } = spec?.channel ?? {};
  if (!apiVersion.startsWith(`${messagingGroup}/`) && group !== messagingGroup) return undefined;
  return kind === "Channel" || kind === "InMemoryChannel" ? `${kind}/${namespace}/${name}` : undefined;
}

/** The names under which Subscriptions know a channel: its own, and that of the Channel it stands behind. */
export function channelKeys(channel: InMemoryChannel): readonly string[] {
  const { namespace = "", name = "" } = channel.metadata ?? {};
  const owner = controllerOf(channel);
  const own = `InMemoryChannel/${namespace}/${name}`;
  return owner?.kind === "Channel" ? [own, `Channel/${namespace}/${owner.name}`] : [own];
}

/** The channel's subscribers as they are to be. Whose Subscription leads nowhere for now stays as it was: its events wait. */
export function subscribersOf(
  channel: InMemoryChannel,
  subscriptions: readonly Subscription[],
): readonly SubscriberSpec[] {
  const before = new Map((channel.spec?.subscribers ?? []).map((one) => [one.uid, one]));
  return subscriptions
    .filter(({ metadata }) => metadata?.deletionTimestamp === undefined)
    .toSorted((a, b) => ((a.metadata?.uid ?? "") < (b.metadata?.uid ?? "") ? -1 : 1))
    .flatMap((subscription) => {
      if (isResolved(subscription)) return [subscriberOf(subscription, channel)];
      const known = before.get(subscription.metadata?.uid ?? "");
      return known === undefined ? [] : [known];
    });
}

function isResolved({ metadata, status }: Subscription): boolean {
  const { conditions, observedGeneration } = status ?? {};
  return (
    observedGeneration === metadata?.generation && findCondition(conditions, "ReferencesResolved")?.status === "True"
  );
}

function subscriberOf(subscription: Subscription, channel: InMemoryChannel): SubscriberSpec {
  const { name = "", uid = "", generation = 0 } = subscription.metadata ?? {};
  const { deadLetterSinkUri, deadLetterSinkCACerts, deadLetterSinkAudience, ...addresses } =
    subscription.status?.physicalSubscription ?? {};
  const deadLetterSink =
    deadLetterSinkUri === undefined
      ? undefined
      : {
          uri: deadLetterSinkUri,
          ...(deadLetterSinkCACerts === undefined ? {} : { CACerts: deadLetterSinkCACerts }),
          ...(deadLetterSinkAudience === undefined ? {} : { audience: deadLetterSinkAudience }),
        };
  const { deadLetterSink: _asWritten, ...options }: DeliverySpec =
    subscription.spec?.delivery ?? channel.spec?.delivery ?? {};
  const delivery = { ...options, ...(deadLetterSink === undefined ? {} : { deadLetterSink }) };
  return {
    name,
    uid,
    generation,
    ...addresses,
    ...(subscription.status?.auth === undefined ? {} : { auth: subscription.status.auth }),
    ...(Object.keys(delivery).length === 0 ? {} : { delivery }),
  };
}

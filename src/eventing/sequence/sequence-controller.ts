/**
 * Makes a channel and a Subscription of each step of a Sequence, each replying into the next. As upstream's `pkg/reconciler/sequence` (v1.22).
 */
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { areReady, createFlowController, type FlowLook, markParts } from "#eventing/common/flow-controller.ts";
import { type FlowParts, partStatus } from "#eventing/common/flow-parts.ts";
import {
  type Channelable,
  type Sequence,
  sequences,
  type SequenceStep,
  type Subscription,
  type SubscriptionSpec,
} from "#eventing/kinds.ts";
import { messagingGroup } from "#eventing/names.ts";
import { isUnknown } from "#knative/conditions.ts";
import type { Destination } from "#knative/destination.ts";
import type { Look } from "#knative/kind-controller.ts";
import { childName } from "#knative/names.ts";

const subscriptionType = { apiVersion: `${messagingGroup}/v1`, kind: "Subscription" };

/** The controller of Sequences. */
export function createSequenceController(context: EventingContext): NamedController {
  return createFlowController<Sequence>(context, {
    name: "eventing-sequence",
    kind: "Sequence",
    resource: sequences,
    isNot: isUnknown,
    look: async (sequence, look, parts) => lookAt(sequence, look, { parts, nowMs: context.clock.now() }),
  });
}

async function lookAt(
  sequence: Sequence,
  look: Look,
  { parts, nowMs }: { readonly parts: FlowParts; readonly nowMs: number },
): Promise<FlowLook<Sequence>> {
  const { steps = [], channelTemplate: template = {} } = sequence.spec ?? {};
  const names = steps.map((_step, index) => partName(sequence, index));
  const channels: Channelable[] = [];
  for (const name of names) channels.push(await parts.ensureChannel(sequence, { name, template }, look));
  const subscriptions: Subscription[] = [];
  for (const [index, name] of names.entries()) {
    const spec = subscriptionOf(sequence, index);
    subscriptions.push(await parts.ensureSubscription(sequence, { name, spec }, look.signal));
  }
  const kept = { channels: new Set(names), subscriptions: new Set(names) };
  await parts.removeOthers(sequence, kept, look.signal);
  const address = channels[0]?.status?.address;
  const areChannelsReady = areReady(channels);
  markParts(look.conditions, {
    areChannelsReady,
    subscriptions,
    hasAddress: address?.url !== undefined,
    isNot: isUnknown,
  });
  const { channelStatuses = [], subscriptionStatuses = [] } = sequence.status ?? {};
  const links = channels.slice(1).flatMap((channel, index) => {
    const name = childName(sequence.metadata?.name ?? "", `-${channel.metadata?.name}`);
    const from = subscriptions[index];
    return from === undefined ? [] : [{ name, channel, from }];
  });
  const status = {
    ...(address === undefined ? {} : { address: withoutName(address) }),
    channelStatuses: channels.map((one, index) =>
      partStatus("channel", one, { before: channelStatuses[index], nowMs, type: template }),
    ),
    subscriptionStatuses: subscriptions.map((one, index) =>
      partStatus("subscription", one, { before: subscriptionStatuses[index], nowMs, type: subscriptionType }),
    ),
  };
  return { status, subscriptions, links };
}

function partName({ metadata }: Sequence, index: number): string {
  return `${metadata?.name}-kn-sequence-${index}`;
}

function subscriptionOf(sequence: Sequence, index: number): SubscriptionSpec {
  const { steps = [], channelTemplate = {}, reply } = sequence.spec ?? {};
  const { namespace = "" } = sequence.metadata ?? {};
  const { apiVersion = "", kind = "" } = channelTemplate;
  const { delivery, ...step }: SequenceStep = steps[index] ?? {};
  const next =
    index < steps.length - 1 ? { ref: { apiVersion, kind, name: partName(sequence, index + 1), namespace } } : reply;
  return {
    channel: { apiVersion, kind, name: partName(sequence, index) },
    subscriber: destinationOf(step),
    ...(next === undefined ? {} : { reply: next }),
    ...(delivery === undefined ? {} : { delivery }),
  };
}

function destinationOf({ ref, uri, CACerts, audience }: Destination): Destination {
  return {
    ...(ref === undefined ? {} : { ref }),
    ...(uri === undefined ? {} : { uri }),
    ...(CACerts === undefined ? {} : { CACerts }),
    ...(audience === undefined ? {} : { audience }),
  };
}

function withoutName<T extends { readonly name?: string }>({ name: _name, ...address }: T): Omit<T, "name"> {
  return address;
}

/**
 * Makes a channel and a Subscription of each step of a Sequence, each replying into the next. As upstream's `pkg/reconciler/sequence` (v1.22).
 */
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { FlowParts, partStatus } from "#eventing/common/flow-parts.ts";
import { markPolicies, policiesOf, watchPolicies } from "#eventing/eventpolicy/applied-policies.ts";
import {
  type Channelable,
  type Sequence,
  sequences,
  type SequenceStep,
  type Subscription,
  type SubscriptionSpec,
} from "#eventing/kinds.ts";
import { flowsGroup, messagingGroup } from "#eventing/names.ts";
import { type Conditions, isTrue, isUnknown } from "#knative/conditions.ts";
import type { Destination } from "#knative/destination.ts";
import type { Conditioned } from "#knative/duck.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { UnknownKind } from "#knative/tracker.ts";

const dependents = ["ChannelsReady", "SubscriptionsReady", "Addressable", "EventPoliciesReady"];

/** The controller of Sequences. */
export function createSequenceController(context: EventingContext): NamedController {
  const { client, clock } = context;
  const controller = new KindController<Sequence>(context, {
    name: "eventing-sequence",
    kind: "Sequence",
    resource: sequences,
    dependents,
    look: (sequence, look) => lookAt(sequence, look),
  });
  const parts = new FlowParts(client, controller as unknown as KindController<Conditioned>);
  const policies = watchPolicies(controller);
  context.config.onChange(() => controller.enqueueAll());

  async function lookAt(sequence: Sequence, look: Look): Promise<NonNullable<Sequence["status"]>> {
    const { steps = [], channelTemplate: template = {} } = sequence.spec ?? {};
    const { namespace = "" } = sequence.metadata ?? {};
    const names = steps.map((_step, index) => partName(sequence, index));
    const channels: Channelable[] = [];
    const subscribed: Subscription[] = [];
    try {
      for (const name of names) channels.push(await parts.ensureChannel(sequence, { name, template }, look));
    } catch (error) {
      if (!(error instanceof UnknownKind)) throw error;
      look.conditions.mark("ChannelsReady", isUnknown("ChannelsNotReady", error.message));
      return {};
    }
    for (const [index, name] of names.entries()) {
      const spec = subscriptionOf(sequence, index);
      subscribed.push(await parts.ensureSubscription(sequence, { name, spec }, look.signal));
    }
    const kept = { channels: new Set(names), subscriptions: new Set(names) };
    await parts.removeOthers(sequence, kept, look.signal);
    markParts(look.conditions, channels, subscribed);
    const nowMs = clock.now();
    const address = channels[0]?.status?.address;
    const applied = policiesOf(policies.lister.list(namespace), { group: flowsGroup, kind: "Sequence" }, sequence);
    const type = { apiVersion: `${messagingGroup}/v1`, kind: "Subscription" };
    const { channelStatuses = [], subscriptionStatuses = [] } = sequence.status ?? {};
    return {
      ...(address === undefined ? {} : { address: withoutName(address) }),
      channelStatuses: channels.map((one, index) =>
        partStatus("channel", one, { before: channelStatuses[index], nowMs, type: template }),
      ),
      subscriptionStatuses: subscribed.map((one, index) =>
        partStatus("subscription", one, { before: subscriptionStatuses[index], nowMs, type }),
      ),
      ...markPolicies(applied, context.config.current.features, look.conditions),
    };
  }
  return controller;
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

function markParts(
  conditions: Conditions,
  channels: readonly Channelable[],
  subscribed: readonly Subscription[],
): void {
  const areReady = (parts: readonly Conditioned[]) => parts.length > 0 && parts.every(isReadyPart);
  conditions.mark(
    "ChannelsReady",
    areReady(channels) ? isTrue : isUnknown("ChannelsNotReady", "Channels are not ready yet, or there are none"),
  );
  conditions.mark(
    "SubscriptionsReady",
    areReady(subscribed)
      ? isTrue
      : isUnknown("SubscriptionsNotReady", "Subscriptions are not ready yet, or there are none"),
  );
  const hasAddress = channels[0]?.status?.address?.url !== undefined;
  conditions.mark("Addressable", hasAddress ? isTrue : isUnknown("emptyAddress", "addressable is nil"));
}

function isReadyPart({ status }: Conditioned): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
}

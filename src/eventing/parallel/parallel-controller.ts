/**
 * Makes a channel for all of a Parallel's events, and one with two Subscriptions for each branch: through its filter, and on to its subscriber. As upstream's `pkg/reconciler/parallel` (v1.22).
 */
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { FlowParts, partStatus } from "#eventing/common/flow-parts.ts";
import { markPolicies, policiesOf, watchPolicies } from "#eventing/eventpolicy/applied-policies.ts";
import {
  type Channelable,
  type Parallel,
  type ParallelBranchStatus,
  parallels,
  type Subscription,
  type SubscriptionSpec,
} from "#eventing/kinds.ts";
import { flowsGroup, messagingGroup } from "#eventing/names.ts";
import { type Conditions, isFalse, isTrue } from "#knative/conditions.ts";
import type { Condition, Conditioned } from "#knative/duck.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { UnknownKind } from "#knative/tracker.ts";

const dependents = ["ChannelsReady", "SubscriptionsReady", "Addressable", "EventPoliciesReady"];
const subscriptionType = { apiVersion: `${messagingGroup}/v1`, kind: "Subscription" };

/** What a Parallel comes to. */
type Parts = {
  readonly ingress: Channelable;
  readonly branches: readonly {
    readonly channel: Channelable;
    readonly filter: Subscription;
    readonly subscriber: Subscription;
  }[];
};

/** The controller of Parallels. */
export function createParallelController(context: EventingContext): NamedController {
  const { client, clock } = context;
  const controller = new KindController<Parallel>(context, {
    name: "eventing-parallel",
    kind: "Parallel",
    resource: parallels,
    dependents,
    look: (parallel, look) => lookAt(parallel, look),
  });
  const flow = new FlowParts(client, controller as unknown as KindController<Conditioned>);
  const policies = watchPolicies(controller);
  context.config.onChange(() => controller.enqueueAll());

  async function lookAt(parallel: Parallel, look: Look): Promise<NonNullable<Parallel["status"]>> {
    const { namespace = "" } = parallel.metadata ?? {};
    let parts: Parts;
    try {
      parts = await ensureParts(parallel, look);
    } catch (error) {
      if (!(error instanceof UnknownKind)) throw error;
      look.conditions.mark("ChannelsReady", isFalse("ChannelsNotReady", error.message));
      return {};
    }
    markParts(look.conditions, parts);
    const { address } = parts.ingress.status ?? {};
    const applied = policiesOf(policies.lister.list(namespace), { group: flowsGroup, kind: "Parallel" }, parallel);
    return {
      ...(address === undefined ? {} : { address }),
      ingressChannelStatus: channelStatus(parallel, parts.ingress),
      branchStatuses: parts.branches.map((branch, index) => branchStatus(parallel, branch, index)),
      ...markPolicies(applied, context.config.current.features, look.conditions),
    };
  }

  async function ensureParts(parallel: Parallel, look: Look): Promise<Parts> {
    const { branches = [], channelTemplate: template = {} } = parallel.spec ?? {};
    const { signal } = look;
    const names = branches.map((_branch, index) => namesOf(parallel, index));
    const ingressName = ingressNameOf(parallel);
    const ingress = await flow.ensureChannel(parallel, { name: ingressName, template }, look);
    const made: Parts["branches"][number][] = [];
    for (const [index, { channel: name, filter, subscriber }] of names.entries()) {
      const channel = await flow.ensureChannel(parallel, { name, template }, look);
      const [toFilter, toSubscriber] = [filterSpec(parallel, index), subscriberSpec(parallel, index)];
      made.push({
        channel,
        filter: await flow.ensureSubscription(parallel, { name: filter, spec: toFilter }, signal),
        subscriber: await flow.ensureSubscription(parallel, { name: subscriber, spec: toSubscriber }, signal),
      });
    }
    const kept = {
      channels: new Set([ingressName, ...names.map(({ channel }) => channel)]),
      subscriptions: new Set(names.flatMap(({ filter, subscriber }) => [filter, subscriber])),
    };
    await flow.removeOthers(parallel, kept, signal);
    return { ingress, branches: made };
  }

  function branchStatus(parallel: Parallel, branch: Parts["branches"][number], index: number): ParallelBranchStatus {
    const before = parallel.status?.branchStatuses?.[index];
    const options = { nowMs: clock.now(), type: subscriptionType };
    return {
      filterChannelStatus: channelStatus(parallel, branch.channel),
      filterSubscriptionStatus: partStatus("subscription", branch.filter, {
        ...options,
        before: before?.filterSubscriptionStatus,
      }),
      subscriberSubscriptionStatus: partStatus("subscription", branch.subscriber, {
        ...options,
        before: before?.subscriberSubscriptionStatus,
      }),
    };
  }
  return controller;
}

function ingressNameOf({ metadata }: Parallel): string {
  return `${metadata?.name}-kn-parallel`;
}

function namesOf(
  { metadata }: Parallel,
  index: number,
): { readonly channel: string; readonly filter: string; readonly subscriber: string } {
  const head = `${metadata?.name}-kn-parallel`;
  return { channel: `${head}-${index}`, filter: `${head}-filter-${index}`, subscriber: `${head}-${index}` };
}

/** From the ingress, through the filter if there is one, into the branch. */
function filterSpec(parallel: Parallel, index: number): SubscriptionSpec {
  const { branches = [], channelTemplate = {} } = parallel.spec ?? {};
  const { apiVersion = "", kind = "" } = channelTemplate;
  const { namespace = "" } = parallel.metadata ?? {};
  const branch = { ref: { apiVersion, kind, name: namesOf(parallel, index).channel, namespace } };
  const channel = { apiVersion, kind, name: ingressNameOf(parallel) };
  const { filter } = branches[index] ?? {};
  return filter === undefined ? { channel, subscriber: branch } : { channel, subscriber: filter, reply: branch };
}

/** From the branch to its subscriber, who replies to the branch's destination or to that of all. */
function subscriberSpec(parallel: Parallel, index: number): SubscriptionSpec {
  const { branches = [], channelTemplate = {}, reply: ofAll } = parallel.spec ?? {};
  const { apiVersion = "", kind = "" } = channelTemplate;
  const { subscriber = {}, reply = ofAll, delivery } = branches[index] ?? {};
  return {
    channel: { apiVersion, kind, name: namesOf(parallel, index).channel },
    subscriber,
    ...(reply === undefined ? {} : { reply }),
    ...(delivery === undefined ? {} : { delivery }),
  };
}

/** A channel of a Parallel is as good as its address. */
function channelStatus(
  { spec, metadata }: Parallel,
  channel: Channelable,
): ParallelBranchStatus["filterChannelStatus"] & object {
  const { apiVersion = "", kind = "" } = spec?.channelTemplate ?? {};
  const { namespace = "" } = metadata ?? {};
  const ready: Condition =
    channel.status?.address === undefined
      ? { type: "Ready", status: "False", reason: "NotAddressable", message: "Channel is not addressable" }
      : { type: "Ready", status: "True" };
  return { channel: { apiVersion, kind, name: channel.metadata?.name ?? "", namespace }, ready };
}

function markParts(conditions: Conditions, { ingress, branches }: Parts): void {
  const channels = [ingress, ...branches.map(({ channel }) => channel)];
  const areAddressable = channels.every(({ status }) => status?.address !== undefined);
  conditions.mark(
    "ChannelsReady",
    areAddressable ? isTrue : isFalse("ChannelsNotReady", "Channels are not ready yet, or there are none"),
  );
  const subscribed = branches.flatMap(({ filter, subscriber }) => [filter, subscriber]);
  const areReady = subscribed.length > 0 && subscribed.every(isReadyPart);
  conditions.mark(
    "SubscriptionsReady",
    areReady ? isTrue : isFalse("SubscriptionsNotReady", "Subscriptions are not ready yet, or there are none"),
  );
  conditions.mark(
    "Addressable",
    ingress.status?.address === undefined ? isFalse("emptyAddress", "addressable is nil") : isTrue,
  );
}

function isReadyPart({ status }: Conditioned): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
}

/**
 * Makes a channel for all of a Parallel's events, and one with two Subscriptions for each branch: through its filter, and on to its subscriber. As upstream's `pkg/reconciler/parallel` (v1.22).
 */
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { createFlowController, markParts } from "#eventing/common/flow-controller.ts";
import { type FlowParts, partStatus } from "#eventing/common/flow-parts.ts";
import {
  type Channelable,
  type Parallel,
  type ParallelBranchStatus,
  parallels,
  type Subscription,
  type SubscriptionSpec,
} from "#eventing/kinds.ts";
import { messagingGroup } from "#eventing/names.ts";
import { isFalse } from "#knative/conditions.ts";
import type { Condition } from "#knative/duck.ts";
import type { Look } from "#knative/kind-controller.ts";
import { childName } from "#knative/names.ts";

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
  return createFlowController<Parallel>(context, {
    name: "eventing-parallel",
    kind: "Parallel",
    resource: parallels,
    isNot: isFalse,
    async look(parallel, look, flow) {
      const parts = await ensureParts(parallel, look, flow);
      markParts(look.conditions, summaryOf(parts));
      const links = parts.branches.map(({ channel, filter: from }) => {
        const name = childName(parallel.metadata?.name ?? "", `-ep-${channel.metadata?.name}`);
        return { name, channel, from };
      });
      const subscriptions = parts.branches.flatMap(({ filter, subscriber }) => [filter, subscriber]);
      return { status: statusOf(parallel, parts, context.clock.now()), subscriptions, links };
    },
  });
}

async function ensureParts(parallel: Parallel, look: Look, flow: FlowParts): Promise<Parts> {
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

/** A channel of a Parallel is as good as its address. */
function summaryOf({ ingress, branches }: Parts): Parameters<typeof markParts>[1] {
  const channels = [ingress, ...branches.map(({ channel }) => channel)];
  return {
    areChannelsReady: channels.every(({ status }) => status?.address !== undefined),
    subscriptions: branches.flatMap(({ filter, subscriber }) => [filter, subscriber]),
    hasAddress: ingress.status?.address !== undefined,
    isNot: isFalse,
  };
}

function statusOf(parallel: Parallel, { ingress, branches }: Parts, nowMs: number): NonNullable<Parallel["status"]> {
  const { address } = ingress.status ?? {};
  const options = { nowMs, type: subscriptionType };
  return {
    ...(address === undefined ? {} : { address }),
    ingressChannelStatus: channelStatus(parallel, ingress),
    branchStatuses: branches.map(({ channel, filter, subscriber }, index) => {
      const before = parallel.status?.branchStatuses?.[index];
      return {
        filterChannelStatus: channelStatus(parallel, channel),
        filterSubscriptionStatus: partStatus("subscription", filter, {
          ...options,
          before: before?.filterSubscriptionStatus,
        }),
        subscriberSubscriptionStatus: partStatus("subscription", subscriber, {
          ...options,
          before: before?.subscriberSubscriptionStatus,
        }),
      };
    }),
  };
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

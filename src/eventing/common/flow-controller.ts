/**
 * What controllers of Sequences and Parallels have in common: the parts that they own, the policies that apply to them, and the conditions that sum both up.
 */
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { markPolicies, policiesOf, watchPolicies } from "#eventing/eventpolicy/applied-policies.ts";
import type { Subscription } from "#eventing/kinds.ts";
import { flowsGroup } from "#eventing/names.ts";
import { type Conditions, isTrue, type Mark } from "#knative/conditions.ts";
import type { Conditioned } from "#knative/duck.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { UnknownKind } from "#knative/tracker.ts";
import { FlowParts } from "./flow-parts.ts";
import { ensureFlowPolicies, flowAuth, type FlowLink } from "./flow-policies.ts";

const dependents = ["ChannelsReady", "SubscriptionsReady", "Addressable", "EventPoliciesReady"];

/** What is particular to one kind of flow. */
export type FlowKind<T extends Conditioned> = {
  /** Of the controller. */
  readonly name: string;
  readonly kind: string;
  readonly resource: GroupVersionResource;
  /** How what is not so yet is marked: upstream's kinds differ. */
  readonly isNot: (reason: string, message: string) => Mark;
  /** Makes the parts of one, marks how they are, and gives its status but for policies and identities. May throw UnknownKind. */
  readonly look: (flow: T, look: Look, parts: FlowParts) => Promise<FlowLook<T>>;
};

/** What was seen of a flow. */
export type FlowLook<T extends Conditioned> = {
  readonly status: NonNullable<T["status"]>;
  readonly subscriptions: readonly Subscription[];
  /** Channels within it, with who sends into them. */
  readonly links: readonly FlowLink[];
};

/** The controller of one kind of flow. */
export function createFlowController<T extends Conditioned>(
  context: EventingContext,
  { name, kind, resource, isNot, look }: FlowKind<T>,
): NamedController {
  const controller = new KindController<T>(context, { name, kind, resource, dependents, look: lookAt });
  const parts = new FlowParts(context.client, controller as unknown as KindController<Conditioned>);
  const policies = watchPolicies(controller);
  context.config.onChange(() => controller.enqueueAll());

  async function lookAt(flow: T, at: Look): Promise<NonNullable<T["status"]>> {
    try {
      const { status, subscriptions, links } = await look(flow, at, parts);
      const { features } = context.config.current;
      await ensureFlowPolicies(context.client, policies, {
        owner: flow,
        label: `flows.knative.dev/${kind.toLowerCase()}-name`,
        links: features.authenticationOidc ? links : [],
        signal: at.signal,
      });
      const known = policies.lister.list(flow.metadata?.namespace ?? "");
      const applied = policiesOf(known, { group: flowsGroup, kind }, flow);
      return { ...status, ...flowAuth(subscriptions), ...markPolicies(applied, features, at.conditions) };
    } catch (error) {
      if (!(error instanceof UnknownKind)) throw error;
      at.conditions.mark("ChannelsReady", isNot("ChannelsNotReady", error.message));
      return {} as NonNullable<T["status"]>;
    }
  }
  return controller;
}

/** Says of a flow's parts how they are. */
export function markParts(
  conditions: Conditions,
  parts: {
    readonly areChannelsReady: boolean;
    readonly subscriptions: readonly Subscription[];
    readonly hasAddress: boolean;
    readonly isNot: FlowKind<Conditioned>["isNot"];
  },
): void {
  const { areChannelsReady, subscriptions, hasAddress, isNot } = parts;
  const mark = (type: string, isSo: boolean, reason: string, message: string): void =>
    conditions.mark(type, isSo ? isTrue : isNot(reason, message));
  mark("ChannelsReady", areChannelsReady, "ChannelsNotReady", "Channels are not ready yet, or there are none");
  mark(
    "SubscriptionsReady",
    areReady(subscriptions),
    "SubscriptionsNotReady",
    "Subscriptions are not ready yet, or there are none",
  );
  mark("Addressable", hasAddress, "emptyAddress", "addressable is nil");
}

/** Whether there are any, and all say that they are ready. */
export function areReady(parts: readonly Conditioned[]): boolean {
  const isReady = ({ status }: Conditioned) =>
    status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
  return parts.length > 0 && parts.every(isReady);
}

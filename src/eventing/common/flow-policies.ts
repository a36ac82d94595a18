/**
 * EventPolicies of the channels within a flow, while identities are asked for: what one step's Subscription replies may come into the next channel, and nothing else may. Names and labels as upstream's
 * `pkg/reconciler/{sequence,parallel}/resources/eventpolicy.go` (v1.22); the way into a flow has its policies without copies of them (`eventpolicy/applied-policies.ts`).
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import {
  type AuthStatus,
  type Channelable,
  eventPolicies,
  type EventPolicy,
  type Subscription,
} from "#eventing/kinds.ts";
import { messagingGroup } from "#eventing/names.ts";
import { refOf } from "#knative/objects.ts";

/** A channel, and the Subscription that sends into it. */
export type FlowLink = { readonly name: string; readonly channel: Channelable; readonly from: Subscription };

/** What there is to be for one flow. */
export type FlowPolicies = {
  readonly owner: KubeObject;
  /** Label by which the flow's policies are found: "flows.knative.dev/sequence-name". */
  readonly label: string;
  /** None while nobody asks for identities. */
  readonly links: readonly FlowLink[];
  readonly signal: AbortSignal;
};

/** Makes, changes and deletes policies. */
export async function ensureFlowPolicies(
  client: Client,
  informer: Pick<Informer<EventPolicy>, "lister">,
  { owner, label, links, signal }: FlowPolicies,
): Promise<void> {
  const { namespace = "", name = "" } = owner.metadata ?? {};
  const found = informer.lister.list(namespace).filter(({ metadata }) => metadata?.labels?.[label] === name);
  const wanted = links.map((link) => policyOf(owner, label, link));
  for (const policy of wanted) {
    const known = found.find(({ metadata }) => metadata?.name === policy.metadata?.name);
    if (known === undefined) await create(client, policy, signal);
    else if (!semanticEqual(known.spec, policy.spec))
      await client.update<EventPolicy>(refOf(eventPolicies, known), { ...known, spec: policy.spec! }, { signal });
  }
  const names = new Set(wanted.map(({ metadata }) => metadata?.name));
  for (const policy of found) if (!names.has(policy.metadata?.name)) await remove(client, policy, signal);
}

/** The identities of a flow are those of its Subscriptions. */
export function flowAuth(subscriptions: readonly Subscription[]): { readonly auth?: AuthStatus } {
  const serviceAccountNames = subscriptions.flatMap(({ status }) => status?.auth?.serviceAccountName ?? []);
  return serviceAccountNames.length === 0 ? {} : { auth: { serviceAccountNames } };
}

function policyOf(owner: KubeObject, label: string, { name, channel, from }: FlowLink): EventPolicy {
  const { apiVersion = "", kind = "" } = channel;
  const { name: ownerName = "", uid = "", namespace = "" } = owner.metadata ?? {};
  const ownerReference = { apiVersion: owner.apiVersion ?? "", kind: owner.kind ?? "", name: ownerName, uid };
  const sender = {
    apiVersion: `${messagingGroup}/v1`,
    kind: "Subscription",
    name: from.metadata?.name ?? "",
    namespace,
  };
  return {
    apiVersion: `${eventPolicies.group}/${eventPolicies.version}`,
    kind: "EventPolicy",
    metadata: { name, namespace, labels: { [label]: ownerName }, ownerReferences: [ownerReference] },
    spec: { to: [{ ref: { apiVersion, kind, name: channel.metadata?.name ?? "" } }], from: [{ ref: sender }] },
  };
}

async function create(client: Client, policy: EventPolicy, signal: AbortSignal): Promise<void> {
  const at = { resource: eventPolicies, namespace: policy.metadata?.namespace ?? "" };
  await client.create<EventPolicy>(at, policy, { signal }).catch((error: unknown) => {
    // Seen a moment later.
    if (!hasReason(error, "AlreadyExists")) throw error;
  });
}

async function remove(client: Client, policy: EventPolicy, signal: AbortSignal): Promise<void> {
  await client.delete(refOf(eventPolicies, policy), { signal }).catch((error: unknown) => {
    if (!hasReason(error, "NotFound")) throw error;
  });
}

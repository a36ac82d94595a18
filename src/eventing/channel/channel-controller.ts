/**
 * Makes the channel that stands behind each Channel, of the kind that its template says, and passes its status on. As upstream's `pkg/reconciler/channel` (v1.22).
 */
import { isControlledBy } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { passDeadLetter } from "#eventing/common/dead-letter.ts";
import { markPolicies, policiesOf, watchPolicies } from "#eventing/eventpolicy/applied-policies.ts";
import { type Channel, type Channelable, type ChannelableStatus, channels } from "#eventing/kinds.ts";
import { messagingGroup } from "#eventing/names.ts";
import { type Conditions, findCondition, isFalse, isTrue, isUnknown, type Mark } from "#knative/conditions.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { ownedMeta, refOf } from "#knative/objects.ts";
import { resourceOf, UnknownKind } from "#knative/tracker.ts";

const dependents = ["BackingChannelReady", "Addressable", "DeadLetterSinkResolved", "EventPoliciesReady"];

/** The controller of Channels. */
export function createChannelController(context: EventingContext): NamedController {
  const controller = new KindController<Channel>(context, {
    name: "eventing-channel",
    kind: "Channel",
    resource: channels,
    dependents,
    look: (channel, look) => lookAt(channel, look),
  });
  const policies = watchPolicies(controller);
  context.config.onChange(() => controller.enqueueAll());

  async function lookAt(channel: Channel, look: Look): Promise<NonNullable<Channel["status"]>> {
    const { conditions } = look;
    const { namespace = "", name = "" } = channel.metadata ?? {};
    const { apiVersion = "", kind = "" } = channel.spec?.channelTemplate ?? {};
    const reference = { apiVersion, kind, name, namespace };
    const backing = await ensureBacking(channel, reference, look);
    if ("problem" in backing) {
      conditions.mark("BackingChannelReady", isFalse("ChannelFailure", backing.problem));
      return { channel: reference };
    }
    const target = { group: messagingGroup, kind: "Channel" };
    const applied = policiesOf(policies.lister.list(namespace), target, channel);
    return {
      channel: reference,
      ...passOn(channel, backing, conditions),
      ...markPolicies(applied, context.config.current.features, conditions),
    };
  }

  async function ensureBacking(
    channel: Channel,
    reference: {
      readonly apiVersion: string;
      readonly kind: string;
      readonly name: string;
      readonly namespace: string;
    },
    { find, signal }: Look,
  ): Promise<Channelable | { readonly problem: string }> {
    const { client } = context;
    const { apiVersion, kind, name, namespace } = reference;
    const resource = resourceOf(reference);
    try {
      const found = await find<Channelable>(reference);
      const { delivery, channelTemplate } = channel.spec ?? {};
      if (found === undefined) {
        const spec = { ...channelTemplate?.spec, ...(delivery === undefined ? {} : { delivery }) };
        const wanted: Channelable = { apiVersion, kind, metadata: ownedMeta(channel, { name }), spec };
        return await client.create<Channelable>({ resource, namespace }, wanted, { signal });
      }
      if (!isControlledBy(found, channel))
        return { problem: `channel ${namespace}/${name} is not owned by Channel ${name}` };
      if (delivery === undefined || semanticEqual(found.spec?.delivery, delivery)) return found;
      return await client.patch(refOf(resource, found), { type: "merge", body: { spec: { delivery } } }, { signal });
    } catch (error) {
      if (!(error instanceof UnknownKind)) throw error;
      return { problem: error.message };
    }
  }
  return controller;
}

function passOn(channel: Channel, backing: Channelable, conditions: Conditions): ChannelableStatus {
  const { address, subscribers } = backing.status ?? {};
  conditions.mark("BackingChannelReady", markOfBacking(backing));
  conditions.mark("Addressable", address?.url ? isTrue : isFalse("EmptyHostname", "hostname is the empty string"));
  return {
    ...(address === undefined ? {} : { address }),
    ...(subscribers === undefined ? {} : { subscribers }),
    ...passDeadLetter(
      channel.spec?.delivery,
      { holder: `Backing Channel ${backing.metadata?.name}`, status: backing.status },
      conditions,
    ),
  };
}

function markOfBacking({ status }: Channelable): Mark {
  const ready = findCondition(status?.conditions, "Ready");
  if (ready === undefined)
    return isUnknown("BackingChannelNotConfigured", "BackingChannel has not yet been reconciled.");
  const { reason = "", message = "" } = ready;
  if (ready.status === "True") return isTrue;
  return ready.status === "False" ? isFalse(reason, message) : isUnknown(reason, message);
}

/**
 * Gives each InMemoryChannel an address and its subscribers. As upstream's `pkg/reconciler/inmemorychannel` (v1.22); the name is upstream's too, the events are on disk here. It alone writes
 * `spec.subscribers`, out of the Subscriptions, so that two of them never overwrite each other.
 */
import type { Service } from "#api/generated/types/core-v1.ts";
import { isControlledBy } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { resolveDeadLetter } from "#eventing/common/dead-letter.ts";
import { watchIngress } from "#eventing/common/ingress.ts";
import { findFront, markPolicies, policiesOf, watchPolicies } from "#eventing/eventpolicy/applied-policies.ts";
import {
  type EventPolicy,
  type InMemoryChannel,
  inMemoryChannels,
  type Subscription,
  subscriptions,
} from "#eventing/kinds.ts";
import { audienceOf, eventingNamespace, ingressService, labels, messagingGroup, serviceHost } from "#eventing/names.ts";
import { isFalse, isTrue, type Mark } from "#knative/conditions.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { kubeServices } from "#knative/kube-services.ts";
import { childName } from "#knative/names.ts";
import { ownedMeta, refOf } from "#knative/objects.ts";
import { channelKeyOf, channelKeys, subscribersOf } from "./subscribers.ts";

const dependents = [
  "ServiceReady",
  "EndpointsReady",
  "Addressable",
  "ChannelServiceReady",
  "DeadLetterSinkResolved",
  "EventPoliciesReady",
];
/** Index of channels, and of Subscriptions, by the channel's names. */
const byChannel = "eventing-channel";

/** The controller of InMemoryChannels. */
export function createInMemoryChannelController(context: EventingContext): NamedController {
  const { client } = context;
  const controller: KindController<InMemoryChannel> = new KindController<InMemoryChannel>(context, {
    name: "eventing-inmemorychannel",
    kind: "InMemoryChannel",
    resource: inMemoryChannels,
    dependents,
    look: (channel, look) => lookAt(channel, look),
  });
  controller.objects.addIndex(byChannel, channelKeys);
  const subscribed = controller.watch<Subscription>(subscriptions, (subscription) => {
    const key = channelKeyOf(subscription);
    const found = key === undefined ? [] : controller.objects.lister.byIndex(byChannel, key);
    return found.map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`);
  });
  subscribed.addIndex(byChannel, (subscription) => {
    const key = channelKeyOf(subscription);
    return key === undefined ? [] : [key];
  });
  const services = controller.watchOwned<Service>(kubeServices);
  const ingress = watchIngress(controller);
  const policies = watchPolicies(controller);
  context.config.onChange(() => controller.enqueueAll());

  async function lookAt(channel: InMemoryChannel, look: Look): Promise<NonNullable<InMemoryChannel["status"]>> {
    const { conditions, signal } = look;
    const { namespace = "", name = "" } = channel.metadata ?? {};
    const { features } = context.config.current;
    await writeSubscribers(channel, signal);
    conditions.mark("DispatcherReady", isTrue);
    conditions.mark("ServiceReady", isTrue);
    const { isReady } = ingress;
    conditions.mark(
      "EndpointsReady",
      isReady ? isTrue : isFalse("DispatcherEndpointsNotReady", "There are no endpoints ready for Dispatcher service"),
    );
    const service = serviceOf(channel);
    conditions.mark("ChannelServiceReady", await ensureService(channel, service, signal));
    const deadLetter = await resolveDeadLetter(channel.spec?.delivery, look, "Unable to get the DeadLetterSink's URI");
    conditions.mark("Addressable", isTrue);
    const applied = await findPolicies(channel, look);
    return {
      address: {
        name: "http",
        url: `http://${serviceHost(service.metadata?.name ?? "", namespace)}`,
        ...(features.authenticationOidc ? { audience: audienceOf("InMemoryChannel", namespace, name) } : {}),
      },
      ...deadLetter,
      ...markPolicies(applied, features, conditions),
      ...statusOfSubscribers(channel, isReady),
    };
  }

  /** Those about the channel, and those about what it is the way into. */
  async function findPolicies(channel: InMemoryChannel, { find }: Look): Promise<readonly EventPolicy[]> {
    const all = policies.lister.list(channel.metadata?.namespace ?? "");
    const own = policiesOf(all, { group: messagingGroup, kind: "InMemoryChannel" }, channel);
    const front = findFront(channel);
    const object = front === undefined || all.length === 0 ? undefined : await find(front);
    if (front === undefined || object === undefined) return own;
    return [...new Set([...own, ...policiesOf(all, front, object)])];
  }

  async function writeSubscribers(channel: InMemoryChannel, signal: AbortSignal): Promise<void> {
    const wanted = subscribersOf(
      channel,
      channelKeys(channel).flatMap((key) => subscribed.lister.byIndex(byChannel, key)),
    );
    if (semanticEqual(channel.spec?.subscribers ?? [], wanted)) return;
    const body = { spec: { subscribers: wanted } };
    await client.patch(refOf(inMemoryChannels, channel), { type: "merge", body }, { signal });
  }

  async function ensureService(channel: InMemoryChannel, wanted: Service, signal: AbortSignal): Promise<Mark> {
    const { namespace = "", name = "" } = wanted.metadata ?? {};
    const found = services.lister.find(namespace, name);
    if (found === undefined) {
      await client.create<Service>({ resource: kubeServices, namespace }, wanted, { signal });
      return isTrue;
    }
    if (!isControlledBy(found, channel))
      return isFalse(
        "ChannelServiceFailed",
        `Channel Service failed: inmemorychannel: ${namespace}/${channel.metadata?.name} does not own Service: ${JSON.stringify(name)}`,
      );
    if (found.spec?.externalName !== wanted.spec?.externalName)
      await client.patch(refOf(kubeServices, found), { type: "merge", body: { spec: wanted.spec } }, { signal });
    return isTrue;
  }
  return controller;
}

/** A name for the ingress: who connects to it is told from others by the host he asks for. */
function serviceOf(channel: InMemoryChannel): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: ownedMeta(channel, {
      name: childName(channel.metadata?.name ?? "", "-kn-channel"),
      labels: { [labels.role]: "in-memory-channel" },
    }),
    spec: {
      type: "ExternalName",
      externalName: serviceHost(ingressService, eventingNamespace),
      ports: [{ name: "http", protocol: "TCP", port: 80 }],
    },
  };
}

function statusOfSubscribers(
  { spec }: InMemoryChannel,
  isReady: boolean,
): Pick<NonNullable<InMemoryChannel["status"]>, "subscribers"> {
  const { subscribers = [] } = spec ?? {};
  if (subscribers.length === 0 || !isReady) return {};
  return {
    subscribers: subscribers.map(({ uid = "", generation = 0 }) => ({
      uid,
      observedGeneration: generation,
      ready: "True",
    })),
  };
}

/**
 * Says of each Trigger to whom its events go, and whether they can. As upstream's `pkg/reconciler/broker/trigger` (v1.22); the dispatcher reads it from the status, so there is no Subscription
 * behind a Trigger.
 */
import type { NamedController } from "#client/controller.ts";
import { readDependency } from "#eventing/admission/trigger-admission.ts";
import { isOurBroker } from "#eventing/broker/broker-controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { passDeadLetter, resolveDeadLetter } from "#eventing/common/dead-letter.ts";
import { ensureIdentity } from "#eventing/common/identity.ts";
import {
  type Broker,
  brokers,
  type DeliveryStatus,
  type Trigger,
  triggers,
  type TriggerStatus,
} from "#eventing/kinds.ts";
import { annotations, eventingGroup } from "#eventing/names.ts";
import { type Resolved, Unresolved } from "#knative/addressable-resolver.ts";
import { findCondition, isFalse, isTrue, isUnknown, type Mark } from "#knative/conditions.ts";
import type { Conditioned } from "#knative/duck.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { isReady } from "#knative/objects.ts";
import { UnknownKind } from "#knative/tracker.ts";

const dependents = [
  "BrokerReady",
  "SubscriptionReady",
  "DependencyReady",
  "SubscriberResolved",
  "DeadLetterSinkResolved",
  "OIDCIdentityCreated",
];

/** The controller of Triggers. */
export function createTriggerController(context: EventingContext): NamedController {
  const brokerKey = (trigger: Trigger) =>
    keyOfBroker(trigger, context.config.current.features.crossNamespaceEventLinks);
  const controller: KindController<Trigger> = new KindController<Trigger>(context, {
    name: "eventing-trigger",
    kind: "Trigger",
    resource: triggers,
    dependents,
    isOurs: (trigger) => {
      const broker = findBroker(trigger);
      return broker === undefined || isOurBroker(broker);
    },
    async look(trigger, look) {
      const identity = await ensureIdentity(context, trigger, { group: eventingGroup, kind: "Trigger" }, look);
      return { ...(await lookAt(trigger, findBroker(trigger), look)), ...identity };
    },
  });
  context.config.onChange(() => controller.enqueueAll());
  controller.objects.addIndex(byBroker, (trigger) => {
    const { namespace, name } = brokerKey(trigger);
    return [`${namespace}/${name}`];
  });
  const found = controller.watch<Broker>(brokers, ({ metadata }) =>
    controller.objects.lister
      .byIndex(byBroker, `${metadata?.namespace}/${metadata?.name}`)
      .map((trigger) => `${trigger.metadata?.namespace}/${trigger.metadata?.name}`),
  );
  const findBroker = (trigger: Trigger) => {
    const { namespace, name } = brokerKey(trigger);
    return found.lister.find(namespace, name);
  };
  return controller;
}

/** Index of Triggers by "namespace/broker". */
const byBroker = "eventing-broker";

function keyOfBroker(
  { metadata, spec }: Trigger,
  mayLink: boolean,
): { readonly namespace: string; readonly name: string } {
  const { namespace = "" } = metadata ?? {};
  const { broker = "", brokerRef } = spec ?? {};
  if (mayLink && brokerRef !== undefined)
    return { namespace: brokerRef.namespace ?? namespace, name: brokerRef.name ?? "" };
  return { namespace, name: broker };
}

async function lookAt(trigger: Trigger, broker: Broker | undefined, look: Look): Promise<TriggerStatus> {
  const { conditions } = look;
  const before = statusBefore(trigger);
  if (broker === undefined) {
    const name = JSON.stringify(trigger.spec?.broker || trigger.spec?.brokerRef?.name || "");
    conditions.mark("BrokerReady", isFalse("BrokerDoesNotExist", `Broker ${name} does not exist`));
    return before;
  }
  conditions.mark("BrokerReady", markOfBroker(broker));
  if (!isReady(broker)) return before;
  const subscriber = await resolveSubscriber(trigger, look);
  if (subscriber === undefined) return {};
  const deadLetter = await deadLetterOf(trigger, broker, look);
  // The dispatcher takes the subscription from here: there is nobody else to wait for.
  conditions.mark("SubscriptionReady", isTrue);
  conditions.mark("DependencyReady", await checkDependency(trigger, look));
  const { url, CACerts, audience } = subscriber;
  return {
    subscriberUri: url,
    ...(CACerts ? { subscriberCACerts: CACerts } : {}),
    ...(audience ? { subscriberAudience: audience } : {}),
    ...deadLetter,
  };
}

/** While its Broker is not ready, a Trigger keeps what it was found to be. */
function statusBefore({ status }: Trigger): TriggerStatus {
  const { conditions: _conditions, observedGeneration: _generation, auth: _auth, ...rest } = status ?? {};
  return rest;
}

function markOfBroker({ status }: Broker): Mark {
  const ready = findCondition(status?.conditions, "Ready");
  if (ready === undefined) return isUnknown("BrokerNotConfigured", "Broker has not yet been reconciled.");
  const { reason = "", message = "" } = ready;
  if (ready.status === "True") return isTrue;
  return ready.status === "False" ? isFalse(reason, message) : isUnknown(reason, message);
}

async function resolveSubscriber({ spec }: Trigger, { conditions, resolve }: Look): Promise<Resolved | undefined> {
  try {
    const found = await resolve(spec?.subscriber ?? {});
    conditions.mark("SubscriberResolved", isTrue);
    return found;
  } catch (error) {
    if (!(error instanceof Unresolved)) throw error;
    conditions.mark("SubscriberResolved", isFalse("Unable to get the Subscriber's URI", error.message));
    return undefined;
  }
}

/** The Trigger's own sink, else its Broker's. */
async function deadLetterOf(trigger: Trigger, broker: Broker, look: Look): Promise<DeliveryStatus> {
  if (trigger.spec?.delivery?.deadLetterSink !== undefined) return await resolveDeadLetter(trigger.spec.delivery, look);
  const holder = `Broker ${broker.metadata?.name}`;
  return passDeadLetter(broker.spec?.delivery, { holder, status: broker.status }, look.conditions);
}

async function checkDependency({ metadata }: Trigger, look: Look): Promise<Mark> {
  const text = metadata?.annotations?.[annotations.dependency];
  if (text === undefined) return isTrue;
  const reference = readDependency(text);
  if ("problem" in reference)
    return isFalse(
      "ReferenceError",
      `Unable to unmarshal objectReference from dependency annotation of trigger: ${reference.problem}`,
    );
  try {
    const found = await look.find<Conditioned>({ ...reference, namespace: metadata?.namespace ?? "" });
    if (found === undefined)
      return isFalse(
        "DependencyDoesNotExist",
        `Dependency does not exist: ${(reference.kind ?? "").toLowerCase()} ${JSON.stringify(reference.name)} not found`,
      );
    return markOfDependency(found);
  } catch (error) {
    if (!(error instanceof UnknownKind)) throw error;
    return isUnknown("ListerDoesNotExist", `Failed to retrieve lister: ${error.message}`);
  }
}

function markOfDependency({ metadata, status }: Conditioned): Mark {
  const { generation } = metadata ?? {};
  if (generation !== undefined && generation !== (status?.observedGeneration ?? generation))
    return isUnknown(
      "GenerationNotEqual",
      `The dependency's metadata.generation, ${generation}, is not equal to its status.observedGeneration, ${status?.observedGeneration}.`,
    );
  const ready = findCondition(status?.conditions, "Ready");
  if (ready === undefined) return isUnknown("DependencyNotConfigured", "Dependency has not yet been reconciled.");
  const { reason = "", message = "" } = ready;
  if (ready.status === "True") return isTrue;
  return ready.status === "False" ? isFalse(reason, message) : isUnknown(reason, message);
}

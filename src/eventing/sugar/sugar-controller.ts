/**
 * Makes Brokers for who asks for one without making it: a Trigger of Broker "default" with the annotation `eventing.knative.dev/injection: enabled`, a namespace with that label, and those that ConfigMap
 * `config-sugar` selects. As upstream's `pkg/reconciler/sugar` (v1.22) and the annotations before it.
 */
import { matchesLabelSelector } from "#apimachinery/label-selector.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { type Broker, brokers, type Trigger, triggers } from "#eventing/kinds.ts";
import { annotations, eventingGroup, labels } from "#eventing/names.ts";

const namespaces = { group: "", version: "v1", resource: "namespaces" };

/** True for a namespace that asks for a Broker by its label. */
export function asksForBroker({ metadata }: KubeObject): boolean {
  return metadata?.labels?.[annotations.injection] === "enabled";
}

/** The controller that makes them. Keys are "namespace/broker". */
export function createSugarController(context: EventingContext): NamedController {
  const { client, informers, config } = context;
  const events = context.recorderFor("eventing-sugar-controller");
  const controller = new KeyedController(context, { name: "eventing-sugar", reconcile });
  const found = controller.watch(informers.informer<Broker>({ resource: brokers }), {
    onDelete: (broker) => controller.queue.add(keyOf(broker)),
  });
  const ofTrigger = (trigger: Trigger) => {
    if (isSelected(trigger)) controller.queue.add(`${trigger.metadata?.namespace}/${trigger.spec?.broker}`);
  };
  const seen = controller.watch(informers.informer<Trigger>({ resource: triggers }), {
    onAdd: ofTrigger,
    onUpdate: (_before, trigger) => ofTrigger(trigger),
  });
  const ofNamespace = (namespace: KubeObject) => {
    if (isSelectedNamespace(namespace)) controller.queue.add(`${namespace.metadata?.name}/default`);
  };
  const spaces = controller.watch(informers.informer({ resource: namespaces }), {
    onAdd: ofNamespace,
    onUpdate: (_before, namespace) => ofNamespace(namespace),
  });
  config.onChange(() => {
    for (const trigger of seen.lister.list()) ofTrigger(trigger);
    for (const namespace of spaces.lister.list()) ofNamespace(namespace);
  });

  function isSelected({ metadata, spec }: Trigger): boolean {
    if (!spec?.broker || metadata?.deletionTimestamp !== undefined) return false;
    const { triggers: selector } = config.current.sugar;
    const isAsked = metadata?.annotations?.[annotations.injection] === "enabled";
    return isAsked || (selector !== undefined && matchesLabelSelector(selector, metadata?.labels));
  }

  function isSelectedNamespace(namespace: KubeObject): boolean {
    if (namespace.metadata?.deletionTimestamp !== undefined) return false;
    const { namespaces: selector } = config.current.sugar;
    const isMeant = selector !== undefined && matchesLabelSelector(selector, namespace.metadata?.labels);
    return asksForBroker(namespace) || isMeant;
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    if (found.lister.find(namespace, name) !== undefined) return;
    const space = spaces.lister.find("", namespace);
    const asking = seen.lister.list(namespace).find((one) => one.spec?.broker === name && isSelected(one));
    const isWanted = asking !== undefined || (name === "default" && space !== undefined && isSelectedNamespace(space));
    if (!isWanted) return;
    const broker: Broker = {
      apiVersion: `${eventingGroup}/v1`,
      kind: "Broker",
      metadata: { name, namespace, labels: { [labels.injected]: "true" } },
    };
    try {
      await client.create<Broker>({ resource: brokers, namespace }, broker, { signal });
    } catch (error) {
      if (!hasReason(error, "AlreadyExists")) throw error;
      return;
    }
    const message = `Default eventing.knative.dev Broker ${JSON.stringify(name)} created.`;
    events.record(asking ?? broker, { type: "Normal", reason: "BrokerCreated", message });
  }
  return controller;
}

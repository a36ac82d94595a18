/**
 * Says of each Broker where it takes events and whether it can. As upstream's `pkg/reconciler/broker` (v1.22), but for the channel behind a Broker: the dispatcher keeps a Broker's events by
 * itself, so there is none, and conditions about it hold.
 */
import type { ConfigMap } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { resolveDeadLetter } from "#eventing/common/dead-letter.ts";
import { watchIngress } from "#eventing/common/ingress.ts";
import { parseYamlEntry } from "#eventing/config/yaml-entry.ts";
import { markPolicies, policiesOf, watchPolicies } from "#eventing/eventpolicy/applied-policies.ts";
import { type Broker, brokers } from "#eventing/kinds.ts";
import {
  annotations,
  audienceOf,
  brokerClass,
  eventingGroup,
  eventingNamespace,
  ingressService,
  serviceHost,
} from "#eventing/names.ts";
import { isFalse, isTrue, type Mark } from "#knative/conditions.ts";
import { ConfigError } from "#knative/config-text.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";

const dependents = [
  "IngressReady",
  "TriggerChannelReady",
  "FilterReady",
  "Addressable",
  "DeadLetterSinkResolved",
  "EventPoliciesReady",
];
const noEndpoints = isFalse("EndpointSlicesUnavailable", "EndpointSlices are unavailable.");

/** The ConfigMap that Brokers name by default: it need not exist. */
const defaultConfigMap = "config-br-default-channel";

/** True for Brokers that our dispatcher serves. */
export function isOurBroker({ metadata }: Broker): boolean {
  return metadata?.annotations?.[annotations.brokerClass] === brokerClass;
}

/** The controller of Brokers. */
export function createBrokerController(context: EventingContext): NamedController {
  const controller = new KindController<Broker>(context, {
    name: "eventing-broker",
    kind: "Broker",
    resource: brokers,
    dependents,
    isOurs: isOurBroker,
    look: (broker, look) => lookAt(broker, look),
  });
  const ingress = watchIngress(controller);
  const policies = watchPolicies(controller);
  context.config.onChange(() => controller.enqueueAll());

  async function lookAt(broker: Broker, look: Look): Promise<NonNullable<Broker["status"]>> {
    const { conditions } = look;
    const { namespace = "", name = "" } = broker.metadata ?? {};
    conditions.mark("TriggerChannelReady", await checkConfig(broker, context.client, look));
    const isListening = ingress.isReady ? isTrue : noEndpoints;
    conditions.mark("FilterReady", isListening);
    conditions.mark("IngressReady", isListening);
    const deadLetter = await resolveDeadLetter(broker.spec?.delivery, look);
    conditions.mark("Addressable", isTrue);
    const { features } = context.config.current;
    const applied = policiesOf(policies.lister.list(namespace), { group: eventingGroup, kind: "Broker" }, broker);
    return {
      address: {
        name: "http",
        url: `http://${serviceHost(ingressService, eventingNamespace)}/${namespace}/${name}`,
        ...(features.authenticationOidc ? { audience: audienceOf("Broker", namespace, name) } : {}),
      },
      ...deadLetter,
      ...markPolicies(applied, features, conditions),
    };
  }
  return controller;
}

/** What upstream would make the Broker's channel of; here it must only make sense. */
async function checkConfig({ spec }: Broker, client: Client, look: Look): Promise<Mark> {
  const failed = (why: string) => isFalse("ChannelTemplateFailed", `Error on setting up the ChannelTemplate: ${why}`);
  const { kind, namespace = "", name = "" } = spec?.config ?? {};
  if (spec?.config === undefined) return isTrue;
  if (kind !== "ConfigMap")
    return failed("Broker.Spec.Config configuration not supported, only [kind: ConfigMap, apiVersion: v1]");
  if (namespace === "" || name === "") return failed("Broker.Spec.Config name and namespace are required");
  try {
    const resource = { group: "", version: "v1", resource: "configmaps" };
    const { data } = await client.get<ConfigMap>({ resource, namespace, name }, { signal: look.signal });
    const problem = templateProblem(data);
    return problem === undefined ? isTrue : failed(problem);
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
    if (namespace === eventingNamespace && name === defaultConfigMap) return isTrue;
    look.retry(error);
    return failed(error.message);
  }
}

function templateProblem(data: ConfigMap["data"]): string | undefined {
  const text = data?.["channel-template-spec"] ?? data?.["channelTemplateSpec"] ?? "";
  if (text === "") return "empty or missing value for config";
  try {
    const { kind } = parseYamlEntry("channel-template-spec", text);
    return kind === "InMemoryChannel" ? undefined : `channels of kind ${JSON.stringify(kind)} are not served here`;
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

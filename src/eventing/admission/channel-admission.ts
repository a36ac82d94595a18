/**
 * Defaulting and validation of Channels and InMemoryChannels. Behaviour and messages as upstream's `pkg/apis/messaging/v1/*channel_*.go` (v1.22).
 */
import { findChannelTemplate } from "#eventing/config/channel-defaults-config.ts";
import type { Channel, ChannelTemplate, InMemoryChannel } from "#eventing/kinds.ts";
import { annotations, eventingNamespace } from "#eventing/names.ts";
import {
  currentField,
  disallowedFields,
  type FieldError,
  immutableChanged,
  invalidValue,
  missingField,
  viaField,
} from "#knative/admission/field-error.ts";
import { shortDiff } from "#knative/admission/short-diff.ts";
import { type EventingAdmission, namespaceOf } from "./context.ts";
import { validateDelivery, withDeliveryDefaults } from "./delivery-admission.ts";

/** Who may say who is subscribed: controllers. In this process they act as the control plane itself. */
const controllerNames = [`system:serviceaccount:${eventingNamespace}:eventing-controller`, "system:apiserver"];

export const channelAdmission: EventingAdmission<Channel> = {
  withDefaults(channel, _before, { config }) {
    const namespace = namespaceOf(channel);
    const { spec = {} } = channel;
    const template = spec.channelTemplate ?? findChannelTemplate(config.channelDefaults, namespace);
    return {
      ...subscribable(channel),
      spec: { ...withDelivery(spec, namespace), ...(template === undefined ? {} : { channelTemplate: template }) },
    };
  },

  validate(channel, before, context) {
    const { channelTemplate, subscribers = [], delivery } = channel.spec ?? {};
    const ofSpec = [
      ...validateTemplate(channelTemplate),
      ...(subscribers.length > 0 ? viaField("subscribable", [disallowedFields("subscribers")]) : []),
      ...viaField("delivery", validateDelivery(delivery, context)),
    ];
    const rest = ({ spec }: Channel) => ({ ...spec, subscribers: undefined });
    return [
      ...viaField("spec", ofSpec),
      ...(before === undefined ? [] : immutableChanged(shortDiff(rest(before), rest(channel)), "fields", "spec")),
    ];
  },
};

export const inMemoryChannelAdmission: EventingAdmission<InMemoryChannel> = {
  withDefaults(channel) {
    const { spec = {} } = channel;
    return { ...subscribable(channel), spec: withDelivery(spec, namespaceOf(channel)) };
  },

  validate(channel, before, { username }) {
    const mayChange = before === undefined || controllerNames.includes(username);
    return [
      ...viaField("spec", validateSubscribers(channel)),
      ...validateScope(channel),
      ...(mayChange ? [] : checkSubscribersUnchanged(channel, before, username)),
    ];
  },
};

/** What is wrong with a template, where a flow or a channel has it. */
export function validateTemplate(template: ChannelTemplate | undefined): readonly FieldError[] {
  if (template === undefined) return [missingField("channelTemplate")];
  const missing = (["kind", "apiVersion"] as const).filter((field) => !template[field]);
  return viaField(
    "channelTemplate",
    missing.map((field) => missingField(field)),
  );
}

/** In which form subscribers are kept. */
function subscribable<T extends Channel>(channel: T): T {
  const given = channel.metadata?.annotations;
  if (given?.[annotations.subscribable] !== undefined) return channel;
  return {
    ...channel,
    metadata: { ...channel.metadata, annotations: { ...given, [annotations.subscribable]: "v1" } },
  };
}

function withDelivery<S extends NonNullable<Channel["spec"]>>(spec: S, namespace: string): S {
  const { delivery } = spec;
  return delivery === undefined ? spec : { ...spec, delivery: withDeliveryDefaults(delivery, namespace) };
}

function validateSubscribers({ spec }: InMemoryChannel): readonly FieldError[] {
  return (spec?.subscribers ?? []).flatMap(({ replyUri, subscriberUri }, index) => {
    if (replyUri !== undefined || subscriberUri !== undefined) return [];
    const error = { ...missingField("replyURI", "subscriberURI"), details: "expected at least one of, got none" };
    return viaField("subscribable", viaField(`subscriber[${index}]`, [error]));
  });
}

function validateScope({ metadata }: InMemoryChannel): readonly FieldError[] {
  const scope = metadata?.annotations?.[annotations.scope];
  if (scope === undefined || scope === "namespace" || scope === "cluster") return [];
  const error = invalidValue(scope, currentField, "expected either 'cluster' or 'namespace'");
  return viaField(`metadata.annotations[${annotations.scope}]`, [error]);
}

function checkSubscribersUnchanged(
  channel: InMemoryChannel,
  before: InMemoryChannel,
  username: string,
): readonly FieldError[] {
  const details = shortDiff(before.spec?.subscribers ?? [], channel.spec?.subscribers ?? []);
  if (details === "") return [];
  const [controller = ""] = controllerNames;
  const message = `Channel.Spec.Subscribers changed by user ${username} which was not the ${controller} service account`;
  return [{ message, paths: ["spec.subscribers"], details }];
}

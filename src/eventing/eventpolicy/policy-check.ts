/**
 * Whether somebody may send an event to a Broker or a channel: he brings a token that is meant for it, and an EventPolicy lets him, or the default does where there is none. As upstream's `pkg/auth` (v1.22); nothing is asked
 * while the feature `authentication-oidc` is off.
 */
import type { Lister } from "#client/informer.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { FeaturesConfig } from "#eventing/config/features-config.ts";
import type { PolicyAnswer, PolicyCheck } from "#eventing/dispatcher/receiver.ts";
import type { Topic } from "#eventing/dispatcher/topology.ts";
import { compileFilter, type EventFilter, FilterError } from "#eventing/filters/compile-filter.ts";
import type { Broker, EventPolicy, InMemoryChannel } from "#eventing/kinds.ts";
import { audienceOf } from "#eventing/names.ts";

/** What it goes by. */
export type PolicyCheckOptions = {
  readonly features: () => FeaturesConfig;
  readonly brokers: Pick<Lister<Broker>, "find">;
  readonly channels: Pick<Lister<InMemoryChannel>, "find">;
  readonly policies: Pick<Lister<EventPolicy>, "find">;
  /** Who has such a token for such an audience; undefined: nobody. Rejects when it cannot be found out. */
  readonly verify: (token: string, audience: string) => Promise<string | undefined>;
};

const allowed: PolicyAnswer = { isAllowed: true };

/** The check that the receiver asks. */
export function createPolicyCheck(options: PolicyCheckOptions): PolicyCheck {
  const filters = new WeakMap<EventPolicy, EventFilter>();
  const filterOf = (policy: EventPolicy): EventFilter => {
    const known = filters.get(policy) ?? compilePolicyFilter(policy);
    filters.set(policy, known);
    return known;
  };
  return async (topic, { authorization, events }) => {
    const features = options.features();
    if (!features.authenticationOidc) return allowed;
    const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) return refused(401, "no JWT token found in request");
    const subject = await options.verify(token, audienceOfTopic(topic));
    if (subject === undefined) return refused(401, "the token is not valid for this audience");
    const policies = policiesOf(topic, options);
    if (policies === "none") return byDefault(topic, subject, features);
    const isAllowed = events.every((event) => policies.some((policy) => lets(policy, subject, event, filterOf)));
    return isAllowed ? allowed : refused(403, `no EventPolicy lets ${subject} send this event`);
  };
}

function refused(status: 401 | 403, message: string): PolicyAnswer {
  return { isAllowed: false, status, message };
}

function audienceOfTopic({ kind, namespace, name }: Topic): string {
  return audienceOf(kind === "Broker" ? "Broker" : "InMemoryChannel", namespace, name);
}

/** Those that hold for the topic and are ready; "none" when no policy is about it. */
function policiesOf(
  { kind, namespace, name }: Topic,
  { brokers, channels, policies }: PolicyCheckOptions,
): readonly EventPolicy[] | "none" {
  const { status } = (kind === "Broker" ? brokers : channels).find(namespace, name) ?? {};
  const reason = status?.conditions?.find(({ type }) => type === "EventPoliciesReady")?.reason;
  if (reason === "DefaultAuthorizationMode") return "none";
  // What is not known yet, or not ready, lets nobody in.
  return (status?.policies ?? []).flatMap((one) => policies.find(namespace, one.name ?? "") ?? []);
}

function byDefault({ namespace }: Topic, subject: string, { defaultAuthorizationMode }: FeaturesConfig): PolicyAnswer {
  if (defaultAuthorizationMode === "Allow-All") return allowed;
  const isSame = subject.startsWith(`system:serviceaccount:${namespace}:`);
  if (defaultAuthorizationMode === "Allow-Same-Namespace" && isSame) return allowed;
  return refused(403, `${subject} may not send here: default-authorization-mode is ${defaultAuthorizationMode}`);
}

function lets(
  policy: EventPolicy,
  subject: string,
  event: CloudEvent,
  filterOf: (policy: EventPolicy) => EventFilter,
): boolean {
  return (policy.status?.from ?? []).some((from) => isMeant(from, subject)) && filterOf(policy)(event);
}

// Upstream compares without regard to case, but for what stands before a star.
function isMeant(from: string, subject: string): boolean {
  if (from.toLowerCase() === subject.toLowerCase()) return true;
  return from.endsWith("*") && subject.startsWith(from.slice(0, -1));
}

function compilePolicyFilter({ spec }: EventPolicy): EventFilter {
  try {
    return compileFilter(spec?.filters === undefined ? {} : { filters: spec.filters }) ?? (() => true);
  } catch (error) {
    if (error instanceof FilterError) return () => false;
    throw error;
  }
}

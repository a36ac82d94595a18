/**
 * Which EventPolicies hold for an object, and what they say. As upstream's `pkg/auth/event_policy.go` (v1.22).
 */
import { matchesLabelSelector } from "#apimachinery/label-selector.ts";
import { type KubeObject, parseApiVersion } from "#apimachinery/meta.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import type { Informer } from "#client/informer.ts";
import type { FeaturesConfig } from "#eventing/config/features-config.ts";
import { type AppliedPolicies, eventPolicies, type EventPolicy, type EventPolicyTarget } from "#eventing/kinds.ts";
import { eventingGroup } from "#eventing/names.ts";
import { type Conditions, findCondition, isFalse, isTrue } from "#knative/conditions.ts";
import type { Conditioned, ObjectReference } from "#knative/duck.ts";
import type { KindController } from "#knative/kind-controller.ts";

/** Group and kind of those for whom policies are sought. */
export type PolicyTarget = { readonly group: string; readonly kind: string };

/** The policies that hold for an object, by name. */
export function policiesOf(
  policies: readonly EventPolicy[],
  target: PolicyTarget,
  object: KubeObject,
): readonly EventPolicy[] {
  return policies
    .filter(({ spec }) => {
      const { to = [] } = spec ?? {};
      return to.length === 0 || to.some((one) => isMeant(one, target, object));
    })
    .toSorted((a, b) => ((a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1));
}

/** Whose address a channel is, beside its own: the Channel's it stands behind, or the flow's it is the way into. */
export function findFront(channel: KubeObject): (ObjectReference & PolicyTarget) | undefined {
  const owner = controllerOf(channel);
  const { namespace = "", name } = channel.metadata ?? {};
  const isFront =
    owner?.kind === "Channel" ||
    (owner?.kind === "Sequence" && name === `${owner.name}-kn-sequence-0`) ||
    (owner?.kind === "Parallel" && name === `${owner.name}-kn-parallel`);
  if (owner === undefined || !isFront) return undefined;
  const { apiVersion, kind, name: ownersName } = owner;
  return { apiVersion, kind, name: ownersName, namespace, group: parseApiVersion(apiVersion).group };
}

/** Has objects of the controller looked at when policies of their namespace change. */
export function watchPolicies<T extends Conditioned>(controller: KindController<T>): Informer<EventPolicy> {
  return controller.watch<EventPolicy>(eventPolicies, ({ metadata }) =>
    controller.objects.lister
      .list(metadata?.namespace ?? "")
      .map((object) => `${object.metadata?.namespace}/${object.metadata?.name}`),
  );
}

/** Says in the conditions and in the status which policies hold for the object. */
export function markPolicies(
  found: readonly EventPolicy[],
  features: FeaturesConfig,
  conditions: Conditions,
): AppliedPolicies {
  if (found.length === 0) {
    conditions.mark("EventPoliciesReady", {
      status: "True",
      ...(features.authenticationOidc
        ? {
            reason: "DefaultAuthorizationMode",
            message: `Default authz mode is ${JSON.stringify(features.defaultAuthorizationMode)}`,
          }
        : {
            reason: "OIDCDisabled",
            message: 'Feature "authentication-oidc" must be enabled to support Authorization',
          }),
    });
    return {};
  }
  const isReady = ({ status }: EventPolicy) => findCondition(status?.conditions, "Ready")?.status === "True";
  const unready = found.filter((policy) => !isReady(policy)).map(({ metadata }) => metadata?.name ?? "");
  conditions.mark(
    "EventPoliciesReady",
    unready.length === 0
      ? isTrue
      : isFalse("EventPoliciesNotReady", `event policies ${unready.join(", ")} are not ready`),
  );
  const policies = found
    .filter(isReady)
    .map(({ metadata }) => ({ name: metadata?.name ?? "", apiVersion: `${eventingGroup}/v1alpha1` }));
  return policies.length === 0 ? {} : { policies };
}

function isMeant({ ref, selector }: EventPolicyTarget, target: PolicyTarget, { metadata }: KubeObject): boolean {
  const isOfKind = (one: { readonly apiVersion?: string; readonly kind?: string }) =>
    same((one.apiVersion ?? "").split("/")[0], target.group) && same(one.kind, target.kind);
  if (ref !== undefined) return isOfKind(ref) && same(ref.name, metadata?.name);
  if (selector === undefined || !isOfKind(selector)) return false;
  const { matchLabels, matchExpressions } = selector;
  return matchesLabelSelector(
    {
      ...(matchLabels === undefined ? {} : { matchLabels }),
      ...(matchExpressions === undefined ? {} : { matchExpressions }),
    },
    metadata?.labels,
  );
}

// Upstream compares without regard to case.
function same(a: string | undefined, b: string | undefined): boolean {
  return (a ?? "").toLowerCase() === (b ?? "").toLowerCase();
}

/**
 * Says of each EventPolicy whether it can be held to, and whom it lets send. As upstream's `pkg/reconciler/eventpolicy` (v1.22).
 */
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { eventPolicies, type EventPolicy } from "#eventing/kinds.ts";
import { isFalse, isTrue } from "#knative/conditions.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { UnknownKind } from "#knative/tracker.ts";

type WithIdentity = KubeObject & {
  readonly status?: {
    readonly auth?: { readonly serviceAccountName?: string; readonly serviceAccountNames?: readonly string[] };
  };
};

/** The controller of EventPolicies. */
export function createEventPolicyController(context: EventingContext): NamedController {
  const controller = new KindController<EventPolicy>(context, {
    name: "eventing-eventpolicy",
    kind: "EventPolicy",
    resource: eventPolicies,
    dependents: ["AuthenticationEnabled", "SubjectsResolved"],
    look: (policy, look) => lookAt(policy, look, context.config.current.features.authenticationOidc),
  });
  context.config.onChange(() => controller.enqueueAll());
  return controller;
}

async function lookAt(
  policy: EventPolicy,
  look: Look,
  hasIdentities: boolean,
): Promise<EventPolicy["status"] & object> {
  const { conditions } = look;
  if (!hasIdentities) {
    conditions.mark("AuthenticationEnabled", isFalse("OIDCAuthenticationDisabled", ""));
    return {};
  }
  conditions.mark("AuthenticationEnabled", isTrue);
  const subjects = await resolveSubjects(policy, look);
  if ("problem" in subjects) {
    conditions.mark("SubjectsResolved", isFalse("SubjectsNotResolved", subjects.problem));
    return {};
  }
  conditions.mark("SubjectsResolved", isTrue);
  return { from: subjects.names };
}

async function resolveSubjects(
  { spec, metadata }: EventPolicy,
  look: Look,
): Promise<{ readonly names: readonly string[] } | { readonly problem: string }> {
  const names: string[] = [];
  for (const { ref, sub } of spec?.from ?? []) {
    if (ref === undefined) {
      if (sub !== undefined) names.push(sub);
      continue;
    }
    const namespace = ref.namespace ?? metadata?.namespace ?? "";
    const accounts = await accountsOf({ ...ref, namespace }, look);
    if (accounts.length === 0)
      return {
        problem: `could not resolve subjects from reference: could not resolve auth status: ${ref.kind} ${namespace}/${ref.name} has no identity`,
      };
    names.push(...accounts.map((name) => `system:serviceaccount:${namespace}:${name}`));
  }
  return { names };
}

async function accountsOf(ref: Parameters<Look["find"]>[0], look: Look): Promise<readonly string[]> {
  try {
    const { serviceAccountName, serviceAccountNames = [] } = (await look.find<WithIdentity>(ref))?.status?.auth ?? {};
    return serviceAccountName === undefined ? serviceAccountNames : [...serviceAccountNames, serviceAccountName];
  } catch (error) {
    if (error instanceof UnknownKind) return [];
    throw error;
  }
}

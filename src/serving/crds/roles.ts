/**
 * Lets whoever may administer, edit or view a namespace do the same with its Knative objects. Names as upstream's `config/core/200-roles/clusterrole-namespaced.yaml` (v1.23).
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { aggregateTo, clusterRole, namespacedRoles, readVerbs } from "#knative/roles.ts";
import { autoscalingInternalGroup, networkingInternalGroup, servingGroup, servingNamespace } from "#serving/names.ts";

const verbs = {
  admin: ["*"],
  edit: ["create", "update", "patch", "delete"],
  view: readVerbs,
};

/** The three roles. */
export function servingRoles(): readonly KubeObject[] {
  return namespacedRoles.map((role) =>
    clusterRole(`knative-serving-namespaced-${role}`, {
      labels: { ...aggregateTo(role), "app.kubernetes.io/name": servingNamespace },
      rules: [
        { apiGroups: [servingGroup], resources: ["*"], verbs: verbs[role] },
        // Serving's own affair: to be looked at.
        { apiGroups: [networkingInternalGroup, autoscalingInternalGroup], resources: ["*"], verbs: readVerbs },
      ],
    }),
  );
}

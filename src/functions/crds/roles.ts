/**
 * Lets whoever may administer, edit or view a namespace do the same with its Functions.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { functionsGroup } from "#functions/kinds.ts";
import { aggregateTo, clusterRole, namespacedRoles, readVerbs } from "#knative/roles.ts";

const verbs = { admin: ["*"], edit: ["create", "update", "patch", "delete", ...readVerbs], view: readVerbs };

/** The three roles. */
export function functionRoles(): readonly KubeObject[] {
  return namespacedRoles.map((role) =>
    clusterRole(`nodeless-functions-${role}`, {
      labels: aggregateTo(role),
      rules: [{ apiGroups: [functionsGroup], resources: ["functions"], verbs: verbs[role] }],
    }),
  );
}

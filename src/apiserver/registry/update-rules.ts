/**
 * Rules of the subresources that write their object but are neither status nor the object itself: what they may change.
 */
import type { Draft } from "#api/strategy.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { ServedResource } from "./served-resource.ts";
import type { UpdateRules } from "./update.ts";

/** The rules of a subresource; undefined for the object itself and its status, which follow the kind's strategy. */
export function updateRules(resource: ServedResource, subresource: string): UpdateRules | undefined {
  if (subresource === "" || subresource === "status") return undefined;
  return rules.get(`${resource.stored.groupResource}/${subresource}`);
}

const rules: ReadonlyMap<string, UpdateRules> = new Map([
  // Only spec.finalizers, the list that a namespace's end waits for.
  ["namespaces/finalize", { prepare: keepAllBut(["spec"]), validate: () => [] }],
  // Only the conditions of the decision; the strategy of CSRs adds its own checks.
  ["certificatesigningrequests.certificates.k8s.io/approval", { prepare: keepAllBut(["status"]), validate: () => [] }],
]);

function keepAllBut(fields: readonly string[]): UpdateRules["prepare"] {
  const free = new Set([...fields, "metadata", "kind", "apiVersion"]);
  return (draft: Draft, old: KubeObject) => {
    for (const key of Object.keys(draft)) if (!free.has(key)) delete draft[key];
    for (const [key, value] of Object.entries(old)) if (!free.has(key)) draft[key] = value;
  };
}

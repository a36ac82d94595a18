/**
 * Which nodes a pod's nodeSelector and node affinity allow, which it prefers, and which taints it tolerates. Compiled once per pod.
 */
import type {
  Node,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Pod,
  Taint,
  Toleration,
} from "#api/generated/types/core-v1.ts";
import { matchesLabels, matchesRequirement, newRequirement } from "#apimachinery/label-selector.ts";
import type { Requirement, SelectorOperator } from "#apimachinery/label-selector.ts";

/** True for nodes that match. */
export type NodeMatcher = (node: Node) => boolean;

const operators: Readonly<Record<string, SelectorOperator>> = {
  In: "in",
  NotIn: "notin",
  Exists: "exists",
  DoesNotExist: "!",
  Gt: "gt",
  Lt: "lt",
};

/** The nodes that the pod requires; undefined when it takes any. */
export function requiredNodes(pod: Pod): NodeMatcher | undefined {
  const selector = pod.spec?.nodeSelector;
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const hasSelector = selector !== undefined && Object.keys(selector).length > 0;
  if (!hasSelector && terms === undefined) return undefined;
  const matchers = terms?.map(compileTerm);
  return (node) => {
    if (hasSelector && !matchesLabels(selector, node.metadata?.labels)) return false;
    return matchers === undefined || matchers.some((matches) => matches(node));
  };
}

/** The names of the only nodes that the pod can run on, where its affinity names them, as pods of a DaemonSet do. */
export function namedNodes(pod: Pod): ReadonlySet<string> | undefined {
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined) return undefined;
  const names = new Set<string>();
  for (const term of terms) {
    const field = term.matchFields?.find((one) => one.key === "metadata.name" && one.operator === "In");
    if (field === undefined) return undefined;
    for (const name of field.values ?? []) names.add(name);
  }
  return names;
}

/** The nodes that the pod prefers, with their weights. */
export function preferredNodes(pod: Pod): readonly { readonly weight: number; readonly matches: NodeMatcher }[] {
  const terms = pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms
    .filter(({ weight }) => weight !== 0)
    .map(({ weight, preference }) => ({ weight, matches: compileTerm(preference) }));
}

/** A term without conditions matches nothing. */
function compileTerm(term: NodeSelectorTerm): NodeMatcher {
  const labels = (term.matchExpressions ?? []).map(compile);
  const fields = (term.matchFields ?? []).map(compile);
  if (labels.length === 0 && fields.length === 0) return () => false;
  return (node) =>
    labels.every((requirement) => matchesRequirement(requirement, node.metadata?.labels)) &&
    fields.every((requirement) => matchesRequirement(requirement, { "metadata.name": node.metadata?.name ?? "" }));
}

function compile({ key, operator, values }: NodeSelectorRequirement): Requirement {
  return newRequirement(key, operators[operator] ?? "in", values ?? []);
}

/** True when one of the tolerations tolerates the taint. */
export function toleratesTaint(tolerations: readonly Toleration[] | undefined, taint: Taint): boolean {
  return (tolerations ?? []).some((toleration) => tolerates(toleration, taint));
}

/** True when the toleration tolerates the taint, whatever for how long. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  const operator = toleration.operator || "Equal";
  if (operator === "Exists") return true;
  if (operator === "Equal") return (toleration.value ?? "") === (taint.value ?? "");
  const [given, wanted] = [Number(taint.value), Number(toleration.value)];
  if (!Number.isSafeInteger(given) || !Number.isSafeInteger(wanted) || taint.value === "") return false;
  return operator === "Gt" ? given > wanted : operator === "Lt" && given < wanted;
}

/** The first taint that keeps the pod off the node. */
export function untoleratedTaint(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[] | undefined,
): Taint | undefined {
  return taints?.find((taint) => taint.effect !== "PreferNoSchedule" && !toleratesTaint(tolerations, taint));
}

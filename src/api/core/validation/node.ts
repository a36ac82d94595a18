/**
 * Nodes: taints, ranges and amounts, and what of a node never changes.
 */
import { type FieldError, duplicate, forbiddenField } from "#apimachinery/field-error.ts";
import type { Node } from "#api/generated/types/core-v1.ts";
import type { Errors } from "#api/field-rules.ts";
import { validateAmounts, validateResourceName } from "./resources.ts";
import { validateTaints } from "./scheduling.ts";

export function validateNode({ spec, status }: Node): Errors {
  return [
    ...validateTaints("metadata.taints", spec?.taints ?? []),
    ...validateAmounts("status.capacity", status?.capacity ?? {}, validateResourceName),
    ...validateAmounts("status.allocatable", status?.allocatable ?? {}, validateResourceName),
  ];
}

export function validateNodeUpdate(node: Node, old: Node): Errors {
  const errors: FieldError[] = [...validateNode(node)];
  const seen = new Set<string>();
  for (const [index, address] of (node.status?.addresses ?? []).entries()) {
    const key = `${address.type}/${address.address}`;
    if (seen.has(key)) errors.push(duplicate(`status.addresses[${index}]`, address));
    seen.add(key);
  }
  const before = old.spec?.podCIDRs ?? [];
  if (before.length > 0 && before.join() !== (node.spec?.podCIDRs ?? []).join()) {
    errors.push(forbiddenField("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'));
  }
  if (old.spec?.providerID && old.spec.providerID !== node.spec?.providerID) {
    errors.push(forbiddenField("spec.providerID", 'node updates may not change providerID except from "" to valid'));
  }
  return errors;
}

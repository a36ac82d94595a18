/**
 * Nodes: what of one can be used is what it has, unless it says less. As pkg/registry/core/node/strategy.go.
 */
import type { Node } from "#api/generated/types/core-v1.ts";
import { ensureObject } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { roundUpToMilli } from "./pod-spec-defaults.ts";
import { validateNode, validateNodeUpdate } from "./validation/node.ts";

export const nodeStrategy: KindStrategy<Node> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    if (spec["podCIDR"] && !spec["podCIDRs"]?.length) spec["podCIDRs"] = [spec["podCIDR"]];
    const { status } = draft;
    if (!status) return;
    roundUpToMilli(status.capacity);
    roundUpToMilli(status.allocatable);
    if (status.capacity && !status.allocatable) status.allocatable = { ...status.capacity };
  },
  validate: validateNode,
  validateUpdate: validateNodeUpdate,
  validateStatusUpdate: validateNodeUpdate,
  selectableFields: ({ spec }) => ({ "spec.unschedulable": String(spec?.unschedulable ?? false) }),
  hasNoGeneration: true,
};

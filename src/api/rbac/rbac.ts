/**
 * Roles and their bindings: their names may be anything that fits into a path, "system:node" for instance.
 */
import type { KindStrategy } from "#api/strategy.ts";

export const rbacStrategy: KindStrategy = { nameRule: "path-segment", hasNoGeneration: true };

/**
 * PodTemplates.
 */
import type { PodTemplate } from "#api/generated/types/core-v1.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { applyPodTemplateDefaults } from "./pod-spec-defaults.ts";
import { validatePodTemplate } from "./validation/pod-spec.ts";

export const podTemplateStrategy: KindStrategy<PodTemplate> = {
  hasGeneration: true,
  applyDefaults: (draft) => applyPodTemplateDefaults(draft["template"] as Draft),
  validate: ({ template }) => (template ? validatePodTemplate("template", template) : []),
};

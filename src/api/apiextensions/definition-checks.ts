/**
 * What is checked of CustomResourceDefinitions. In a file of its own, since it brings the engines for patterns and CEL with it.
 */
import type { CustomResourceDefinition } from "#api/generated/types/apiextensions-v1.ts";
import type { KindChecks } from "#api/strategy.ts";
import { unrecognizedFormats } from "./schema-facts.ts";
import { validateDefinition, validateDefinitionUpdate, validateNames } from "./validate-definition.ts";

export const definitionChecks: KindChecks<CustomResourceDefinition> = {
  validate: (definition) => validateDefinition(definition),
  validateUpdate: (definition, old) => validateDefinitionUpdate(definition, old),
  validateStatusUpdate: ({ status }) => validateNames(status?.acceptedNames, "status.acceptedNames"),
  warnings: (definition, old) => warningsOf(definition, old),
};

function warningsOf(
  definition: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
): readonly string[] {
  return newFormats(definition, old).map((format) => `unrecognized format ${JSON.stringify(format)}`);
}

function newFormats(
  definition: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
): readonly string[] {
  const before = new Set(old === undefined ? [] : formatsOf(old));
  return formatsOf(definition).filter((format) => !before.has(format));
}

function formatsOf(definition: CustomResourceDefinition): readonly string[] {
  return definition.spec.versions.flatMap(({ schema }) => unrecognizedFormats(schema?.openAPIV3Schema));
}

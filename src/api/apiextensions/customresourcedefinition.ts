/**
 * CustomResourceDefinitions. As apiextensions-apiserver's defaults and strategy; what is served of them is in the API server's custom-resources.
 */
import type { CustomResourceDefinition } from "#api/generated/types/apiextensions-v1.ts";
import { ensureObject, itemsOf, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { hasRules, unrecognizedFormats } from "./schema-facts.ts";
import { validateDefinition, validateDefinitionUpdate, validateNames } from "./validate-definition.ts";

export const customResourceDefinitionStrategy: KindStrategy<CustomResourceDefinition> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    const names = ensureObject(spec, "names");
    const { kind } = names as { readonly kind?: string };
    if (!names["singular"]) names["singular"] = (kind ?? "").toLowerCase();
    if (!names["listKind"] && kind) names["listKind"] = `${kind}List`;
    setDefault(spec, "conversion", { strategy: "None" });
    const { webhook } = spec["conversion"] as { readonly webhook?: Draft };
    const service = webhook?.["clientConfig"]?.service as Draft | undefined;
    if (service !== undefined && service !== null) setDefault(service, "port", 443);
  },
  prepareForCreate(draft) {
    const stored = storageVersionOf(draft);
    draft["status"] = { ...emptyStatus(), storedVersions: stored === undefined ? [] : [stored] };
  },
  prepareForUpdate(draft) {
    const stored = storageVersionOf(draft);
    const status = draft["status"] as { readonly storedVersions?: readonly string[] } | undefined;
    const versions = status?.storedVersions ?? [];
    if (stored === undefined || versions.includes(stored)) return;
    draft["status"] = { ...emptyStatus(), ...status, storedVersions: [...versions, stored] };
  },
  validate: (definition) => validateDefinition(definition),
  validateUpdate: (definition, old) => validateDefinitionUpdate(definition, old),
  validateStatusUpdate: ({ status }) => validateNames(status?.acceptedNames, "status.acceptedNames"),
  warnings: (definition, old) => warningsOf(definition, old),
  allowsUnconditionalUpdate: false,
  deletionFinalizers: ["customresourcecleanup.apiextensions.k8s.io"],
};

/** What Go shows of a status that nobody set. */
function emptyStatus(): Draft {
  return { conditions: null, acceptedNames: { plural: "", kind: "" }, storedVersions: [] };
}

function storageVersionOf(draft: Draft): string | undefined {
  const versions = itemsOf((draft["spec"] as Draft | undefined)?.["versions"]);
  return versions.find((version) => version["storage"] === true)?.["name"] as string | undefined;
}

function warningsOf(
  definition: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
): readonly string[] {
  const warnings = newFormats(definition, old).map((format) => `unrecognized format ${JSON.stringify(format)}`);
  const { conversion, versions } = definition.spec;
  if (versions.some(({ schema }) => hasRules(schema?.openAPIV3Schema))) {
    warnings.push("x-kubernetes-validations: rules in CEL are kept but not evaluated yet");
  }
  if (conversion?.strategy === "Webhook") {
    warnings.push("spec.conversion: webhooks are not called yet; versions differ in apiVersion only");
  }
  return warnings;
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

/**
 * Defaulting and validation of DomainMappings. Behaviour and messages as upstream's `pkg/apis/serving/v1beta1` (v1.23).
 */
import { isCIdentifier, isDns1123Label, isDns1123Subdomain, isQualifiedName } from "#apimachinery/names.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import {
  disallowedFields,
  type FieldError,
  generic,
  invalidValue,
  missingField,
  viaField,
} from "#knative/admission/field-error.ts";
import type { ObjectReference } from "#knative/duck.ts";
import type { DomainMapping } from "#serving/kinds.ts";
import { annotations } from "#serving/names.ts";
import type { AdmissionContext } from "./context.ts";
import { checkCreatorAndModifier } from "./spec-validation.ts";

const clusterDomain = "cluster.local";

/** As {@link KindAdmission}. */
export const domainMappingAdmission: {
  readonly withDefaults: (
    mapping: DomainMapping,
    before: DomainMapping | undefined,
    context: AdmissionContext,
  ) => DomainMapping;
  readonly validate: (mapping: DomainMapping, before: DomainMapping | undefined) => readonly FieldError[];
} = {
  withDefaults(mapping, before, { username }) {
    if (before !== undefined && semanticEqual(before.spec, mapping.spec)) return mapping;
    const by = {
      ...(before === undefined ? { [annotations.creator]: username } : {}),
      [annotations.lastModifier]: username,
    };
    return {
      ...mapping,
      metadata: { ...mapping.metadata, annotations: { ...mapping.metadata?.annotations, ...by } },
    };
  },
  validate(mapping, before) {
    const { name = "", generateName = "" } = mapping.metadata ?? {};
    const ofMetadata = [...(generateName === "" ? [] : [disallowedFields("generateName")]), ...checkDomain(name)];
    const history =
      before === undefined
        ? []
        : checkCreatorAndModifier(
            { spec: before.spec, metadata: before.metadata },
            { spec: mapping.spec, metadata: mapping.metadata },
          );
    return [
      ...viaField("metadata", ofMetadata),
      ...viaField("spec.ref", checkReference(mapping.spec?.ref)),
      ...history,
    ];
  },
};

function checkDomain(name: string): readonly FieldError[] {
  const quoted = JSON.stringify(name);
  const wrong =
    name.split(".").length < 2
      ? ["should be a domain with at least two segments separated by dots"]
      : [...isDns1123Subdomain(name), ...name.split(".").flatMap((label) => isDns1123Label(label))];
  const errors: FieldError[] = [];
  if (wrong.length > 0)
    errors.push(generic(`invalid name ${quoted}: name: Invalid value: ${quoted}: ${wrong.join(", ")}`, "name"));
  if (name.endsWith(`.${clusterDomain}`))
    errors.push(
      generic(
        `invalid name ${quoted}: must not be a subdomain of cluster local domain ${JSON.stringify(clusterDomain)}`,
        "name",
      ),
    );
  return errors;
}

function checkReference(ref: ObjectReference | undefined): readonly FieldError[] {
  const check = (field: "kind" | "name" | "apiVersion", rule: (value: string) => readonly string[]): FieldError[] => {
    const value = ref?.[field] ?? "";
    if (value === "") return [missingField(field)];
    const wrong = rule(value);
    return wrong.length === 0 ? [] : [invalidValue(wrong.join(", "), field)];
  };
  return [...check("kind", isCIdentifier), ...check("name", isDns1123Label), ...check("apiVersion", isQualifiedName)];
}

/**
 * Defaulting and validation of sources. Knative's own as upstream's `pkg/apis/sources/v1/*_defaults.go` and `*_validation.go` (v1.22).
 */
import type { EventingAdmission, EventingAdmissionContext } from "#eventing/admission/context.ts";
import { validateFilters } from "#eventing/filters/validate-filter.ts";
import type {
  ApiServerSource,
  ApiServerSourceSpec,
  BindingSubject,
  ContainerSource,
  GitSource,
  ObjectSource,
  SinkBinding,
} from "#eventing/sources/kinds.ts";
import {
  type FieldError,
  generic,
  invalidValue,
  missingField,
  missingOneOf,
  multipleOneOf,
  viaField,
  viaFieldIndex,
} from "#knative/admission/field-error.ts";
import { validateSourceSpec, withSinkDefaults } from "./source-validation.ts";

export const apiServerSourceAdmission: EventingAdmission<ApiServerSource> = {
  withDefaults(source) {
    const { spec = {} } = source;
    const { mode = "Reference", serviceAccountName = "default" } = spec;
    return withSinkDefaults({ ...source, spec: { ...spec, mode, serviceAccountName } });
  },
  validate: ({ spec = {} }, _before, context) => viaField("spec", validateApiServerSpec(spec, context)),
};

function validateApiServerSpec(spec: ApiServerSourceSpec, context: EventingAdmissionContext): readonly FieldError[] {
  const { mode = "", resources = [], owner, filters } = spec;
  return [
    ...(mode === "Reference" || mode === "Resource" ? [] : [invalidValue(mode, "mode")]),
    ...(resources.length === 0 ? [missingField("resources")] : []),
    ...resources.flatMap((resource, index) => viaFieldIndex("resources", index, validateKind(resource))),
    ...(owner === undefined ? [] : viaField("owner", validateKind(owner))),
    ...validateSourceSpec(spec, context),
    ...(filters === undefined ? [] : validateFilters({ filters })),
  ];
}

function validateKind({ apiVersion = "", kind = "" }: BindingSubject): readonly FieldError[] {
  return [
    ...(apiVersion.split("/").length > 2 || apiVersion === "" ? [invalidValue(apiVersion, "apiVersion")] : []),
    ...(kind.trim() === "" ? [missingField("kind")] : []),
  ];
}

export const containerSourceAdmission: EventingAdmission<ContainerSource> = {
  withDefaults: withSinkDefaults,
  validate({ spec = {} }, _before, context) {
    const { containers = [] } = spec.template?.spec ?? {};
    return viaField("spec", [
      ...validateSourceSpec(spec, context),
      ...(containers.length === 0 ? [missingField("containers")] : []),
      ...containers.flatMap(({ name, image }, index) =>
        viaFieldIndex("containers", index, [
          ...(name ? [] : [missingField("name")]),
          ...(image ? [] : [missingField("image")]),
        ]),
      ),
    ]);
  },
};

export const sinkBindingAdmission: EventingAdmission<SinkBinding> = {
  withDefaults(binding) {
    const { spec = {}, metadata } = withSinkDefaults(binding);
    const { subject = {} } = spec;
    const namespace = subject.namespace || metadata?.namespace;
    return { ...binding, spec: { ...spec, subject: namespace === undefined ? subject : { ...subject, namespace } } };
  },
  validate({ spec = {}, metadata }, _before, context) {
    const { subject = {} } = spec;
    const isElsewhere = subject.namespace !== undefined && subject.namespace !== metadata?.namespace;
    return viaField("spec", [
      ...viaField("subject", validateSubject(subject)),
      ...validateSourceSpec(spec, context),
      ...(isElsewhere ? [invalidValue(subject.namespace, "subject.namespace")] : []),
    ]);
  },
};

function validateSubject({ apiVersion, kind, namespace, name, selector }: BindingSubject): readonly FieldError[] {
  return [
    ...(apiVersion ? [] : [missingField("apiVersion")]),
    ...(kind ? [] : [missingField("kind")]),
    ...(namespace ? [] : [missingField("namespace")]),
    ...(name && selector ? [multipleOneOf("name", "selector")] : []),
    ...(!name && !selector ? [missingOneOf("name", "selector")] : []),
  ];
}

export const objectSourceAdmission: EventingAdmission<ObjectSource> = {
  withDefaults: withSinkDefaults,
  validate({ spec = {} }, _before, context) {
    const { bucket, persistentVolumeClaim, pattern = "" } = spec;
    const isBucket = bucket === undefined || /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(bucket);
    return viaField("spec", [
      ...(bucket === undefined && persistentVolumeClaim === undefined
        ? [missingOneOf("bucket", "persistentVolumeClaim")]
        : []),
      ...(bucket !== undefined && persistentVolumeClaim !== undefined
        ? [multipleOneOf("bucket", "persistentVolumeClaim")]
        : []),
      ...(isBucket ? [] : [invalidValue(bucket, "bucket", "it must be a DNS label")]),
      ...(persistentVolumeClaim !== undefined && !persistentVolumeClaim.claimName
        ? [missingField("persistentVolumeClaim.claimName")]
        : []),
      ...(pattern.length > 1024 ? [generic("is longer than 1024 characters", "pattern")] : []),
      ...validateSourceSpec(spec, context),
    ]);
  },
};

export const gitSourceAdmission: EventingAdmission<GitSource> = {
  withDefaults: withSinkDefaults,
  validate: ({ spec = {} }, _before, context) => viaField("spec", validateSourceSpec(spec, context)),
};

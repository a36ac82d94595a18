/**
 * Defaulting and validation of sources. Knative's own as upstream's `pkg/apis/sources/v1/*_defaults.go` and `*_validation.go` (v1.22).
 */
import { findDurationMs, formatDuration } from "#apimachinery/duration.ts";
import type { EventingAdmission, EventingAdmissionContext } from "#eventing/admission/context.ts";
import { validateFilters } from "#eventing/filters/validate-filter.ts";
import { isEndpoint, leastPollMs } from "#eventing/sources/buckets/bucket-settings.ts";
import type {
  ApiServerSource,
  ApiServerSourceSpec,
  BindingSubject,
  ContainerSource,
  GitSource,
  ObjectSource,
  S3Spec,
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

/** Largest part of a key that S3 has. */
const longestPrefix = 1024;

export const objectSourceAdmission: EventingAdmission<ObjectSource> = {
  withDefaults: withSinkDefaults,
  validate({ spec = {} }, _before, context) {
    const { bucket, persistentVolumeClaim, s3, pattern = "" } = spec;
    const places = { bucket, persistentVolumeClaim, s3 };
    const named = Object.entries(places).flatMap(([name, value]) => (value === undefined ? [] : [name]));
    const isBucket = bucket === undefined || /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(bucket);
    return viaField("spec", [
      ...(named.length === 0 ? [missingOneOf(...Object.keys(places))] : []),
      ...(named.length > 1 ? [multipleOneOf(...named)] : []),
      ...(isBucket ? [] : [invalidValue(bucket, "bucket", "it must be a DNS label")]),
      ...(persistentVolumeClaim !== undefined && !persistentVolumeClaim.claimName
        ? [missingField("persistentVolumeClaim.claimName")]
        : []),
      ...(s3 === undefined ? [] : viaField("s3", validateS3(s3))),
      ...(pattern.length > 1024 ? [generic("is longer than 1024 characters", "pattern")] : []),
      ...validateSourceSpec(spec, context),
    ]);
  },
};

function validateS3({ bucket, prefix = "", endpoint, region, secretRef, pollInterval }: S3Spec): readonly FieldError[] {
  const isBucket = bucket !== undefined && /^[A-Za-z0-9][-A-Za-z0-9._]{1,253}[A-Za-z0-9]$/.test(bucket);
  const isRegion = region === undefined || /^[A-Za-z0-9][-A-Za-z0-9]{0,62}$/.test(region);
  const pollMs = pollInterval === undefined ? leastPollMs : (findDurationMs(pollInterval) ?? -1);
  const interval = `it must be a duration of ${formatDuration(leastPollMs)} or more, such as 30s`;
  const address = "it must be an http:// or https:// address without user and query";
  return [
    ...(bucket ? [] : [missingField("bucket")]),
    ...(isBucket || !bucket ? [] : [invalidValue(bucket, "bucket", "it must be the name of a bucket")]),
    ...(prefix.length > longestPrefix ? [generic(`is longer than ${longestPrefix} characters`, "prefix")] : []),
    ...(endpoint === undefined || isEndpoint(endpoint) ? [] : [invalidValue(endpoint, "endpoint", address)]),
    ...(isRegion ? [] : [invalidValue(region, "region")]),
    ...(secretRef !== undefined && !secretRef.name ? [missingField("secretRef.name")] : []),
    ...(pollMs >= leastPollMs ? [] : [invalidValue(pollInterval, "pollInterval", interval)]),
  ];
}

export const gitSourceAdmission: EventingAdmission<GitSource> = {
  withDefaults: withSinkDefaults,
  validate: ({ spec = {} }, _before, context) => viaField("spec", validateSourceSpec(spec, context)),
};

/**
 * Defaulting and validation of each of Serving's kinds: pure functions of the object, what it was before, and who writes. Behaviour and messages as upstream's
 * `pkg/apis/serving/v1` (v1.23).
 */
import type { KubeObject, ObjectMeta } from "#apimachinery/meta.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { type FieldError, viaField } from "#knative/admission/field-error.ts";
import type { KindAdmission } from "#knative/admission/kind-admission.ts";
import { shortDiff } from "#knative/admission/short-diff.ts";
import type {
  Configuration,
  ConfigurationSpec,
  DomainMapping,
  Revision,
  RouteSpec,
  Route,
  Service,
} from "#serving/kinds.ts";
import { annotations, labels } from "#serving/names.ts";
import { refuseAutoscalingAnnotations, validateAutoscalingAnnotations } from "./autoscaling-annotations.ts";
import type { AdmissionConfig, AdmissionContext } from "./context.ts";
import { domainMappingAdmission } from "./domain-mapping-admission.ts";
import { withRevisionDefaults, withTrafficDefaults } from "./spec-defaults.ts";
import {
  checkCreatorAndModifier,
  checkNameChange,
  checkNames,
  checkOwnerLabel,
  checkRolloutDuration,
  validateRevisionSpec,
  validateTemplate,
  validateTraffic,
} from "./spec-validation.ts";

/** What is done to one of Serving's kinds when it is written. */
export type ServingKindAdmission<T extends KubeObject> = KindAdmission<T, AdmissionConfig>;

type WithSpec = KubeObject & { readonly spec?: unknown };

/** On create, and on each update that changes the spec, the object says who did it. */
function signed<T extends WithSpec>(object: T, before: T | undefined, { username }: AdmissionContext): T {
  if (before !== undefined && semanticEqual(before.spec, object.spec)) return object;
  const by = {
    ...(before === undefined ? { [annotations.creator]: username } : {}),
    [annotations.lastModifier]: username,
  };
  const metadata = { ...object.metadata, annotations: { ...object.metadata?.annotations, ...by } };
  return { ...object, metadata };
}

/** A template that keeps its name keeps its spec: new defaults would be a change without a change of name. */
function withTemplateDefaults(
  spec: ConfigurationSpec | undefined,
  before: ConfigurationSpec | undefined,
  parent: ObjectMeta | undefined,
  context: AdmissionContext,
): ConfigurationSpec {
  const template = spec?.template ?? {};
  const name = template.metadata?.name ?? "";
  if (name !== "" && name === before?.template?.metadata?.name) return spec ?? {};
  return { ...spec, template: { ...template, spec: withRevisionDefaults(template.spec, { ...context, parent }) } };
}

function withRouteDefaults<T extends RouteSpec>(spec: T, isOfService: boolean): T {
  const traffic = withTrafficDefaults(spec.traffic, isOfService);
  return traffic === undefined ? spec : { ...spec, traffic };
}

function checkMetadata(object: WithSpec, more: readonly FieldError[] = []): readonly FieldError[] {
  const ofAnnotations = viaField("annotations", refuseAutoscalingAnnotations(object.metadata?.annotations));
  return viaField("metadata", [...checkNames(object.metadata), ...ofAnnotations, ...more]);
}

function checkHistory<T extends WithSpec>(object: T, before: T | undefined): readonly FieldError[] {
  if (before === undefined) return [];
  return checkCreatorAndModifier(
    { spec: before.spec, metadata: before.metadata },
    { spec: object.spec, metadata: object.metadata },
  );
}

function isOwned({ metadata }: KubeObject): boolean {
  return (metadata?.ownerReferences ?? []).length > 0;
}

const serviceAdmission: ServingKindAdmission<Service> = {
  withDefaults(service, before, context) {
    const template = withTemplateDefaults(service.spec, before?.spec, service.metadata, context);
    return signed({ ...service, spec: withRouteDefaults({ ...service.spec, ...template }, true) }, before, context);
  },
  validate(service, before, context) {
    const { template, traffic = [] } = service.spec ?? {};
    return [
      ...checkMetadata(service, checkRolloutDuration(service.metadata)),
      ...viaField("spec.template", validateTemplate(template, { ...context, parent: service.metadata })),
      ...viaField("spec.traffic", validateTraffic(traffic, true)),
      ...checkHistory(service, before),
      ...(before === undefined ? [] : viaField("spec.template", checkNameChange(before.spec?.template, template))),
    ];
  },
};

const configurationAdmission: ServingKindAdmission<Configuration> = {
  withDefaults(configuration, before, context) {
    const spec = withTemplateDefaults(configuration.spec, before?.spec, configuration.metadata, context);
    const defaulted = { ...configuration, spec };
    return isOwned(configuration) ? defaulted : signed(defaulted, before, context);
  },
  validate(configuration, before, context) {
    const template = configuration.spec?.template;
    const ofLabels = viaField("labels", checkOwnerLabel(configuration.metadata, labels.service, "Service"));
    return [
      ...checkMetadata(configuration, ofLabels),
      ...viaField("spec.template", validateTemplate(template, { ...context, parent: configuration.metadata })),
      ...(isOwned(configuration) ? [] : checkHistory(configuration, before)),
      ...(before === undefined ? [] : viaField("spec.template", checkNameChange(before.spec?.template, template))),
    ];
  },
};

const routeAdmission: ServingKindAdmission<Route> = {
  withDefaults(route, before, context) {
    const defaulted = { ...route, spec: withRouteDefaults(route.spec ?? {}, false) };
    return isOwned(route) ? defaulted : signed(defaulted, before, context);
  },
  validate(route, before) {
    const ofLabels = viaField("labels", checkOwnerLabel(route.metadata, labels.service, "Service"));
    return [
      ...checkMetadata(route, [...ofLabels, ...checkRolloutDuration(route.metadata)]),
      ...viaField("spec.traffic", validateTraffic(route.spec?.traffic ?? [], false)),
      ...(isOwned(route) ? [] : checkHistory(route, before)),
    ];
  },
};

const revisionAdmission: ServingKindAdmission<Revision> = {
  withDefaults(revision, before, context) {
    if (before !== undefined) return revision;
    return { ...revision, spec: withRevisionDefaults(revision.spec, { ...context, parent: revision.metadata }) };
  },
  validate(revision, before, context) {
    const { metadata } = revision;
    const ofMetadata = [
      ...checkNames(metadata),
      ...viaField("annotations", validateAutoscalingAnnotations(metadata?.annotations, context.config.autoscaler)),
      ...viaField("labels", checkOwnerLabel(metadata, labels.configuration, "Configuration")),
    ];
    return [...viaField("metadata", ofMetadata), ...checkRevision(revision, before, context)];
  },
};

function checkRevision(
  revision: Revision,
  before: Revision | undefined,
  { config }: AdmissionContext,
): readonly FieldError[] {
  if (before === undefined) return viaField("spec", validateRevisionSpec(revision.spec ?? { containers: [] }, config));
  if (semanticEqual(before.spec, revision.spec)) return [];
  const details = shortDiff(before.spec, revision.spec);
  return [{ message: "Immutable fields changed (-old +new)", paths: ["spec"], details }];
}

/** By kind. */
export const kindAdmissions: Readonly<Record<string, ServingKindAdmission<KubeObject>>> = {
  Service: serviceAdmission as ServingKindAdmission<KubeObject>,
  Configuration: configurationAdmission as ServingKindAdmission<KubeObject>,
  Route: routeAdmission as ServingKindAdmission<KubeObject>,
  Revision: revisionAdmission as ServingKindAdmission<KubeObject>,
  DomainMapping: domainMappingAdmission as ServingKindAdmission<DomainMapping> as ServingKindAdmission<KubeObject>,
};

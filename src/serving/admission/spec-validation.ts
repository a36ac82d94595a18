/**
 * Validation of what Service, Configuration, Revision and Route have in common: metadata, templates, traffic. Rules and messages as upstream's `pkg/apis/serving/v1` (v1.23).
 */
import { findDurationMs } from "#apimachinery/duration.ts";
import type { ObjectMeta } from "#apimachinery/meta.ts";
import { isDns1035Label, isQualifiedName } from "#apimachinery/names.ts";
import { isQuantity } from "#apimachinery/quantity.ts";
import {
  currentField,
  disallowedFields,
  type FieldError,
  generic,
  invalidKeyName,
  invalidValue,
  missingField,
  missingOneOf,
  multipleOneOf,
  outOfBounds,
  viaField,
  viaIndex,
} from "#knative/admission/field-error.ts";
import { shortDiff } from "#knative/admission/short-diff.ts";
import { findAnnotation, type KeyPriority } from "#knative/names.ts";
import type { RevisionSpec, RevisionTemplate, TrafficTarget } from "#serving/kinds.ts";
import { annotations as keys, progressDeadline, rolloutDuration } from "#serving/names.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { validateAutoscalingAnnotations } from "./autoscaling-annotations.ts";
import type { AdmissionConfig, TemplateContext } from "./context.ts";
import { validatePodSpec } from "./pod-spec-validation.ts";

/** Names must be fit to be hosts. */
export function checkNames(metadata: ObjectMeta | undefined): readonly FieldError[] {
  const { name = "", generateName = "" } = metadata ?? {};
  if (name === "" && generateName === "") return [generic("name or generateName is required", "name")];
  return [...checkPrefix(generateName), ...checkLabel(name)];
}

function checkLabel(name: string, path = "name", colon = ": "): readonly FieldError[] {
  const wrong = name === "" ? [] : isDns1035Label(name);
  return wrong.length === 0 ? [] : [generic(`not a DNS 1035 label${colon}[${wrong.join(" ")}]`, path)];
}

function checkPrefix(generateName: string): readonly FieldError[] {
  // A dash at the end is fine: something follows.
  const wrong = generateName === "" ? [] : isDns1035Label(generateName.replace(/-$/, "a"));
  return wrong.length === 0 ? [] : [generic(`not a DNS 1035 label prefix: [${wrong.join(" ")}]`, "generateName")];
}

/** A label that names an owner must be true. */
export function checkOwnerLabel(metadata: ObjectMeta | undefined, label: string, kind: string): readonly FieldError[] {
  const value = metadata?.labels?.[label];
  if (value === undefined) return [];
  const isOwned = (metadata?.ownerReferences ?? []).some((owner) => owner.kind === kind && owner.name === value);
  return isOwned ? [] : [missingField(label)];
}

/** `rollout-duration` and `progress-deadline`: whole seconds, not negative. */
function checkSeconds(
  annotations: Readonly<Record<string, string>> | undefined,
  keyPriority: KeyPriority,
  title: string,
): readonly FieldError[] {
  const found = findAnnotation(annotations, keyPriority);
  if (found === undefined || found.value === "") return [];
  const { key, value } = found;
  const ms = findDurationMs(value);
  if (ms === undefined) return [invalidValue(value, key)];
  if (ms % 1000 !== 0) return [generic(`${title}=${value} is not at second precision`, key)];
  return ms < 0 ? [generic(`${title}=${value} must be positive`, key)] : [];
}

/** Of a Service or a Route. */
export function checkRolloutDuration(metadata: ObjectMeta | undefined): readonly FieldError[] {
  return viaField("annotations", checkSeconds(metadata?.annotations, rolloutDuration, "rollout-duration"));
}

/** The creator stays; who modified last changes only with the spec. */
export function checkCreatorAndModifier(
  before: { readonly spec: unknown; readonly metadata: ObjectMeta | undefined },
  after: { readonly spec: unknown; readonly metadata: ObjectMeta | undefined },
): readonly FieldError[] {
  const value = (object: typeof before, key: string) => object.metadata?.annotations?.[key] ?? "";
  const errors: FieldError[] = [];
  if (value(before, keys.creator) !== value(after, keys.creator))
    errors.push(generic("annotation value is immutable", keys.creator));
  const isOther = value(before, keys.lastModifier) !== value(after, keys.lastModifier);
  if (isOther && semanticEqual(before.spec, after.spec))
    errors.push(invalidValue(value(after, keys.lastModifier), keys.lastModifier));
  return viaField("metadata.annotations", errors);
}

/** What is wrong with a revision template; paths are relative to it. */
export function validateTemplate(
  template: RevisionTemplate | undefined,
  context: TemplateContext,
): readonly FieldError[] {
  const { annotations } = template?.metadata ?? {};
  const ofAnnotations = [
    ...validateAutoscalingAnnotations(annotations, context.config.autoscaler),
    ...checkQueueSidecar(annotations),
    ...checkSeconds(annotations, progressDeadline, "progress-deadline"),
  ];
  return [
    ...viaField("spec", validateRevisionSpec(template?.spec ?? { containers: [] }, context.config)),
    ...viaField("metadata.annotations", ofAnnotations),
    ...checkRevisionName(template?.metadata, context.parent),
  ];
}

/** Sizes of upstream's sidecar: there is none here, but what they say must make sense. */
function checkQueueSidecar(annotations: Readonly<Record<string, string>> | undefined): readonly FieldError[] {
  const resources = ["cpu", "memory", "ephemeral-storage"].flatMap((name) => [
    `queue.sidecar.serving.knative.dev/${name}-resource-request`,
    `queue.sidecar.serving.knative.dev/${name}-resource-limit`,
  ]);
  return resources.flatMap((key) => {
    const value = annotations?.[key];
    return value === undefined || isQuantity(value) ? [] : [invalidValue(value, `[${key}]`)];
  });
}

function checkRevisionName(metadata: ObjectMeta | undefined, parent: ObjectMeta | undefined): readonly FieldError[] {
  const { name = "", generateName = "" } = metadata ?? {};
  const wrongPrefix = generateName === "" ? [] : isDns1035Label(generateName.replace(/-$/, "a"));
  const errors: FieldError[] =
    wrongPrefix.length === 0
      ? []
      : [invalidValue(`not a DNS 1035 label prefix: [${wrongPrefix.join(" ")}]`, "metadata.generateName")];
  if (name === "") return errors;
  const wrong = isDns1035Label(name);
  if (wrong.length > 0) return [...errors, invalidValue(`not a DNS 1035 label: [${wrong.join(" ")}]`, "metadata.name")];
  const parentName = parent?.name ?? "";
  // The server picks the parent's name later: no revision can be named after it yet.
  if (parentName === "" && parent?.generateName) return [...errors, disallowedFields("metadata.name")];
  if (name.startsWith(`${parentName}-`)) return errors;
  const quoted = JSON.stringify(name);
  return [...errors, invalidValue(`${quoted} must have prefix ${JSON.stringify(`${parentName}-`)}`, "metadata.name")];
}

/** A template with a name of its own may not change without changing the name. */
export function checkNameChange(
  before: RevisionTemplate | undefined,
  after: RevisionTemplate | undefined,
): readonly FieldError[] {
  const name = after?.metadata?.name ?? "";
  if (name === "" || name !== before?.metadata?.name || semanticEqual(before, after)) return [];
  const message = "Saw the following changes without a name change (-old +new)";
  return [{ message, paths: ["metadata.name"], details: shortDiff(before, after) }];
}

/** What is wrong with a revision's spec; paths are relative to it. */
export function validateRevisionSpec(spec: RevisionSpec, config: AdmissionConfig): readonly FieldError[] {
  return [
    ...validatePodSpec(spec, config.features),
    ...checkTimeout(spec.timeoutSeconds ?? 0, config),
    ...checkConcurrency(spec.containerConcurrency, config),
  ];
}

function checkTimeout(seconds: number, { defaults }: AdmissionConfig): readonly FieldError[] {
  const max = defaults.maxRevisionTimeoutSeconds;
  return seconds > max || seconds < 0 ? [outOfBounds(seconds, 0, max, "timeoutSeconds")] : [];
}

function checkConcurrency(concurrency: number | undefined, { defaults }: AdmissionConfig): readonly FieldError[] {
  if (concurrency === undefined) return [];
  const min = defaults.allowContainerConcurrencyZero ? 0 : 1;
  const max = defaults.containerConcurrencyMaxLimit;
  return concurrency < min || concurrency > max ? [outOfBounds(concurrency, min, max, "containerConcurrency")] : [];
}

/** What is wrong with a route's traffic; paths are relative to the list. A Service's targets cannot name a Configuration: it has its own. */
export function validateTraffic(traffic: readonly TrafficTarget[], isOfService: boolean): readonly FieldError[] {
  const sum = traffic.reduce((total, { percent = 0 }) => total + percent, 0);
  return [
    ...traffic.flatMap((target, index) => viaIndex(index, checkTarget(target, isOfService))),
    ...checkTags(traffic),
    ...(sum === 100 ? [] : [generic(`Traffic targets sum to ${sum}, want 100`, currentField)]),
  ];
}

function checkTags(traffic: readonly TrafficTarget[]): readonly FieldError[] {
  const seen = new Map<string, number>();
  return traffic.flatMap(({ tag = "" }, index) => {
    if (tag === "") return [];
    const wrong = isDns1035Label(tag);
    const errors: FieldError[] =
      wrong.length === 0 ? [] : [invalidValue(`not a DNS 1035 label: [${wrong.join(" ")}]`, `tag[${index}]`)];
    const earlier = seen.get(tag);
    if (earlier === undefined) seen.set(tag, index);
    else errors.push(generic(`Multiple definitions for ${JSON.stringify(tag)}`, `[${index}].tag`, `[${earlier}].tag`));
    return errors;
  });
}

function checkTarget(target: TrafficTarget, isOfService: boolean): readonly FieldError[] {
  const { percent, latestRevision, revisionName = "", url = "" } = target;
  const errors: FieldError[] = [];
  if (latestRevision !== undefined && (revisionName !== "") === latestRevision)
    errors.push(
      generic(
        `may not set revisionName ${JSON.stringify(revisionName)} when latestRevision is ${latestRevision}`,
        "latestRevision",
      ),
    );
  errors.push(...checkReferent(target, isOfService));
  if (percent !== undefined && (percent < 0 || percent > 100)) errors.push(outOfBounds(percent, 0, 100, "percent"));
  if (url !== "") errors.push(disallowedFields("url"));
  return errors;
}

function checkReferent(target: TrafficTarget, isOfService: boolean): readonly FieldError[] {
  const { revisionName = "", configurationName = "" } = target;
  const named = (name: string, field: string) => {
    const wrong = isQualifiedName(name);
    return wrong.length === 0 ? [] : [invalidKeyName(name, field, ...wrong)];
  };
  if (isOfService && configurationName !== "") return [disallowedFields("configurationName")];
  if (revisionName !== "" && configurationName !== "") return [multipleOneOf("revisionName", "configurationName")];
  if (revisionName !== "") return named(revisionName, "revisionName");
  if (configurationName !== "") return named(configurationName, "configurationName");
  return isOfService ? [] : [missingOneOf("revisionName", "configurationName")];
}

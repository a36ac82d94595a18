/**
 * Validation of Jobs and CronJobs. As pkg/apis/batch/validation.
 */
import { isDeepStrictEqual } from "node:util";
import { type FieldError, duplicate, invalid, notSupported, required, tooMany } from "#apimachinery/field-error.ts";
import type { CronJob, CronJobSpec, Job, JobSpec, PodFailurePolicyRule } from "#api/generated/types/batch-v1.ts";
import { matchesLabelSelector, validateLabelSelector } from "#apimachinery/label-selector.ts";
import { isDns1123Label } from "#apimachinery/names.ts";
import { immutable } from "#api/core/validation/immutable.ts";
import { validatePodTemplate } from "#api/core/validation/pod-spec.ts";
import { type Errors, nonNegative, oneOf, requiredOneOf } from "#api/field-rules.ts";
import { findScheduleError } from "./cron-schedule.ts";

const maxIndexed = 100_000;
const counts = [
  "parallelism",
  "completions",
  "activeDeadlineSeconds",
  "backoffLimit",
  "ttlSecondsAfterFinished",
  "backoffLimitPerIndex",
  "maxFailedIndexes",
] as const;

export function validateJob(job: Job): Errors {
  const { spec, metadata } = job;
  if (!spec) return [required("spec.template")];
  const errors: FieldError[] = [...validateGeneratedSelector(job), ...validateJobSpec("spec", spec)];
  if (!spec.selector) errors.push(required("spec.selector"));
  else errors.push(...validateLabelSelector(spec.selector, "spec.selector"));
  const labels = spec.template?.metadata?.labels;
  if (spec.selector && !matchesLabelSelector(spec.selector, labels)) {
    errors.push(
      invalid("spec.template.metadata.labels", labels ?? null, "`selector` does not match template `labels`"),
    );
  }
  if (spec.completionMode === "Indexed" && spec.completions) {
    const last = `${metadata?.name}-${spec.completions - 1}`;
    if (isDns1123Label(last).length > 0) {
      errors.push(
        invalid("metadata.name", metadata?.name, `will not able to create pod with invalid DNS label: ${last}`),
      );
    }
  }
  return errors;
}

export function validateJobUpdate(job: Job, old: Job): Errors {
  const [spec, before] = [job.spec as JobSpec, old.spec as JobSpec];
  return [
    ...validateJob(job),
    ...validateCompletionsUpdate(spec, before),
    ...immutable("spec.selector", spec.selector, before.selector),
    ...validateTemplateUpdate(spec, old),
    ...(["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] as const).flatMap(
      (key) => immutable(`spec.${key}`, spec[key], before[key]),
    ),
  ];
}

/** Counts are not negative, and what ended does not begin again. */
export function validateJobStatus({ status = {} }: Job, old: Job): Errors {
  const errors: FieldError[] = (["active", "succeeded", "failed", "ready", "terminating"] as const).flatMap((key) =>
    nonNegative(`status.${key}`, status[key]),
  );
  for (const type of ["Complete", "Failed"]) {
    const isTrue = (job: Job) =>
      job.status?.conditions?.some((condition) => condition.type === type && condition.status === "True");
    if (isTrue(old) && !isTrue({ status }))
      errors.push(
        invalid("status.conditions", status.conditions ?? [], `cannot disable the terminal ${type}=True condition`),
      );
  }
  return errors;
}

export function validateCronJob({ spec, metadata }: CronJob): Errors {
  const errors = validateCronJobSpec(spec, undefined);
  if ((metadata?.name?.length ?? 0) <= 52) return errors;
  return [...errors, invalid("metadata.name", metadata?.name, "must be no more than 52 characters")];
}

export function validateCronJobUpdate({ spec }: CronJob, old: CronJob): Errors {
  return validateCronJobSpec(spec, old.spec);
}

/** What jobs and their templates in cron jobs must be. */
function validateJobSpec(field: string, spec: JobSpec): Errors {
  const errors: FieldError[] = counts.flatMap((key) => nonNegative(`${field}.${key}`, spec[key]));
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined) {
    errors.push(required(`${field}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
  }
  errors.push(
    ...oneOf(`${field}.completionMode`, spec.completionMode, ["NonIndexed", "Indexed"]),
    ...validateIndexed(field, spec),
  );
  if (spec.podFailurePolicy) errors.push(...validateFailurePolicy(`${field}.podFailurePolicy.rules`, spec));
  errors.push(...validateReplacement(`${field}.podReplacementPolicy`, spec));
  if (!spec.template) return [...errors, required(`${field}.template`)];
  return [
    ...errors,
    ...validatePodTemplate(`${field}.template`, spec.template),
    ...validateRestartPolicy(`${field}.template.spec.restartPolicy`, spec),
  ];
}

function validateIndexed(field: string, spec: JobSpec): Errors {
  if (spec.completionMode !== "Indexed") {
    const errors: FieldError[] = (["backoffLimitPerIndex", "maxFailedIndexes"] as const).flatMap((key) =>
      spec[key] === undefined ? [] : [invalid(`${field}.${key}`, spec[key], "requires indexed completion mode")],
    );
    return spec.successPolicy
      ? [...errors, invalid(`${field}.successPolicy`, spec.successPolicy, "requires indexed completion mode")]
      : errors;
  }
  const errors: FieldError[] = [];
  const { completions, parallelism = 0, maxFailedIndexes } = spec;
  if (completions === undefined) errors.push(required(`${field}.completions`, "when completion mode is Indexed"));
  if (parallelism > maxIndexed) {
    errors.push(
      invalid(
        `${field}.parallelism`,
        parallelism,
        `must be less than or equal to ${maxIndexed} when completion mode is Indexed`,
      ),
    );
  }
  if (maxFailedIndexes !== undefined && completions !== undefined && maxFailedIndexes > completions) {
    errors.push(invalid(`${field}.maxFailedIndexes`, maxFailedIndexes, "must be less than or equal to completions"));
  }
  return errors;
}

function validateRestartPolicy(field: string, { template, podFailurePolicy }: JobSpec): Errors {
  const policy = template?.spec?.restartPolicy;
  if (!policy || policy === "Always") return [required(field, 'valid values: "OnFailure", "Never"')];
  if (policy !== "OnFailure" && policy !== "Never") return [notSupported(field, policy, ["OnFailure", "Never"])];
  return podFailurePolicy && policy !== "Never"
    ? [invalid(field, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    : [];
}

function validateReplacement(field: string, { podReplacementPolicy, podFailurePolicy }: JobSpec): Errors {
  if (podReplacementPolicy === undefined) return [];
  return oneOf(field, podReplacementPolicy, podFailurePolicy ? ["Failed"] : ["Failed", "TerminatingOrFailed"]);
}

function validateFailurePolicy(field: string, spec: JobSpec): Errors {
  const rules = spec.podFailurePolicy?.rules ?? [];
  const containers = new Set(
    [...(spec.template?.spec?.containers ?? []), ...(spec.template?.spec?.initContainers ?? [])].map(
      ({ name }) => name,
    ),
  );
  const errors: FieldError[] = rules.length > 20 ? [tooMany(field, rules.length, 20)] : [];
  return [
    ...errors,
    ...rules.flatMap((rule, index) =>
      validateFailureRule(`${field}[${index}]`, rule, {
        containers,
        hasIndexLimit: spec.backoffLimitPerIndex !== undefined,
      }),
    ),
  ];
}

function validateFailureRule(
  field: string,
  { action, onExitCodes, onPodConditions }: PodFailurePolicyRule,
  job: { readonly containers: ReadonlySet<string>; readonly hasIndexLimit: boolean },
): Errors {
  const errors: FieldError[] = [];
  const actions = ["Count", "FailIndex", "FailJob", "Ignore"];
  if (!action)
    errors.push(required(`${field}.action`, `valid values: ${actions.map((one) => JSON.stringify(one)).join(", ")}`));
  else if (action === "FailIndex" && !job.hasIndexLimit)
    errors.push(invalid(`${field}.action`, action, "requires the backoffLimitPerIndex to be set"));
  else errors.push(...oneOf(`${field}.action`, action, actions));
  if (onExitCodes) {
    const path = `${field}.onExitCodes`;
    const { operator, containerName } = onExitCodes;
    const values = (onExitCodes.values as readonly number[] | undefined) ?? [];
    errors.push(...requiredOneOf(`${path}.operator`, operator, ["In", "NotIn"]));
    if (containerName && !job.containers.has(containerName))
      errors.push(
        invalid(
          `${path}.containerName`,
          containerName,
          "must be one of the container or initContainer names in the pod template",
        ),
      );
    if (values.length === 0) errors.push(invalid(`${path}.values`, values, "at least one value is required"));
    if (values.length > 255) errors.push(tooMany(`${path}.values`, values.length, 255));
    values.forEach((value, index) => {
      if (values.indexOf(value) < index) errors.push(duplicate(`${path}.values[${index}]`, value));
      else if (index > 0 && (values[index - 1] as number) > value)
        errors.push(invalid(`${path}.values`, values, "must be ordered"));
    });
    if (operator === "In" && values.includes(0))
      errors.push(invalid(`${path}.values[${values.indexOf(0)}]`, 0, "must not be 0 for the In operator"));
  }
  if (onExitCodes && onPodConditions?.length)
    errors.push(invalid(field, null, "specifying both OnExitCodes and OnPodConditions is not supported"));
  if (!onExitCodes && !onPodConditions?.length)
    errors.push(invalid(field, null, "specifying one of OnExitCodes and OnPodConditions is required"));
  return errors;
}

function validateGeneratedSelector({ spec, metadata }: Job): Errors {
  if (!spec?.selector || spec.manualSelector) return [];
  const expected: Readonly<Record<string, string>> = {
    "controller-uid": metadata?.uid ?? "",
    "job-name": metadata?.name ?? "",
    "batch.kubernetes.io/controller-uid": metadata?.uid ?? "",
    "batch.kubernetes.io/job-name": metadata?.name ?? "",
  };
  const labels = spec.template?.metadata?.labels ?? {};
  const errors: FieldError[] = Object.entries(expected).flatMap(([key, value]) => {
    if (labels[key] === undefined) return [required(`spec.template.metadata.labels[${key}]`, `must be '${value}'`)];
    return labels[key] === value
      ? []
      : [invalid(`spec.template.metadata.labels[${key}]`, labels, `must be '${value}'`)];
  });
  return matchesLabelSelector(spec.selector, expected)
    ? errors
    : [...errors, invalid("spec.selector", spec.selector, "`selector` not auto-generated")];
}

function validateCompletionsUpdate(spec: JobSpec, before: JobSpec): Errors {
  if (spec.completionMode !== "Indexed") return immutable("spec.completions", spec.completions, before.completions);
  if (
    spec.completions === before.completions ||
    spec.completions === undefined ||
    spec.completions === spec.parallelism
  )
    return [];
  return [invalid("spec.completions", spec.completions, "can only be modified in tandem with spec.parallelism")];
}

/** A template may change only while its job rests: where its pods run, and what they ask for. */
function validateTemplateUpdate({ template }: JobSpec, old: Job): Errors {
  const before = old.spec?.template;
  const rests = old.spec?.suspend === true && (old.status?.active ?? 0) === 0;
  const isSuspended =
    old.status?.conditions?.some(({ type, status }) => type === "Suspended" && status === "True") ?? false;
  if (!rests || (old.status?.startTime && !isSuspended)) return immutable("spec.template", template, before);
  const { nodeSelector, tolerations, schedulingGates, affinity } = template?.spec ?? { containers: [] };
  const allowed = {
    ...before?.spec,
    nodeSelector,
    tolerations,
    schedulingGates,
    affinity: { ...before?.spec?.affinity, nodeAffinity: affinity?.nodeAffinity },
  };
  const masked = {
    metadata: { ...before?.metadata, labels: template?.metadata?.labels, annotations: template?.metadata?.annotations },
    spec: allowed,
  };
  return isDeepStrictEqual(plain(template), plain(masked)) ? [] : immutable("spec.template", template, before);
}

/** Without absent fields, empty affinities and what containers ask for. */
function plain(template: unknown): unknown {
  return JSON.parse(
    JSON.stringify(template, (key, value: unknown) => {
      if (key === "resources") return undefined;
      return key === "affinity" && Object.values(value ?? {}).every((part) => part === undefined) ? undefined : value;
    }),
  );
}

function validateCronJobSpec(spec: CronJobSpec | undefined, old: CronJobSpec | undefined): Errors {
  if (!spec) return [required("spec.schedule")];
  return [
    ...(spec.schedule ? validateSchedule(spec, old) : [required("spec.schedule")]),
    ...nonNegative("spec.startingDeadlineSeconds", spec.startingDeadlineSeconds),
    ...(spec.timeZone !== undefined && spec.timeZone !== old?.timeZone
      ? validateTimeZone("spec.timeZone", spec.timeZone)
      : []),
    ...requiredOneOf("spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"]),
    ...(spec.jobTemplate?.spec
      ? validateJobSpec("spec.jobTemplate.spec", spec.jobTemplate.spec)
      : [required("spec.jobTemplate.spec.template")]),
    ...nonNegative("spec.successfulJobsHistoryLimit", spec.successfulJobsHistoryLimit),
    ...nonNegative("spec.failedJobsHistoryLimit", spec.failedJobsHistoryLimit),
  ];
}

function validateSchedule({ schedule, timeZone }: CronJobSpec, old: CronJobSpec | undefined): Errors {
  const field = "spec.schedule";
  const error = findScheduleError(schedule);
  const errors: FieldError[] = error === undefined ? [] : [invalid(field, schedule, error)];
  if (!schedule.includes("TZ")) return errors;
  if (!old?.schedule.includes("TZ"))
    return [...errors, invalid(field, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")];
  return timeZone === undefined
    ? errors
    : [...errors, invalid(field, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")];
}

function validateTimeZone(field: string, timeZone: string): Errors {
  if (timeZone === "") return [invalid(field, timeZone, "timeZone must be nil or non-empty string")];
  if (timeZone.toLowerCase() === "local") {
    return [
      invalid(field, timeZone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"),
    ];
  }
  try {
    new Intl.DateTimeFormat("en", { timeZone });
    return [];
  } catch {
    return [invalid(field, timeZone, `unknown time zone ${timeZone}`)];
  }
}

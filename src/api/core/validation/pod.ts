/**
 * Pods: as they are made, and what of them may change later. As ValidatePodCreate, ValidatePodUpdate and ValidatePodStatusUpdate.
 */
import { isDeepStrictEqual } from "node:util";
import { type FieldError, forbiddenField, invalid } from "#apimachinery/field-error.ts";
import type { Pod, PodSpec, Toleration } from "#api/generated/types/core-v1.ts";
import { isDns1123Subdomain } from "#apimachinery/names.ts";
import { check, type Errors, inRange, ipAddress } from "#api/field-rules.ts";
import { validateImageText } from "./containers.ts";
import { validatePodSpec } from "./pod-spec.ts";

const mirrorAnnotation = "kubernetes.io/config.mirror";
const maxInt32 = 2_147_483_647;
const updatable = [
  "`spec.containers[*].image`",
  "`spec.initContainers[*].image`",
  "`spec.activeDeadlineSeconds`",
  "`spec.tolerations` (only additions to existing tolerations)",
  "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
].join(",");

export function validatePodCreate(pod: Pod): Errors {
  const { spec } = pod;
  const errors: FieldError[] = [...validatePod(pod)];
  if (spec?.ephemeralContainers?.length)
    errors.push(forbiddenField("spec.ephemeralContainers", "cannot be set on create"));
  if (spec?.nodeName && spec.schedulingGates?.length) {
    errors.push(forbiddenField("spec.nodeName", "cannot be set until all schedulingGates have been cleared"));
  }
  return errors;
}

export function validatePodUpdate(pod: Pod, old: Pod): Errors {
  const [after, before] = [specOf(pod), specOf(old)];
  const errors: FieldError[] = [...validatePod(pod), ...validateAnnotationUpdate(pod, old)];
  for (const kind of ["containers", "initContainers"] as const) {
    if ((after[kind]?.length ?? 0) !== (before[kind]?.length ?? 0)) {
      return [...errors, forbiddenField(`spec.${kind}`, "pod updates may not add or remove containers")];
    }
  }
  const deadline = validateDeadlineUpdate(after.activeDeadlineSeconds, before.activeDeadlineSeconds);
  errors.push(...deadline);
  if (deadline.length > 0 && after.activeDeadlineSeconds !== undefined) return errors;
  errors.push(
    ...validateTolerationUpdate(after.tolerations ?? [], before.tolerations ?? []),
    ...validateGateUpdate(after, before),
  );
  if (isDeepStrictEqual(after, before)) return errors;
  const isGated = (before.schedulingGates?.length ?? 0) > 0;
  if (isGated) errors.push(...validateSelectorUpdate(after, before));
  const changed = changedFields(withOldValues(after, before, isGated), before);
  if (changed.length > 0)
    errors.push(
      forbiddenField("spec", `pod updates may not change fields other than ${updatable}\n${changed.join("\n")}`),
    );
  return errors;
}

export function validatePodStatusUpdate({ spec, status }: Pod, old: Pod): Errors {
  const errors: FieldError[] = [];
  if (spec?.nodeName !== old.spec?.nodeName)
    errors.push(forbiddenField("status.nodeName", "may not be changed directly"));
  const nominated = status?.nominatedNodeName;
  if (nominated && nominated !== old.status?.nominatedNodeName) {
    errors.push(...check("status.nominatedNodeName", nominated, isDns1123Subdomain));
    if (old.spec?.nodeName)
      errors.push(
        forbiddenField("status.nominatedNodeName", "may not be set on pods that are already bound to a node"),
      );
  }
  if ((status?.observedGeneration ?? 0) < 0)
    errors.push(invalid("status.observedGeneration", status?.observedGeneration, "must be a non-negative integer"));
  if (old.status?.qosClass && status?.qosClass !== old.status.qosClass)
    errors.push(invalid("status.qosClass", status?.qosClass, "field is immutable"));
  errors.push(...(status?.podIPs ?? []).flatMap(({ ip }, index) => ipAddress(`status.podIPs[${index}]`, ip)));
  return [...errors, ...validateStateTransitions(status, old)];
}

/** What every pod must be, made or changed. */
export function validatePod(pod: Pod): Errors {
  const spec = specOf(pod);
  const errors: FieldError[] = [];
  const mirror = pod.metadata?.annotations?.[mirrorAnnotation];
  if (mirror !== undefined && !spec.nodeName) {
    errors.push(
      invalid(
        `metadata.annotations[${mirrorAnnotation}]`,
        mirror,
        "must set spec.nodeName if mirror pod annotation is set",
      ),
    );
  }
  const podName = pod.metadata?.name;
  errors.push(...validatePodSpec("spec", spec, { isPod: true, ...(podName ? { podName } : {}) }));
  if (!spec.serviceAccountName) errors.push(...forbidTokens(spec));
  for (const kind of ["containers", "initContainers"] as const) {
    errors.push(
      ...(spec[kind] ?? []).flatMap(({ image }, index) => validateImageText(`spec.${kind}[${index}]`, image)),
    );
  }
  return errors;
}

/** A token needs an account to be of. */
function forbidTokens({ volumes = [] }: PodSpec): Errors {
  return volumes.flatMap(({ projected }, index) =>
    (projected?.sources ?? []).flatMap(({ serviceAccountToken }, position) =>
      serviceAccountToken
        ? [
            forbiddenField(
              `spec.volumes[${index}].projected.sources[${position}].serviceAccountToken`,
              "must not be specified when serviceAccountName is not set",
            ),
          ]
        : [],
    ),
  );
}

function validateAnnotationUpdate(pod: Pod, old: Pod): Errors {
  const [after, before] = [
    pod.metadata?.annotations?.[mirrorAnnotation],
    old.metadata?.annotations?.[mirrorAnnotation],
  ];
  const field = `metadata.annotations[${mirrorAnnotation}]`;
  if (before !== undefined && after !== before)
    return [forbiddenField(field, "may not remove or update mirror pod annotation")];
  return before === undefined && after !== undefined
    ? [forbiddenField(field, "may not add mirror pod annotation")]
    : [];
}

function validateDeadlineUpdate(after: number | undefined, before: number | undefined): Errors {
  const field = "spec.activeDeadlineSeconds";
  if (after === undefined)
    return before === undefined
      ? []
      : [invalid(field, undefined, "must not update from a positive integer to nil value")];
  const errors = inRange(field, after, [0, maxInt32]);
  if (errors.length > 0 || before === undefined || after <= before) return errors;
  return [invalid(field, after, "must be less than or equal to previous value")];
}

function validateTolerationUpdate(after: readonly Toleration[], before: readonly Toleration[]): Errors {
  const plain = ({ tolerationSeconds: _seconds, ...rest }: Toleration) => rest;
  const isKept = (old: Toleration) => after.some((one) => isDeepStrictEqual(plain(one), plain(old)));
  return before.every(isKept)
    ? []
    : [forbiddenField("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")];
}

function validateGateUpdate(
  { schedulingGates: after = [] }: PodSpec,
  { schedulingGates: before = [] }: PodSpec,
): Errors {
  const known = new Set(before.map(({ name }) => name));
  return after.flatMap(({ name }, index) =>
    known.has(name)
      ? []
      : [
          forbiddenField(
            `spec.schedulingGates[${index}].name`,
            `only deletion is allowed, but found new scheduling gate '${name}'`,
          ),
        ],
  );
}

function validateSelectorUpdate({ nodeSelector: after = {} }: PodSpec, { nodeSelector: before = {} }: PodSpec): Errors {
  const isKept = Object.entries(before).every(([key, value]) => after[key] === value);
  return isKept
    ? []
    : [
        invalid(
          "spec.nodeSelector",
          after,
          "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ),
      ];
}

/** The new spec with the old values of all that may change: what still differs may not. */
function withOldValues(after: PodSpec, before: PodSpec, isGated: boolean): PodSpec {
  const images = (kind: "containers" | "initContainers") =>
    after[kind]?.map((container, index) => ({ ...container, image: before[kind]?.[index]?.image }));
  const masked: Record<string, unknown> = {
    ...after,
    containers: images("containers"),
    initContainers: images("initContainers"),
  };
  const free = [
    "activeDeadlineSeconds",
    "schedulingGates",
    "tolerations",
    ...(isGated ? ["nodeSelector", "affinity"] : []),
  ] as const;
  for (const key of free) masked[key] = before[key as keyof PodSpec];
  if ((before.terminationGracePeriodSeconds ?? 0) < 0 && after.terminationGracePeriodSeconds === 1) {
    masked["terminationGracePeriodSeconds"] = before.terminationGracePeriodSeconds;
  }
  return masked as PodSpec;
}

/** `  spec.hostname: "a" → "b"`, a line for each field that differs. */
function changedFields(after: PodSpec, before: PodSpec): readonly string[] {
  const keys = new Set([...Object.keys(after), ...Object.keys(before)]) as Set<keyof PodSpec>;
  return [...keys]
    .filter((key) => !isDeepStrictEqual(after[key], before[key]))
    .map((key) => [line("-", key, before[key]), line("+", key, after[key])].filter((text) => text !== "").join("\n"));
}

function line(sign: string, key: string, value: unknown): string {
  return value === undefined ? "" : `${sign} ${key}: ${JSON.stringify(value)}`;
}

/** A container that ended for good does not run again. */
function validateStateTransitions(status: Pod["status"], old: Pod): Errors {
  if (old.spec?.restartPolicy === "Always") return [];
  const perContainer = new Map(old.spec?.containers?.map((container) => [container.name, container]));
  return (old.status?.containerStatuses ?? []).flatMap((before) => {
    const exitCode = before.state?.terminated?.exitCode;
    const rules = perContainer.get(before.name);
    // A container with its own restart rules may start again.
    if (exitCode === undefined || rules?.restartPolicy || rules?.restartPolicyRules) return [];
    if (old.spec?.restartPolicy === "OnFailure" && exitCode !== 0) return [];
    const index = status?.containerStatuses?.findIndex(({ name }) => name === before.name) ?? -1;
    const now = status?.containerStatuses?.[index];
    if (!now || now.state?.terminated) return [];
    return [
      forbiddenField(`status.containerStatuses[${index}].state`, "may not be transitioned to non-terminated state"),
    ];
  });
}

function specOf(pod: Pod): PodSpec {
  return pod.spec ?? ({ containers: [] } as PodSpec);
}

/**
 * As whom and with which rights containers run.
 */
import {
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooLong,
  duplicate,
} from "#apimachinery/field-error.ts";
import type {
  AppArmorProfile,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
} from "#api/generated/types/core-v1.ts";
import { descendingPath, type Errors, oneOf, userId } from "#api/field-rules.ts";

const profileTypes = ["Localhost", "RuntimeDefault", "Unconfined"];
const maxPathBytes = 4095;
const sysctlForm = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

/** securityContext of a container. */
export function validateSecurityContext(field: string, context: SecurityContext, hasHostUsers: boolean): Errors {
  const errors: FieldError[] = [
    ...userId(`${field}.runAsUser`, context.runAsUser),
    ...userId(`${field}.runAsGroup`, context.runAsGroup),
    ...oneOf(`${field}.procMount`, context.procMount, ["Default", "Unmasked"]),
  ];
  if (hasHostUsers && context.procMount === "Unmasked") {
    errors.push(invalid(`${field}.procMount`, context.procMount, "`hostUsers` must be false to use `Unmasked`"));
  }
  if (context.seccompProfile) errors.push(...validateSeccomp(`${field}.seccompProfile`, context.seccompProfile));
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged)
      errors.push(invalid(field, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    if (context.capabilities?.add?.includes("CAP_SYS_ADMIN")) {
      errors.push(
        invalid(field, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"),
      );
    }
  }
  if (context.appArmorProfile) errors.push(...validateAppArmor(`${field}.appArmorProfile`, context.appArmorProfile));
  return errors;
}

/** securityContext of a pod. */
export function validatePodSecurityContext(field: string, context: PodSecurityContext, spec: PodSpec): Errors {
  const errors: FieldError[] = [
    ...userId(`${field}.fsGroup`, context.fsGroup),
    ...userId(`${field}.runAsUser`, context.runAsUser),
    ...userId(`${field}.runAsGroup`, context.runAsGroup),
    ...(context.supplementalGroups ?? []).flatMap((group, index) =>
      userId(`${field}.supplementalGroups[${index}]`, group),
    ),
    ...oneOf(`${field}.fsGroupChangePolicy`, context.fsGroupChangePolicy, ["Always", "OnRootMismatch"]),
    ...oneOf(`${field}.supplementalGroupsPolicy`, context.supplementalGroupsPolicy, ["Merge", "Strict"]),
    ...oneOf(`${field}.seLinuxChangePolicy`, context.seLinuxChangePolicy, ["MountOption", "Recursive"]),
  ];
  if (spec.shareProcessNamespace && spec.hostPID) {
    errors.push(
      invalid(`${field}.shareProcessNamespace`, true, "ShareProcessNamespace and HostPID cannot both be enabled"),
    );
  }
  errors.push(...validateSysctls(`${field}.sysctls`, context.sysctls ?? [], spec));
  if (context.seccompProfile) errors.push(...validateSeccomp(`${field}.seccompProfile`, context.seccompProfile));
  if (context.appArmorProfile) errors.push(...validateAppArmor(`${field}.appArmorProfile`, context.appArmorProfile));
  return errors;
}

function validateSysctls(field: string, sysctls: NonNullable<PodSecurityContext["sysctls"]>, spec: PodSpec): Errors {
  const seen = new Set<string>();
  return sysctls.flatMap(({ name }, index) => {
    const path = `${field}[${index}].name`;
    if (!name) return [required(path)];
    const errors: FieldError[] = [];
    if (name.length > 253 || !sysctlForm.test(name)) {
      errors.push(invalid(path, name, `must have at most 253 characters and match regex ${sysctlForm.source}`));
    }
    const plain = name.replaceAll("/", ".");
    if (seen.has(plain)) errors.push(duplicate(path, name));
    seen.add(plain);
    if (spec.hostNetwork && plain.startsWith("net."))
      errors.push(invalid(path, name, "may not be specified when 'hostNetwork' is true"));
    if (spec.hostIPC && (/^kernel\.(shm|msg|sem)/.test(plain) || plain.startsWith("fs.mqueue."))) {
      errors.push(invalid(path, name, "may not be specified when 'hostIPC' is true"));
    }
    return errors;
  });
}

function validateSeccomp(field: string, profile: SeccompProfile): Errors {
  const { type, localhostProfile } = profile;
  const errors: FieldError[] = [];
  if (!type) errors.push(required(`${field}.type`, "type is required when seccompProfile is set"));
  else if (!profileTypes.includes(type)) errors.push(notSupported(`${field}.type`, type, profileTypes));
  if (type === "Localhost") {
    if (localhostProfile === undefined)
      errors.push(required(`${field}.localhostProfile`, "must be set when seccomp type is Localhost"));
    else errors.push(...descendingPath(`${field}.localhostProfile`, localhostProfile));
  } else if (localhostProfile !== undefined) {
    errors.push(invalid(`${field}.localhostProfile`, profile, "can only be set when seccomp type is Localhost"));
  }
  return errors;
}

function validateAppArmor(field: string, { type, localhostProfile }: AppArmorProfile): Errors {
  const path = `${field}.localhostProfile`;
  if (!type) return [required(`${field}.type`, "type is required when appArmorProfile is set")];
  if (!profileTypes.includes(type)) return [notSupported(`${field}.type`, type, profileTypes)];
  if (type !== "Localhost") {
    return localhostProfile === undefined
      ? []
      : [invalid(path, localhostProfile, "can only be set when AppArmor type is Localhost")];
  }
  if (!localhostProfile?.trim()) return [required(path, "must be set when AppArmor type is Localhost")];
  const errors: FieldError[] = [];
  if (localhostProfile.trim() !== localhostProfile)
    errors.push(invalid(path, localhostProfile, "must not be padded with whitespace"));
  if (localhostProfile.length > maxPathBytes) errors.push(tooLong(path, maxPathBytes));
  return errors;
}

/** What may not be together with a user namespace of the pod's own. */
export function validateHostUsers(field: string, spec: PodSpec): Errors {
  if (spec.hostUsers !== false) return [];
  const why = "when `hostUsers` is false";
  return [
    ...(spec.hostNetwork ? [forbiddenField(`${field}.hostNetwork`, why)] : []),
    ...(spec.hostPID ? [forbiddenField(`${field}.HostPID`, why)] : []),
    ...(spec.hostIPC ? [forbiddenField(`${field}.HostIPC`, why)] : []),
  ];
}

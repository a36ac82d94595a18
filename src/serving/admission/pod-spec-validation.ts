/**
 * Validation of a revision's pod specification, beyond what the schema says. Rules and messages as upstream's `pkg/apis/serving/k8s_validation.go` (v1.23).
 */
import type { Container, PodSpec, Volume } from "#api/generated/types/core-v1.ts";
import { isDns1123Subdomain } from "#apimachinery/names.ts";
import {
  type FieldError,
  generic,
  invalidValue,
  missingField,
  viaField,
  viaFieldIndex,
} from "#knative/admission/field-error.ts";
import type { FeaturesConfig } from "#serving/config/features-config.ts";
import { checkContainer, type ContainerPlace } from "./container-validation.ts";
import { checkMask, fieldMasks } from "./field-masks.ts";
import { checkPodSecurityContext } from "./security-validation.ts";
import { findUserPort, type UserPort } from "./user-port.ts";
import { mountedVolumes, validateVolumes } from "./volume-validation.ts";

/** What is wrong with `spec`; paths are relative to it. */
export function validatePodSpec(spec: PodSpec, features: FeaturesConfig): readonly FieldError[] {
  const containers = spec.containers ?? [];
  const initContainers = spec.initContainers ?? [];
  const volumes = new Map((spec.volumes ?? []).map((volume) => [volume.name ?? "", volume]));
  // The security context is let through when revisions are hardened by default, too.
  const alsoAllowed =
    features["kubernetes.podspec-securitycontext"] !== "Disabled" || features["secure-pod-defaults"] !== "Disabled"
      ? ["securityContext"]
      : [];
  const { port, errors: portErrors } = findUserPort(containers);
  return [
    ...checkMask(withoutServing(spec), fieldMasks.PodSpec, features, alsoAllowed),
    ...viaField("securityContext", checkPodSecurityContext(spec.securityContext, features)),
    ...viaField(
      "volumes",
      validateVolumes(spec.volumes ?? [], mountedVolumes([...initContainers, ...containers]), features),
    ),
    ...checkInitContainers(initContainers, containers, volumes, features),
    ...viaField("containers[*]", portErrors),
    ...checkContainers(containers, volumes, port, features),
    ...checkServiceAccount(spec.serviceAccountName),
  ];
}

/** A revision's spec is a pod's with more fields; those are not the mask's business. */
function withoutServing(spec: object): object {
  const {
    containerConcurrency: _concurrency,
    timeoutSeconds: _timeout,
    responseStartTimeoutSeconds: _start,
    idleTimeoutSeconds: _idle,
    ...rest
  } = spec as Record<string, unknown>;
  return rest;
}

function checkContainers(
  containers: readonly Container[],
  volumes: ReadonlyMap<string, Volume>,
  port: UserPort,
  features: FeaturesConfig,
): readonly FieldError[] {
  if (containers.length === 0) return [missingField("containers")];
  if (containers.length > 1 && features["multi-container"] !== "Enabled")
    return [generic(`multi-container is off, but found ${containers.length} containers`)];
  const seen = new Set<string>();
  return containers.flatMap((container, index) => {
    const isUser = containers.length === 1 || (container.ports ?? []).length > 0;
    const place: ContainerPlace = isUser ? { kind: "user", port } : { kind: "sidecar" };
    const errors = [...checkDuplicate(container, seen), ...checkContainer(container, place, volumes, features)];
    return viaFieldIndex("containers", index, errors);
  });
}

function checkDuplicate({ name }: Container, seen: Set<string>): readonly FieldError[] {
  if (seen.has(name)) return [generic(`duplicate container name ${JSON.stringify(name)}`, "name")];
  seen.add(name);
  return [];
}

function checkInitContainers(
  initContainers: readonly Container[],
  containers: readonly Container[],
  volumes: ReadonlyMap<string, Volume>,
  features: FeaturesConfig,
): readonly FieldError[] {
  if (initContainers.length === 0) return [];
  if (features["kubernetes.podspec-init-containers"] !== "Enabled") {
    const found = `but found ${initContainers.length} init containers`;
    return [generic(`pod spec support for init-containers is off, ${found}`)];
  }
  const seen = new Set(containers.map(({ name }) => name));
  return initContainers.flatMap((container, index) => {
    const errors = [
      ...checkDuplicate(container, seen),
      ...checkContainer(container, { kind: "init" }, volumes, features),
    ];
    // Upstream's path for init containers, too.
    return viaFieldIndex("containers", index, errors);
  });
}

function checkServiceAccount(name: string | undefined): readonly FieldError[] {
  if (name === undefined || name === "") return [];
  return isDns1123Subdomain(name).map((why) => invalidValue(name, "serviceAccountName", why));
}

/**
 * Containers of a pod: ordinary, init and ephemeral ones.
 */
import {
  type FieldError,
  duplicate,
  fieldNotFound,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooMany,
} from "#apimachinery/field-error.ts";
import type { Container, ContainerPort, EphemeralContainer, PodSpec } from "#api/generated/types/core-v1.ts";
import { isValidPortName, isValidPortNumber } from "#apimachinery/names.ts";
import { check, dnsLabel, type Errors, requiredOneOf } from "#api/field-rules.ts";
import { validateEnv, validateEnvFrom } from "./environment.ts";
import { validateLifecycle, validateProbes } from "./handlers.ts";
import { validateDevices, validateMounts } from "./mounts.ts";
import { validateContainerResources } from "./resources.ts";
import { validateSecurityContext } from "./security-context.ts";
import { volumesByName } from "./volumes.ts";

const restartPolicies = ["Always", "Never", "OnFailure"];
const ephemeralForbidden = [
  "ports",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
  "resizePolicy",
  "restartPolicy",
  "restartPolicyRules",
];

/** All containers of a pod or template. */
export function validateAllContainers(field: string, spec: PodSpec): Errors {
  return [
    ...validateContainers(`${field}.containers`, spec),
    ...validateInitContainers(`${field}.initContainers`, spec),
    ...validateEphemeralContainers(`${field}.ephemeralContainers`, spec),
  ];
}

function validateContainers(field: string, spec: PodSpec): Errors {
  const containers = spec.containers ?? [];
  if (containers.length === 0) return [required(field)];
  const names = new Set<string>();
  const errors = containers.flatMap((container, index) => {
    const path = `${field}[${index}]`;
    const isTwice = names.has(container.name) ? [duplicate(`${path}.name`, container.name)] : [];
    names.add(container.name);
    return [
      ...validateCommon(path, container, spec),
      ...isTwice,
      ...validateRun(path, container, spec),
      ...validateRestart(path, container),
    ];
  });
  return [...errors, ...validateHostPorts(field, containers)];
}

function validateInitContainers(field: string, spec: PodSpec): Errors {
  const names = new Set(spec.containers?.map(({ name }) => name));
  return (spec.initContainers ?? []).flatMap((container, index) => {
    const path = `${field}[${index}]`;
    const isSidecar = container.restartPolicy === "Always";
    const errors: FieldError[] = [...validateCommon(path, container, spec), ...validateRestart(path, container)];
    if (names.has(container.name)) errors.push(duplicate(`${path}.name`, container.name));
    names.add(container.name);
    errors.push(...validateHostPorts(field, [container]));
    if (isSidecar) return [...errors, ...validateRun(path, container, spec)];
    const set = (["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const).filter(
      (key) => container[key],
    );
    return [
      ...errors,
      ...set.map((key) =>
        forbiddenField(`${path}.${key}`, "may not be set for init containers without restartPolicy=Always"),
      ),
    ];
  });
}

function validateEphemeralContainers(field: string, spec: PodSpec): Errors {
  const others = new Set([...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(({ name }) => name));
  const names = new Set(others);
  return (spec.ephemeralContainers ?? []).flatMap((container, index) => {
    const path = `${field}[${index}]`;
    const errors: FieldError[] = [
      ...validateCommon(path, container as Container, spec),
      ...validateImageText(path, container.image),
    ];
    if (names.has(container.name)) errors.push(duplicate(`${path}.name`, container.name));
    names.add(container.name);
    const target = container.targetContainerName;
    if (target && !others.has(target)) errors.push(fieldNotFound(`${path}.targetContainerName`, target));
    return [...errors, ...validateEphemeralFields(path, container)];
  });
}

function validateEphemeralFields(path: string, container: EphemeralContainer): Errors {
  const why = "cannot be set for an Ephemeral Container";
  const set = ephemeralForbidden.filter((key) => container[key as keyof EphemeralContainer] !== undefined);
  const { resources } = container;
  if (Object.keys(resources?.limits ?? {}).length + Object.keys(resources?.requests ?? {}).length > 0)
    set.push("resources");
  const mounts = (container.volumeMounts ?? []).flatMap(({ subPath, subPathExpr }, index) => [
    ...(subPath ? [forbiddenField(`${path}.volumeMounts[${index}].subPath`, why)] : []),
    ...(subPathExpr ? [forbiddenField(`${path}.volumeMounts[${index}].subPathExpr`, why)] : []),
  ]);
  return [...set.map((key) => forbiddenField(`${path}.${key}`, why)), ...mounts];
}

function validateCommon(path: string, container: Container, spec: PodSpec): Errors {
  const volumes = volumesByName(spec);
  const claims = new Set(spec.resourceClaims?.map(({ name }) => name));
  const { securityContext } = container;
  return [
    ...(container.name ? dnsLabel(`${path}.name`, container.name) : [required(`${path}.name`)]),
    ...(container.image ? [] : [required(`${path}.image`)]),
    ...requiredOneOf(`${path}.terminationMessagePolicy`, container.terminationMessagePolicy, [
      "FallbackToLogsOnError",
      "File",
    ]),
    ...validatePorts(`${path}.ports`, container.ports ?? []),
    ...validateEnv(`${path}.env`, container.env ?? []),
    ...validateEnvFrom(`${path}.envFrom`, container.envFrom ?? []),
    ...validateMounts(`${path}.volumeMounts`, container, volumes),
    ...validateDevices(`${path}.volumeDevices`, container, volumes),
    ...requiredOneOf(`${path}.imagePullPolicy`, container.imagePullPolicy, ["Always", "IfNotPresent", "Never"]),
    ...validateContainerResources(`${path}.resources`, container.resources ?? {}, claims),
    ...validateResizePolicy(`${path}.resizePolicy`, container, spec.restartPolicy),
    ...(securityContext
      ? validateSecurityContext(`${path}.securityContext`, securityContext, spec.hostUsers !== false)
      : []),
  ];
}

function validateRun(path: string, container: Container, spec: PodSpec): Errors {
  const pod = { graceSeconds: spec.terminationGracePeriodSeconds, os: spec.os?.name };
  return [
    ...(container.lifecycle ? validateLifecycle(`${path}.lifecycle`, container.lifecycle, pod) : []),
    ...validateProbes(path, container),
  ];
}

function validateRestart(path: string, { restartPolicy, restartPolicyRules = [] }: Container): Errors {
  const errors: FieldError[] = [];
  if (restartPolicy === undefined && restartPolicyRules.length > 0) {
    errors.push(required(`${path}.restartPolicy`, "must specify restartPolicy when restart rules are used"));
  } else if (restartPolicy !== undefined && !restartPolicies.includes(restartPolicy)) {
    errors.push(notSupported(`${path}.restartPolicy`, restartPolicy, restartPolicies));
  }
  if (restartPolicyRules.length > 20) errors.push(tooMany(`${path}.restartPolicyRules`, restartPolicyRules.length, 20));
  return errors;
}

function validateResizePolicy(field: string, { resizePolicy = [] }: Container, podPolicy: string | undefined): Errors {
  const seen = new Set<string>();
  return resizePolicy.flatMap(({ resourceName, restartPolicy }, index) => {
    const errors: FieldError[] = seen.has(resourceName) ? [duplicate(`${field}[${index}]`, resourceName)] : [];
    seen.add(resourceName);
    errors.push(
      ...requiredOneOf(field, resourceName, ["cpu", "memory"]),
      ...requiredOneOf(field, restartPolicy, ["NotRequired", "RestartContainer"]),
    );
    if (podPolicy === "Never" && restartPolicy !== "NotRequired") {
      errors.push(invalid(field, restartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"));
    }
    return errors;
  });
}

function validatePorts(field: string, ports: readonly ContainerPort[]): Errors {
  const names = new Set<string>();
  return ports.flatMap((port, index) => {
    const path = `${field}[${index}]`;
    const errors: FieldError[] = [];
    if (port.name) {
      const wrong = check(`${path}.name`, port.name, isValidPortName);
      errors.push(...(wrong.length === 0 && names.has(port.name) ? [duplicate(`${path}.name`, port.name)] : wrong));
      names.add(port.name);
    }
    if (!port.containerPort) errors.push(required(`${path}.containerPort`));
    else errors.push(...check(`${path}.containerPort`, port.containerPort, isValidPortNumber));
    if (port.hostPort) errors.push(...check(`${path}.hostPort`, port.hostPort, isValidPortNumber));
    return [...errors, ...requiredOneOf(`${path}.protocol`, port.protocol, ["SCTP", "TCP", "UDP"])];
  });
}

function validateHostPorts(field: string, containers: readonly Container[]): Errors {
  const taken = new Set<string>();
  return containers.flatMap((container, index) =>
    (container.ports ?? []).flatMap(({ hostPort, hostIP = "", protocol }, portIndex) => {
      if (!hostPort) return [];
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (taken.has(key)) return [duplicate(`${field}[${index}].ports[${portIndex}].hostPort`, key)];
      taken.add(key);
      return [];
    }),
  );
}

/** Images of pods, not of templates, must not be padded. */
export function validateImageText(path: string, image: string | undefined): Errors {
  return image !== undefined && image.trim() !== image
    ? [invalid(`${path}.image`, image, "must not have leading or trailing whitespace")]
    : [];
}

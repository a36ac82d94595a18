/**
 * Validation of one container of a revision: environment, image, ports, probes, security. Rules and messages as upstream's `pkg/apis/serving/k8s_validation.go` (v1.23).
 */
import type { Container, ContainerPort, EnvFromSource, EnvVar, Probe, Volume } from "#api/generated/types/core-v1.ts";
import {
  currentField,
  disallowedFields,
  type FieldError,
  generic,
  invalidValue,
  missingField,
  missingOneOf,
  multipleOneOf,
  outOfBounds,
  viaField,
  viaIndex,
} from "#knative/admission/field-error.ts";
import type { FeaturesConfig } from "#serving/config/features-config.ts";
import { checkMask, fieldMasks } from "./field-masks.ts";
import { imageProblem } from "./image-reference.ts";
import { checkSecurityContext } from "./security-validation.ts";
import type { UserPort } from "./user-port.ts";
import { validateVolumeMounts } from "./volume-validation.ts";

/** What a container is for: requests go to the user's one, the others help it or run before it. */
export type ContainerPlace =
  | { readonly kind: "user"; readonly port: UserPort }
  | { readonly kind: "sidecar" }
  | { readonly kind: "init" };

const maxInt32 = 2_147_483_647;

const reservedNames = ["queue-proxy"];
const reservedEnvironment = ["K_SERVICE", "K_CONFIGURATION", "K_REVISION"];
/** Ports of upstream's queue proxy. There is none here, but a manifest that works here must work there. */
const reservedPorts = [8012, 8013, 8022, 9090, 9091, 8008];

/** What is wrong with one container; paths are relative to it. */
export function checkContainer(
  container: Container,
  place: ContainerPlace,
  volumes: ReadonlyMap<string, Volume>,
  features: FeaturesConfig,
): readonly FieldError[] {
  return [
    ...checkProbes(container, place, features),
    ...(place.kind === "init" ? checkNoLifecycle(container) : []),
    ...checkCommon(container, place, volumes, features),
  ];
}

function checkCommon(
  container: Container,
  place: ContainerPlace,
  volumes: ReadonlyMap<string, Volume>,
  features: FeaturesConfig,
): readonly FieldError[] {
  if (Object.keys(container).length === 0) return [missingField(currentField)];
  const { name, terminationMessagePolicy: policy } = container;
  const isKnownPolicy = ["", "File", "FallbackToLogsOnError"].includes(policy ?? "");
  const hidden = place.kind === "init" ? ["lifecycle"] : [];
  return [
    ...checkMask(container, fieldMasks.Container, features, hidden),
    ...(reservedNames.includes(name) ? [generic(`${JSON.stringify(name)} is a reserved container name`, "name")] : []),
    ...viaField("env", checkEnv(container.env ?? [], place, features)),
    ...viaField("envFrom", checkEnvFrom(container.envFrom ?? [], features)),
    ...checkImage(container.image),
    ...viaField("ports", checkPorts(container.ports ?? [], place, features)),
    ...viaField("resources", checkMask(container.resources, fieldMasks.ResourceRequirements, features)),
    ...viaField("securityContext", checkSecurityContext(container.securityContext, features)),
    ...(isKnownPolicy ? [] : [invalidValue(policy, "terminationMessagePolicy")]),
    ...viaField("volumeMounts", validateVolumeMounts(container.volumeMounts ?? [], volumes, features)),
  ];
}

function checkImage(image: string | undefined): readonly FieldError[] {
  if (image === undefined || image === "") return [missingField("image")];
  const problem = imageProblem(image);
  if (problem === undefined) return [];
  const details = `image: ${JSON.stringify(image)}, error: ${problem}`;
  return [{ message: "Failed to parse image reference", paths: ["image"], details }];
}

function checkEnv(env: readonly EnvVar[], place: ContainerPlace, features: FeaturesConfig): readonly FieldError[] {
  const reserved = place.kind === "user" ? ["PORT", ...reservedEnvironment] : reservedEnvironment;
  return env.flatMap((variable, index) => {
    const { name, valueFrom } = variable;
    const nameErrors =
      name === ""
        ? [missingField("name")]
        : reserved.includes(name)
          ? [generic(`${JSON.stringify(name)} is a reserved environment variable`, "name")]
          : [];
    return viaIndex(index, [
      ...checkMask(variable, fieldMasks.EnvVar, features),
      ...nameErrors,
      ...viaField("valueFrom", checkMask(valueFrom, fieldMasks.EnvVarSource, features)),
    ]);
  });
}

function checkEnvFrom(sources: readonly EnvFromSource[], features: FeaturesConfig): readonly FieldError[] {
  return sources.flatMap((source, index) => {
    const { configMapRef, secretRef } = source;
    const both = configMapRef !== undefined && secretRef !== undefined;
    const neither = configMapRef === undefined && secretRef === undefined;
    return [
      ...viaIndex(index, checkMask(source, fieldMasks.EnvFromSource, features)),
      ...viaIndex(index, viaField("secretRef", checkMask(secretRef, fieldMasks.EnvSource, features))),
      ...viaIndex(index, viaField("configMapRef", checkMask(configMapRef, fieldMasks.EnvSource, features))),
      ...(both ? [multipleOneOf("configMapRef", "secretRef")] : []),
      ...(neither ? [missingOneOf("configMapRef", "secretRef")] : []),
    ];
  });
}

function checkPorts(
  ports: readonly ContainerPort[],
  place: ContainerPlace,
  features: FeaturesConfig,
): readonly FieldError[] {
  if (place.kind === "init") return ports.flatMap((port) => checkPort(port, features));
  const [port] = ports;
  if (port === undefined) return [];
  const { name = "", protocol = "" } = port;
  const errors = [...checkPort(port, features)];
  if (protocol !== "" && protocol !== "TCP") errors.push(invalidValue(protocol, "protocol"));
  if (!["h2c", "http1", ""].includes(name)) {
    const details = "Name must be empty, or one of: 'h2c', 'http1'";
    errors.push({ message: `Port name ${name} is not allowed`, paths: [currentField], details });
  }
  return errors;
}

function checkPort(port: ContainerPort, features: FeaturesConfig): readonly FieldError[] {
  const { containerPort } = port;
  const errors = [...checkMask(port, fieldMasks.ContainerPort, features)];
  if (reservedPorts.includes(containerPort)) {
    const why = `${containerPort} is a reserved port`;
    errors.push(invalidValue(why, "containerPort", `${why}, please use a different value`));
  }
  if (containerPort < 0 || containerPort > 65_535) errors.push(outOfBounds(containerPort, 0, 65_535, "containerPort"));
  return errors;
}

function checkNoLifecycle({ lifecycle }: Container): readonly FieldError[] {
  return lifecycle === undefined ? [] : [generic("field not allowed in an init container", "lifecycle")];
}

function checkProbes(container: Container, place: ContainerPlace, features: FeaturesConfig): readonly FieldError[] {
  const probes = [
    ["livenessProbe", container.livenessProbe],
    ["readinessProbe", container.readinessProbe],
    ["startupProbe", container.startupProbe],
  ] as const;
  return probes.flatMap(([field, probe]) => {
    if (probe === undefined) return [];
    if (place.kind === "init") return [generic("field not allowed in an init container", field)];
    return viaField(field, checkProbe(field, probe, place, features));
  });
}

function checkProbe(
  field: string,
  probe: Probe,
  place: ContainerPlace,
  features: FeaturesConfig,
): readonly FieldError[] {
  if (place.kind === "sidecar" && features["multi-container-probing"] !== "Enabled") {
    const set = Object.entries(probe).filter(([, value]) => value !== undefined && value !== 0);
    return set.length === 0 ? [] : [disallowedFields(...set.map(([name]) => name))];
  }
  const errors = [...checkHandlers(probe, place, features)];
  return field === "readinessProbe" ? [...errors, ...checkReadinessTimes(probe)] : errors;
}

function checkHandlers(probe: Probe, place: ContainerPlace, features: FeaturesConfig): readonly FieldError[] {
  const { exec, httpGet, tcpSocket, grpc } = probe;
  const given = [
    ...(httpGet === undefined ? [] : ["httpGet"]),
    ...(tcpSocket === undefined ? [] : ["tcpSocket"]),
    ...(exec === undefined ? [] : ["exec"]),
    ...(grpc === undefined ? [] : ["gRPC"]),
  ];
  return [
    ...checkMask(probe, fieldMasks.Probe, features),
    ...viaField("httpGet", checkMask(httpGet, fieldMasks.HTTPGetAction, features)),
    ...(httpGet === undefined ? [] : checkProbePort("httpGet.port", httpGet.port, place)),
    ...viaField("tcpSocket", checkMask(tcpSocket, fieldMasks.TCPSocketAction, features)),
    ...(tcpSocket === undefined ? [] : checkProbePort("tcpSocket.port", tcpSocket.port, place)),
    ...viaField("exec", checkMask(exec, fieldMasks.ExecAction, features)),
    ...viaField("grpc", checkMask(grpc, fieldMasks.GRPCAction, features)),
    ...(given.length === 0 ? [missingOneOf("httpGet", "tcpSocket", "exec", "grpc")] : []),
    ...(given.length > 1 ? [multipleOneOf(...given)] : []),
  ];
}

function checkProbePort(path: string, port: string | number | undefined, place: ContainerPlace): readonly FieldError[] {
  const isName = typeof port === "string" && port !== "";
  if (place.kind === "user")
    return isName && port !== place.port.name ? [invalidValue(port, path, "Probe port must match container port")] : [];
  return isName || (typeof port === "number" && port !== 0)
    ? []
    : [invalidValue(port ?? 0, path, "Probe port must be specified")];
}

function checkReadinessTimes(probe: Probe): readonly FieldError[] {
  const { periodSeconds = 0, initialDelaySeconds = 0, successThreshold = 0 } = probe;
  const { failureThreshold = 0, timeoutSeconds = 0 } = probe;
  const errors: FieldError[] = [];
  if (periodSeconds < 0) errors.push(outOfBounds(periodSeconds, 0, maxInt32, "periodSeconds"));
  if (initialDelaySeconds < 0) errors.push(outOfBounds(initialDelaySeconds, 0, maxInt32, "initialDelaySeconds"));
  if (successThreshold < 1) errors.push(outOfBounds(successThreshold, 1, maxInt32, "successThreshold"));
  if (periodSeconds === 0) {
    // Such a probe is Knative's own: as often as it likes, until the container is ready for the first time.
    const disallowed = (field: string) => generic(`${field} is disallowed when periodSeconds is zero`, field);
    if (failureThreshold !== 0) errors.push(disallowed("failureThreshold"));
    if (timeoutSeconds !== 0) errors.push(disallowed("timeoutSeconds"));
    return errors;
  }
  if (timeoutSeconds < 1) errors.push(outOfBounds(timeoutSeconds, 1, maxInt32, "timeoutSeconds"));
  if (failureThreshold < 1) errors.push(outOfBounds(failureThreshold, 1, maxInt32, "failureThreshold"));
  return errors;
}

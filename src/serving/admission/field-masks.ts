/**
 * Which fields of a pod's specification a revision may have. The lists are upstream's `pkg/apis/serving/fieldmask.go` (v1.23), as data; some fields need a feature that is not
 * disabled.
 */
import { disallowedFields, type FieldError } from "#knative/admission/field-error.ts";
import type { Feature, FeaturesConfig } from "#serving/config/features-config.ts";

/** Fields that may be set: always, or unless a feature is disabled. */
export type FieldMask = Readonly<Record<string, true | Feature>>;

function all(...names: readonly string[]): FieldMask {
  return Object.fromEntries(names.map((name) => [name, true as const]));
}

/** Structs of core/v1 of which a revision may have only some fields. */
export type MaskedStruct =
  | "PodSpec"
  | "Volume"
  | "VolumeProjection"
  | "ConfigMapProjection"
  | "SecretProjection"
  | "ServiceAccountTokenProjection"
  | "DownwardAPIProjection"
  | "DownwardAPIVolumeFile"
  | "KeyToPath"
  | "Container"
  | "VolumeMount"
  | "Probe"
  | "ExecAction"
  | "HTTPGetAction"
  | "TCPSocketAction"
  | "GRPCAction"
  | "ContainerPort"
  | "EnvVar"
  | "EnvVarSource"
  | "EnvFromSource"
  | "EnvSource"
  | "ResourceRequirements"
  | "PodSecurityContext"
  | "SecurityContext"
  | "ImageVolumeSource"
  | "NamespacedObjectReference";

/** The masks, by the name of the struct in core/v1. */
export const fieldMasks: Readonly<Record<MaskedStruct, FieldMask>> = {
  PodSpec: {
    ...all("serviceAccountName", "containers", "volumes", "imagePullSecrets", "enableServiceLinks"),
    affinity: "kubernetes.podspec-affinity",
    topologySpreadConstraints: "kubernetes.podspec-topologyspreadconstraints",
    hostAliases: "kubernetes.podspec-hostaliases",
    nodeSelector: "kubernetes.podspec-nodeselector",
    runtimeClassName: "kubernetes.podspec-runtimeclassname",
    tolerations: "kubernetes.podspec-tolerations",
    shareProcessNamespace: "kubernetes.podspec-shareprocessnamespace",
    priorityClassName: "kubernetes.podspec-priorityclassname",
    schedulerName: "kubernetes.podspec-schedulername",
    initContainers: "kubernetes.podspec-init-containers",
    dnsPolicy: "kubernetes.podspec-dnspolicy",
    dnsConfig: "kubernetes.podspec-dnsconfig",
    hostIPC: "kubernetes.podspec-hostipc",
    hostPID: "kubernetes.podspec-hostpid",
    hostNetwork: "kubernetes.podspec-hostnetwork",
  },
  Volume: {
    ...all("name", "secret", "configMap", "projected"),
    emptyDir: "kubernetes.podspec-volumes-emptydir",
    persistentVolumeClaim: "kubernetes.podspec-persistent-volume-claim",
    hostPath: "kubernetes.podspec-volumes-hostpath",
    csi: "kubernetes.podspec-volumes-csi",
    ephemeral: "kubernetes.podspec-volumes-ephemeral",
    image: "kubernetes.podspec-volumes-image",
  },
  VolumeProjection: all("secret", "configMap", "serviceAccountToken", "downwardAPI"),
  ConfigMapProjection: all("name", "items", "optional"),
  SecretProjection: all("name", "items", "optional"),
  ServiceAccountTokenProjection: all("audience", "expirationSeconds", "path"),
  DownwardAPIProjection: all("items"),
  DownwardAPIVolumeFile: all("fieldRef", "resourceFieldRef", "path", "mode"),
  KeyToPath: all("key", "path", "mode"),
  Container: all(
    "name",
    "args",
    "command",
    "env",
    "workingDir",
    "envFrom",
    "image",
    "imagePullPolicy",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "volumeMounts",
  ),
  VolumeMount: {
    ...all("name", "readOnly", "mountPath", "subPath"),
    mountPropagation: "kubernetes.podspec-volumes-mount-propagation",
  },
  Probe: all(
    "exec",
    "httpGet",
    "tcpSocket",
    "grpc",
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "terminationGracePeriodSeconds",
  ),
  ExecAction: all("command"),
  HTTPGetAction: all("host", "path", "scheme", "httpHeaders", "port"),
  TCPSocketAction: all("host", "port"),
  GRPCAction: all("port", "service"),
  ContainerPort: all("containerPort", "name", "protocol"),
  EnvVar: all("name", "value", "valueFrom"),
  EnvVarSource: {
    ...all("configMapKeyRef", "secretKeyRef"),
    fieldRef: "kubernetes.podspec-fieldref",
    resourceFieldRef: "kubernetes.podspec-fieldref",
  },
  EnvFromSource: all("prefix", "configMapRef", "secretRef"),
  EnvSource: all("name", "optional"),
  ResourceRequirements: all("limits", "requests"),
  PodSecurityContext: {
    runAsUser: "kubernetes.podspec-securitycontext",
    runAsGroup: "kubernetes.podspec-securitycontext",
    runAsNonRoot: "kubernetes.podspec-securitycontext",
    fsGroup: "kubernetes.podspec-securitycontext",
    supplementalGroups: "kubernetes.podspec-securitycontext",
    seccompProfile: "kubernetes.podspec-securitycontext",
  },
  SecurityContext: all(
    "capabilities",
    "readOnlyRootFilesystem",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "allowPrivilegeEscalation",
    "seccompProfile",
  ),
  ImageVolumeSource: all("reference", "pullPolicy"),
  NamespacedObjectReference: all("apiVersion", "kind", "name"),
};

/** Fields of `value` that the mask does not let through. Empty values count as absent. */
export function checkMask(
  value: object | undefined,
  mask: FieldMask,
  features: FeaturesConfig,
  alsoAllowed: readonly string[] = [],
): readonly FieldError[] {
  const set = Object.entries(value ?? {}).filter(([, field]) => !isEmpty(field));
  const wrong = set
    .map(([name]) => name)
    .filter((name) => !isAllowed(mask[name], features) && !alsoAllowed.includes(name));
  return wrong.length === 0 ? [] : [disallowedFields(...wrong)];
}

function isAllowed(rule: true | Feature | undefined, features: FeaturesConfig): boolean {
  return rule === true || (rule !== undefined && features[rule] !== "Disabled");
}

// Go's objects cannot tell false, 0 and "" from absent; neither may we.
function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return value === undefined || value === null || value === false || value === 0 || value === "";
}

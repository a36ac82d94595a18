/**
 * Specs of pods, alone and in templates. As ValidatePodSpec in pkg/apis/core/validation.
 */
import {
  type FieldError,
  fieldNotFound,
  forbiddenField,
  invalid,
  required,
  tooLong,
} from "#apimachinery/field-error.ts";
import type { ObjectMeta } from "#apimachinery/meta.ts";
import { validateLabels } from "#apimachinery/label-selector.ts";
import { isDns1123Subdomain } from "#apimachinery/names.ts";
import type { PodDNSConfig, PodSpec, PodTemplateSpec } from "#api/generated/types/core-v1.ts";
import {
  check,
  dnsLabel,
  dnsSubdomain,
  type Errors,
  ipAddress,
  oneOf,
  positiveInt32,
  qualifiedName,
  requiredOneOf,
} from "#api/field-rules.ts";
import { validateAllContainers } from "./containers.ts";
import { validatePodResources } from "./pod-resources.ts";
import { validateAmounts, validateResourceName } from "./resources.ts";
import {
  validateAffinity,
  validateSchedulingGates,
  validateTolerations,
  validateTopologySpread,
} from "./scheduling.ts";
import { validateHostUsers, validatePodSecurityContext } from "./security-context.ts";
import { validateVolumes } from "./volumes.ts";

const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/** What is known of the pod around the spec. */
type Around = { readonly isPod: boolean; readonly podName?: string };

export function validatePodSpec(field: string, spec: PodSpec, around: Around): Errors {
  const at = (name: string) => `${field}.${name}`;
  return [
    ...(spec.terminationGracePeriodSeconds === undefined ? [required(at("terminationGracePeriodSeconds"))] : []),
    ...validateVolumes(at("volumes"), spec, around.podName),
    ...validateResourceClaims(at("resourceClaims"), spec.resourceClaims ?? []),
    ...validateAllContainers(field, spec),
    ...(spec.resources ? validatePodResources(at("resources"), spec) : []),
    ...validateHostNetwork(at("containers"), spec, around.isPod),
    ...requiredOneOf(at("restartPolicy"), spec.restartPolicy, ["Always", "OnFailure", "Never"]),
    ...requiredOneOf(at("dnsPolicy"), spec.dnsPolicy, dnsPolicies),
    ...validateLabels(spec.nodeSelector, at("nodeSelector")),
    ...(spec.securityContext ? validatePodSecurityContext(at("securityContext"), spec.securityContext, spec) : []),
    ...(spec.affinity ? validateAffinity(at("affinity"), spec.affinity) : []),
    ...validateDnsConfig(at("dnsConfig"), spec.dnsConfig, spec.dnsPolicy),
    ...(spec.readinessGates ?? []).flatMap(({ conditionType }, index) =>
      qualifiedName(`${at("readinessGates")}[${index}].conditionType`, conditionType),
    ),
    ...validateSchedulingGates(at("schedulingGates"), spec.schedulingGates ?? []),
    ...validateTopologySpread(at("topologySpreadConstraints"), spec.topologySpreadConstraints ?? []),
    ...validateHostUsers(field, spec),
    ...validateNames(field, spec),
    ...positiveInt32(at("activeDeadlineSeconds"), spec.activeDeadlineSeconds),
    ...validateTolerations(at("tolerations"), spec.tolerations ?? []),
    ...validateHostAliases(at("hostAliases"), spec.hostAliases ?? []),
    ...oneOf(at("preemptionPolicy"), spec.preemptionPolicy, ["PreemptLowerPriority", "Never"]),
    ...validateAmounts(at("overhead"), spec.overhead ?? {}, validateResourceName),
    ...(spec.os ? requiredOneOf(at("os.name"), spec.os.name, ["linux", "windows"]) : []),
    ...validateFileKeyRefs(field, spec),
  ];
}

/** A template of pods: its labels, annotations and spec. */
export function validatePodTemplate(field: string, { metadata, spec }: PodTemplateSpec): Errors {
  const errors: FieldError[] = [
    ...validateLabels(metadata?.labels, `${field}.labels`),
    ...validateAnnotations(`${field}.annotations`, metadata),
  ];
  if (!spec) return [...errors, required(`${field}.spec.containers`)];
  errors.push(...validatePodSpec(`${field}.spec`, spec, { isPod: false }));
  if (spec.ephemeralContainers?.length) {
    errors.push(
      forbiddenField(`${field}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template"),
    );
  }
  return errors;
}

/** Keys of annotations are qualified names (in lower case). */
export function validateAnnotations(field: string, metadata: ObjectMeta | undefined): Errors {
  return Object.keys(metadata?.annotations ?? {}).flatMap((key) =>
    qualifiedName(field, key.toLowerCase()).map((error) => ({
      ...error,
      message: error.message.replace(JSON.stringify(key.toLowerCase()), JSON.stringify(key)),
    })),
  );
}

function validateNames(field: string, spec: PodSpec): Errors {
  const name = (key: "serviceAccountName" | "nodeName" | "priorityClassName" | "runtimeClassName") =>
    spec[key] ? check(`${field}.${key}`, spec[key], isDns1123Subdomain) : [];
  const label = (key: "hostname" | "subdomain") => (spec[key] ? dnsLabel(`${field}.${key}`, spec[key]) : []);
  return [
    ...validateHostnameOverride(`${field}.hostnameOverride`, spec),
    ...name("serviceAccountName"),
    ...name("nodeName"),
    ...label("hostname"),
    ...label("subdomain"),
    ...name("priorityClassName"),
    ...name("runtimeClassName"),
  ];
}

function validateHostnameOverride(
  field: string,
  { hostnameOverride, setHostnameAsFQDN, hostNetwork }: PodSpec,
): Errors {
  if (hostnameOverride === undefined) return [];
  const errors: FieldError[] = [];
  if (setHostnameAsFQDN) errors.push(forbiddenField(field, "may not be specified when setHostnameAsFQDN is true"));
  if (hostNetwork) errors.push(forbiddenField(field, "may not be specified when hostNetwork is true"));
  if (hostnameOverride.length > 64) errors.push(tooLong(field, 64));
  return [...errors, ...dnsSubdomain(field, hostnameOverride)];
}

function validateResourceClaims(field: string, claims: NonNullable<PodSpec["resourceClaims"]>): Errors {
  return claims.flatMap((claim, index) => {
    const path = `${field}[${index}]`;
    const errors: FieldError[] = claim.name ? [...dnsLabel(`${path}.name`, claim.name)] : [required(`${path}.name`)];
    const { resourceClaimName, resourceClaimTemplateName } = claim;
    if (resourceClaimName && resourceClaimTemplateName) {
      errors.push(
        invalid(path, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
      );
    }
    if (!resourceClaimName && !resourceClaimTemplateName) {
      errors.push(invalid(path, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"));
    }
    return errors;
  });
}

function validateHostNetwork(field: string, { hostNetwork, containers }: PodSpec, isPod: boolean): Errors {
  if (!hostNetwork) return [];
  return ((containers as PodSpec["containers"] | undefined) ?? []).flatMap(({ ports = [] }, index) =>
    ports.flatMap(({ hostPort = 0, containerPort }, portIndex) =>
      (isPod || hostPort !== 0) && hostPort !== containerPort
        ? [
            invalid(
              `${field}[${index}].ports[${portIndex}].hostPort`,
              hostPort,
              "must match `containerPort` when `hostNetwork` is true",
            ),
          ]
        : [],
    ),
  );
}

function validateDnsConfig(field: string, config: PodDNSConfig | undefined, policy: string | undefined): Errors {
  if (policy === "None") {
    if (!config) return [required(field, "must provide `dnsConfig` when `dnsPolicy` is None")];
    if (!config.nameservers?.length)
      return [required(`${field}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None")];
  }
  const { nameservers = [], searches = [], options = [] } = config ?? {};
  const errors: FieldError[] = [];
  if (nameservers.length > 3)
    errors.push(invalid(`${field}.nameservers`, nameservers, "must not have more than 3 nameservers"));
  errors.push(...nameservers.flatMap((address, index) => ipAddress(`${field}.nameservers[${index}]`, address)));
  if (searches.length > 32)
    errors.push(invalid(`${field}.searches`, searches, "must not have more than 32 search paths"));
  if (searches.join(" ").length > 2048) {
    errors.push(
      invalid(
        `${field}.searches`,
        searches,
        "must not have more than 2048 characters (including spaces) in the search list",
      ),
    );
  }
  // Search domains may have underscores, as SRV records have.
  const rule = (text: string) => isDns1123Subdomain(text.replaceAll("_", "-").replace(/(^|\.)-/g, "$1x"));
  errors.push(
    ...searches.flatMap((search, index) =>
      search === "." ? [] : check(`${field}.searches[${index}]`, search.replace(/\.$/, ""), rule),
    ),
  );
  return [
    ...errors,
    ...options.flatMap(({ name }, index) =>
      name ? [] : [required(`${field}.options[${index}]`, "must not be empty")],
    ),
  ];
}

function validateHostAliases(field: string, aliases: NonNullable<PodSpec["hostAliases"]>): Errors {
  return aliases.flatMap(({ ip, hostnames = [] }, index) => [
    ...ipAddress(`${field}[${index}].ip`, ip),
    ...hostnames.flatMap((name, position) => dnsSubdomain(`${field}[${index}].hostnames[${position}]`, name)),
  ]);
}

function validateFileKeyRefs(field: string, spec: PodSpec): Errors {
  const volumes = new Map(spec.volumes?.map((volume) => [volume.name, volume]));
  return (["initContainers", "containers"] as const).flatMap((kind) =>
    (spec[kind] ?? []).flatMap(({ env = [] }, index) =>
      env.flatMap(({ valueFrom }, position) => {
        const name = valueFrom?.fileKeyRef?.volumeName;
        if (!name) return [];
        const path = `${field}.${kind}[${index}].env[${position}].valueFrom.fileKeyRef.volumeName`;
        const volume = volumes.get(name);
        if (!volume) return [fieldNotFound(path, name)];
        return volume.emptyDir ? [] : [invalid(path, name, "referenced volume must be of type emptyDir")];
      }),
    ),
  );
}

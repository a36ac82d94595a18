/**
 * Environment variables of containers, and references to fields of the pod.
 */
import { type FieldError, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import type {
  Container,
  EnvVarSource,
  ObjectFieldSelector,
  ResourceFieldSelector,
} from "#api/generated/types/core-v1.ts";
import { isConfigMapKey, isDns1123Subdomain, isRelaxedEnvVarName } from "#apimachinery/names.ts";
import { canonicalQuantity } from "#apimachinery/quantity.ts";
import { check, dnsLabel, type Errors, noBacksteps, qualifiedName } from "#api/field-rules.ts";

const environmentFields = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
/** Fields that files of a downward API volume may show. */
export const volumeFields: readonly string[] = [
  "metadata.name",
  "metadata.namespace",
  "metadata.labels",
  "metadata.annotations",
  "metadata.uid",
];
/** Other fields that upstream knows: an unknown one gets another message. */
const knownFields = new Set([
  ...environmentFields,
  ...volumeFields,
  "spec.restartPolicy",
  "spec.schedulerName",
  "spec.hostNetwork",
  "status.phase",
  "status.nominatedNodeName",
]);

const resourceFields = [
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "requests.cpu",
  "requests.memory",
  "requests.ephemeral-storage",
];
const byteDivisors = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

export function validateEnv(field: string, env: NonNullable<Container["env"]>): Errors {
  return env.flatMap(({ name, value, valueFrom }, index) => {
    const path = `${field}[${index}]`;
    const nameErrors = name ? check(`${path}.name`, name, isRelaxedEnvVarName) : [required(`${path}.name`)];
    return [...nameErrors, ...(valueFrom ? validateSource(`${path}.valueFrom`, valueFrom, value) : [])];
  });
}

export function validateEnvFrom(field: string, sources: NonNullable<Container["envFrom"]>): Errors {
  return sources.flatMap(({ prefix, configMapRef, secretRef }, index) => {
    const path = `${field}[${index}]`;
    const errors: FieldError[] = prefix ? [...check(`${path}.prefix`, prefix, isRelaxedEnvVarName)] : [];
    if (configMapRef) errors.push(...refName(`${path}.configMapRef.name`, configMapRef.name));
    if (secretRef) errors.push(...refName(`${path}.secretRef.name`, secretRef.name));
    // Upstream names the whole list here, not the item.
    if (!configMapRef && !secretRef)
      errors.push(invalid(field, "", "must specify one of: `configMapRef` or `secretRef`"));
    if (configMapRef && secretRef)
      errors.push(invalid(field, "", "may not have more than one field specified at a time"));
    return errors;
  });
}

/** A reference to a field of the pod; `fields` are those that may be named here. */
export function validateFieldRef(
  field: string,
  { apiVersion, fieldPath }: ObjectFieldSelector,
  fields: readonly string[],
): Errors {
  if (!apiVersion) return [required(`${field}.apiVersion`)];
  if (!fieldPath) return [required(`${field}.fieldPath`)];
  const [, path, subscript] = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/.exec(fieldPath) ?? [];
  if (path !== undefined && subscript !== undefined) {
    return qualifiedName(field, path === "metadata.annotations" ? subscript.toLowerCase() : subscript);
  }
  if (fields.includes(fieldPath)) return [];
  if (knownFields.has(fieldPath)) return [notSupported(`${field}.fieldPath`, fieldPath, fields)];
  return [
    invalid(`${field}.fieldPath`, fieldPath, `error converting fieldPath: field label not supported: ${fieldPath}`),
  ];
}

/** A reference to a request or limit. In volumes the container must be named. */
export function validateResourceFieldRef(
  field: string,
  { containerName, resource, divisor }: ResourceFieldSelector,
  isVolume: boolean,
): Errors {
  const errors: FieldError[] = [];
  const isHugePages = /^(requests|limits)\.hugepages-/.test(resource);
  if (isVolume && !containerName) errors.push(required(`${field}.containerName`));
  else if (!resource) errors.push(required(`${field}.resource`));
  else if (!resourceFields.includes(resource) && !isHugePages)
    errors.push(notSupported(`${field}.resource`, resource, resourceFields));
  return [...errors, ...validateDivisor(field, resource, divisor === undefined ? "0" : canonicalQuantity(divisor))];
}

function validateDivisor(field: string, resource: string, divisor: string): Errors {
  if (divisor === "0") return [];
  const says = (values: readonly string[], what: string) =>
    values.includes(divisor)
      ? []
      : [
          invalid(
            `${field}.divisor`,
            resource,
            `only divisor's values ${values.join(", ")} are supported with the ${what} resource`,
          ),
        ];
  if (/^(limits|requests)\.cpu$/.test(resource)) {
    return ["1m", "1"].includes(divisor)
      ? []
      : [invalid(`${field}.divisor`, resource, "only divisor's values 1m and 1 are supported with the cpu resource")];
  }
  if (/^(limits|requests)\.memory$/.test(resource)) return says(byteDivisors, "memory");
  if (/^(limits|requests)\.ephemeral-storage$/.test(resource)) return says(byteDivisors, "local ephemeral storage");
  return /^(limits|requests)\.hugepages-/.test(resource) ? says(byteDivisors, "hugepages") : [];
}

function validateSource(field: string, source: EnvVarSource, value: string | undefined): Errors {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = source;
  const errors: FieldError[] = [];
  if (fieldRef) errors.push(...validateFieldRef(`${field}.fieldRef`, fieldRef, environmentFields));
  if (resourceFieldRef) errors.push(...validateResourceFieldRef(`${field}.resourceFieldRef`, resourceFieldRef, false));
  if (configMapKeyRef) errors.push(...validateKeyRef(`${field}.configMapKeyRef`, configMapKeyRef));
  if (secretKeyRef) errors.push(...validateKeyRef(`${field}.secretKeyRef`, secretKeyRef));
  if (fileKeyRef) errors.push(...validateFileKeyRef(`${field}.fileKeyRef`, fileKeyRef));
  const count = [fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef].filter(Boolean).length;
  if (count === 0) {
    errors.push(
      invalid(
        field,
        "",
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
      ),
    );
  } else if (value) {
    errors.push(invalid(field, "", "may not be specified when `value` is not empty"));
  } else if (count > 1) {
    errors.push(invalid(field, "", "may not have more than one field specified at a time"));
  }
  return errors;
}

function validateKeyRef(field: string, { name = "", key }: { readonly name?: string; readonly key: string }): Errors {
  const keyErrors = key ? check(`${field}.key`, key, isConfigMapKey) : [required(`${field}.key`)];
  return [...check(`${field}.name`, name, isDns1123Subdomain), ...keyErrors];
}

function validateFileKeyRef(field: string, { key, path, volumeName }: NonNullable<EnvVarSource["fileKeyRef"]>): Errors {
  return [
    ...(key ? check(`${field}.key`, key, isRelaxedEnvVarName) : [required(`${field}.key`)]),
    ...(volumeName ? dnsLabel(`${field}.volumeName`, volumeName) : [required(`${field}.volumeName`)]),
    ...(path ? noBacksteps(`${field}.path`, path) : [required(`${field}.path`)]),
  ];
}

function refName(field: string, name: string | undefined): Errors {
  return name ? check(field, name, isDns1123Subdomain) : [required(field)];
}

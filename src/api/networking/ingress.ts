/**
 * Ingresses. As pkg/apis/networking/validation and pkg/registry/networking/ingress/strategy.go.
 */
import type {
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IngressRule,
  IngressSpec,
  IngressTLS,
} from "#api/generated/types/networking-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { messagesAt, validateIp } from "#api/validation.ts";
import { type FieldError, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import {
  isDns1123Label,
  isDns1123Subdomain,
  isValidPortName,
  isValidPortNumber,
  isWildcardDns1123Subdomain,
} from "#apimachinery/names.ts";
import { isIP } from "node:net";

const classAnnotation = "kubernetes.io/ingress.class";
const pathTypes = ["Exact", "ImplementationSpecific", "Prefix"];
const wrongSequences = ["//", "/./", "/../", "%2f", "%2F"];
const wrongEndings = ["/..", "/."];

export const ingressStrategy: KindStrategy<Ingress> = {
  prepareForCreate(draft) {
    draft["status"] = { loadBalancer: {} };
  },
  validate: (ingress) => [...validateSpec(ingress.spec ?? {}), ...validateClassAnnotation(ingress)],
  validateUpdate: (ingress) => validateSpec(ingress.spec ?? {}),
  validateStatusUpdate: ({ status }) =>
    (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }, index) => {
      const field = `status.loadBalancer.ingress[${index}]`;
      const isAddress = hostname !== undefined && isIP(hostname) !== 0;
      return [
        ...(ip ? validateIp(`${field}.ip`, ip) : []),
        ...(hostname ? messagesAt(`${field}.hostname`, hostname, isDns1123Subdomain(hostname)) : []),
        ...(isAddress ? [invalid(`${field}.hostname`, hostname, "must be a DNS name, not an IP address")] : []),
      ];
    }),
};

function validateClassAnnotation({ metadata, spec }: Ingress): readonly FieldError[] {
  const annotation = metadata?.annotations?.[classAnnotation];
  const isOther =
    annotation !== undefined && spec?.ingressClassName !== undefined && annotation !== spec.ingressClassName;
  if (!isOther) return [];
  return [
    invalid(`annotations.${classAnnotation}`, annotation, "must match `ingressClassName` when both are specified"),
  ];
}

function validateSpec(spec: IngressSpec): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (!spec.rules?.length && spec.defaultBackend === undefined) {
    errors.push(invalid("spec", spec.rules ?? [], "either `defaultBackend` or `rules` must be specified"));
  }
  if (spec.defaultBackend !== undefined) errors.push(...validateBackend(spec.defaultBackend, "spec.defaultBackend"));
  spec.rules?.forEach((rule, index) => errors.push(...validateRule(rule, `spec.rules[${index}]`)));
  spec.tls?.forEach((tls, index) => errors.push(...validateTls(tls, `spec.tls[${index}]`)));
  const { ingressClassName } = spec;
  if (ingressClassName !== undefined) {
    errors.push(...messagesAt("spec.ingressClassName", ingressClassName, isDns1123Subdomain(ingressClassName)));
  }
  return errors;
}

function validateRule({ host, http }: IngressRule, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (host) {
    if (isIP(host) !== 0) errors.push(invalid(`${field}.host`, host, "must be a DNS name, not an IP address"));
    const check = host.includes("*") ? isWildcardDns1123Subdomain : isDns1123Subdomain;
    errors.push(...messagesAt(`${field}.host`, host, check(host)));
  }
  if (http === undefined) return errors;
  if (!http.paths?.length) errors.push(required(`${field}.http.paths`));
  http.paths?.forEach((path, index) => errors.push(...validatePath(path, `${field}.http.paths[${index}]`)));
  return errors;
}

function validatePath({ path = "", pathType, backend }: HTTPIngressPath, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (!pathType) errors.push(required(`${field}.pathType`, "pathType must be specified"));
  else if (!pathTypes.includes(pathType)) errors.push(notSupported(`${field}.pathType`, pathType, pathTypes));
  else if (pathType === "ImplementationSpecific") {
    if (path !== "" && !path.startsWith("/")) errors.push(invalid(`${field}.path`, path, "must be an absolute path"));
  } else errors.push(...validateStrictPath(path, `${field}.path`));
  errors.push(...validateBackend(backend, `${field}.backend`));
  return errors;
}

function validateStrictPath(path: string, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (!path.startsWith("/")) errors.push(invalid(field, path, "must be an absolute path"));
  for (const sequence of wrongSequences) {
    if (path.includes(sequence)) errors.push(invalid(field, path, `must not contain '${sequence}'`));
  }
  for (const ending of wrongEndings) {
    if (path.endsWith(ending)) errors.push(invalid(field, path, `cannot end with '${ending}'`));
  }
  return errors;
}

function validateBackend({ service, resource }: IngressBackend, field: string): readonly FieldError[] {
  if (resource !== undefined && service !== undefined) {
    return [invalid(field, "", "cannot set both resource and service backends")];
  }
  if (resource !== undefined) return [];
  if (service === undefined) return [invalid(field, "", "resource or service backend is required")];
  const errors: FieldError[] = [];
  const { name, port } = service;
  if (!name) errors.push(required(`${field}.service.name`));
  else errors.push(...messagesAt(`${field}.service.name`, name, isDns1123Label(name)));
  const hasNumber = port?.number !== undefined && port.number !== 0;
  if (port?.name && hasNumber) errors.push(invalid(field, "", "cannot set both port name & port number"));
  else if (port?.name) errors.push(...messagesAt(`${field}.service.port.name`, port.name, isValidPortName(port.name)));
  else if (hasNumber) {
    errors.push(...messagesAt(`${field}.service.port.number`, port.number, isValidPortNumber(port.number as number)));
  } else errors.push(required(field, "port name or number is required"));
  return errors;
}

function validateTls({ hosts, secretName }: IngressTLS, field: string): readonly FieldError[] {
  const errors = (hosts ?? []).flatMap((host, index) => {
    const check = host.includes("*") ? isWildcardDns1123Subdomain : isDns1123Subdomain;
    return messagesAt(`${field}.hosts[${index}]`, host, check(host));
  });
  return secretName
    ? [...errors, ...messagesAt(`${field}.secretName`, secretName, isDns1123Subdomain(secretName))]
    : errors;
}

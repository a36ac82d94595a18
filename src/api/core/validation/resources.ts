/**
 * Requests and limits: names of resources and their amounts.
 */
import {
  type FieldError,
  fieldNotFound,
  forbiddenField,
  invalid,
  required,
  duplicate,
} from "#apimachinery/field-error.ts";
import type { ResourceRequirements } from "#api/generated/types/core-v1.ts";
import { isQualifiedName } from "#apimachinery/names.ts";
import { compareQuantities, formatQuantity, isQuantity, parseQuantity, type Quantity } from "#apimachinery/quantity.ts";
import { check, dnsLabel, type Errors } from "#api/field-rules.ts";

type Amounts = Readonly<Record<string, string>>;

const containerResources = new Set(["cpu", "memory", "ephemeral-storage"]);
const standardResources = new Set([
  ...containerResources,
  "requests.cpu",
  "requests.memory",
  "requests.ephemeral-storage",
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "storage",
  "requests.storage",
  "services.nodeports",
  "services.loadbalancers",
]);

/** True for cpu, memory, hugepages-2Mi and what else Kubernetes itself knows: names without a domain, or of kubernetes.io. */
export function isNativeResource(name: string): boolean {
  return !name.includes("/") || name.includes("kubernetes.io/");
}

/** True for names like example.com/gpu. */
export function isExtendedResource(name: string): boolean {
  return !isNativeResource(name) && !name.startsWith("requests.") && isQualifiedName(`requests.${name}`).length === 0;
}

/** A resource name anywhere. */
export function validateResourceName(field: string, name: string): Errors {
  const errors = check(field, name, isQualifiedName);
  if (errors.length > 0 || name.includes("/") || standardResources.has(name) || isHugePages(name)) return errors;
  return [invalid(field, name, "must be a standard resource type or fully qualified")];
}

/** An amount: not negative, and whole where halves make no sense. */
export function validateAmount(field: string, name: string, text: string): Errors {
  if (!isQuantity(text)) return [invalid(field, text, "must be a valid resource quantity")];
  const amount = parseQuantity(text);
  if (amount.nanos < 0n) return [invalid(field, formatQuantity(amount), "must be greater than or equal to 0")];
  const isWhole = amount.nanos % 1_000_000_000n === 0n;
  return isIntegerResource(name) && !isWhole ? [invalid(field, formatQuantity(amount), "must be an integer")] : [];
}

/** Requests and limits of a container, with the pod's resource claims that it may use. */
export function validateContainerResources(
  field: string,
  { limits = {}, requests = {}, claims = [] }: ResourceRequirements,
  claimNames: ReadonlySet<string>,
): Errors {
  const errors: FieldError[] = [
    ...validateAmounts(`${field}.limits`, limits, validateContainerResourceName),
    ...validateAmounts(`${field}.requests`, requests, validateContainerResourceName),
    ...compareRequests(field, requests, limits),
  ];
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  if (names.some(isHugePages) && !names.includes("cpu") && !names.includes("memory")) {
    errors.push(forbiddenField(field, "HugePages require cpu or memory"));
  }
  return [...errors, ...validateClaims(`${field}.claims`, claims, claimNames)];
}

/** Requests must not exceed limits, and equal them where nothing can be shared out twice. */
export function compareRequests(field: string, requests: Amounts, limits: Amounts): Errors {
  return Object.entries(requests).flatMap(([name, text]) => {
    const limit = limits[name];
    if (limit === undefined) {
      return isOvercommitAllowed(name)
        ? []
        : [required(`${field}.limits`, "Limit must be set for non overcommitable resources")];
    }
    const [request, most] = [quantityOf(text), quantityOf(limit)];
    if (!request || !most) return [];
    const order = compareQuantities(request, most);
    const says = (what: string) => [
      invalid(`${field}.requests`, formatQuantity(request), `${what} ${name} limit of ${formatQuantity(most)}`),
    ];
    if (order !== 0 && !isOvercommitAllowed(name)) return says("must be equal to");
    return order > 0 ? says("must be less than or equal to") : [];
  });
}

export function validateAmounts(
  field: string,
  amounts: Amounts,
  nameRule: (field: string, name: string) => Errors,
): Errors {
  return Object.entries(amounts).flatMap(([name, text]) => {
    const path = `${field}[${name}]`;
    return [...nameRule(path, name), ...validateAmount(path, name, text)];
  });
}

function validateContainerResourceName(field: string, name: string): Errors {
  const errors = validateResourceName(field, name);
  if (!name.includes("/")) {
    const isKnown = containerResources.has(name) || isHugePages(name);
    return isKnown ? errors : [...errors, invalid(field, name, "must be a standard resource for containers")];
  }
  if (isNativeResource(name) || isExtendedResource(name)) return errors;
  return [...errors, invalid(field, name, "doesn't follow extended resource name standard")];
}

function validateClaims(
  field: string,
  claims: NonNullable<ResourceRequirements["claims"]>,
  known: ReadonlySet<string>,
): Errors {
  const seen = new Set<string>();
  return claims.flatMap(({ name, request = "" }, index) => {
    const path = `${field}[${index}]`;
    if (!name) return [required(`${path}.name`)];
    const key = `${name}/${request}`;
    if (seen.has(key)) return [duplicate(path, name)];
    seen.add(key);
    const isMissing = known.has(name) ? [] : [fieldNotFound(path, name)];
    return [...isMissing, ...(request ? dnsLabel(`${path}.request`, request) : [])];
  });
}

export function isHugePages(name: string): boolean {
  return name.startsWith("hugepages-");
}

function isOvercommitAllowed(name: string): boolean {
  return isNativeResource(name) && !isHugePages(name);
}

function isIntegerResource(name: string): boolean {
  return (
    isExtendedResource(name) ||
    [
      "pods",
      "services",
      "replicationcontrollers",
      "resourcequotas",
      "secrets",
      "configmaps",
      "persistentvolumeclaims",
      "services.nodeports",
      "services.loadbalancers",
    ].includes(name)
  );
}

function quantityOf(text: string): Quantity | undefined {
  return isQuantity(text) ? parseQuantity(text) : undefined;
}

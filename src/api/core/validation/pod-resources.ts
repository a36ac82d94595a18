/**
 * Requests and limits of a pod as a whole, and whether its containers fit into them.
 */
import { type FieldError, forbiddenField, invalid } from "#apimachinery/field-error.ts";
import type { PodSpec } from "#api/generated/types/core-v1.ts";
import { compareQuantities, formatQuantity, isQuantity, parseQuantity } from "#apimachinery/quantity.ts";
import { isPodLevelResource, podRequests } from "#api/core/pod-resources.ts";
import type { Errors } from "#api/field-rules.ts";
import { compareRequests, validateAmounts, validateResourceName } from "./resources.ts";

export function validatePodResources(field: string, spec: PodSpec): Errors {
  const { requests = {}, limits = {}, claims } = spec.resources ?? {};
  const errors: FieldError[] = [];
  if (spec.os?.name === "windows") return [forbiddenField(field, "may not be set for a windows pod")];
  if (claims) errors.push(forbiddenField(`${field}.claims`, "claims may not be set for Resources at pod-level"));
  errors.push(
    ...validateAmounts(`${field}.limits`, limits, podResourceName),
    ...validateAmounts(`${field}.requests`, requests, podResourceName),
  );
  errors.push(...compareRequests(field, requests, limits));
  return errors.length > 0 ? errors : [...compareContainers(field, spec), ...compareLimits(field, spec)];
}

function podResourceName(field: string, name: string): Errors {
  const errors = validateResourceName(field, name);
  return errors.length > 0 || isPodLevelResource(name)
    ? errors
    : [invalid(field, name, "must be a standard resource for pods")];
}

function compareContainers(field: string, spec: PodSpec): Errors {
  const { resources, ...rest } = spec;
  const together = podRequests({ spec: rest }, { overhead: false });
  return Object.entries(resources?.requests ?? {}).flatMap(([name, text]) => {
    const sum = together.get(name);
    if (!sum || compareQuantities(sum, parseQuantity(text)) <= 0) return [];
    return [
      invalid(
        `${field}.requests[${name}]`,
        formatQuantity(parseQuantity(text)),
        `must be greater than or equal to aggregate container requests of ${formatQuantity(sum)}`,
      ),
    ];
  });
}

function compareLimits(field: string, spec: PodSpec): Errors {
  const most = spec.resources?.limits ?? {};
  return (spec.containers ?? []).flatMap((container, index) =>
    Object.entries(container.resources?.limits ?? {}).flatMap(([name, text]) => {
      const bound = most[name];
      if (bound === undefined || !isQuantity(text) || compareQuantities(parseQuantity(text), parseQuantity(bound)) <= 0)
        return [];
      const shown = formatQuantity(parseQuantity(bound));
      return [
        invalid(
          `${field}.containers[${index}][${name}].limits`,
          formatQuantity(parseQuantity(text)),
          `must be less than or equal to pod limits of ${shown}`,
        ),
      ];
    }),
  );
}

/**
 * PriorityClasses. As pkg/apis/scheduling/{v1/defaults.go,validation}.
 */
import type { PriorityClass } from "#api/generated/types/scheduling-v1.ts";
import { ensureObject, setDefault } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateImmutable, validateSupported } from "#api/validation.ts";
import { type FieldError, forbiddenField } from "#apimachinery/field-error.ts";

/** The two that the system itself makes. */
const systemClasses: ReadonlyMap<string, number> = new Map([
  ["system-node-critical", 2_000_001_000],
  ["system-cluster-critical", 2_000_000_000],
]);
const highestUserPriority = 1_000_000_000;

export const priorityClassStrategy: KindStrategy<PriorityClass> = {
  applyDefaults: (draft) => setDefault(draft, "preemptionPolicy", "PreemptLowerPriority"),
  prepareForCreate(draft) {
    ensureObject(draft, "metadata")["generation"] = 1;
  },
  validate: (priorityClass) => [
    ...validateValue(priorityClass),
    ...validateSupported("preemptionPolicy", priorityClass.preemptionPolicy, ["PreemptLowerPriority", "Never"]),
  ],
  validateUpdate: ({ value, preemptionPolicy }, old) => [
    ...((value ?? 0) === (old.value ?? 0) ? [] : [forbiddenField("value", "may not be changed in an update.")]),
    ...validateImmutable("preemptionPolicy", preemptionPolicy, old.preemptionPolicy),
  ],
};

function validateValue({ metadata, value = 0, globalDefault = false }: PriorityClass): readonly FieldError[] {
  const name = metadata?.name ?? "";
  if (name.startsWith("system-")) {
    const why = systemClassProblem(name, value, globalDefault);
    if (why === undefined) return [];
    const message = "priority class names with 'system-' prefix are reserved for system use only";
    return [forbiddenField("metadata.name", `${message}. error: ${why}`)];
  }
  if (value <= highestUserPriority) return [];
  return [forbiddenField("value", `maximum allowed value of a user defined priority is ${highestUserPriority}`)];
}

function systemClassProblem(name: string, value: number, globalDefault: boolean): string | undefined {
  const known = systemClasses.get(name);
  if (known === undefined) return `${name} is not a known system priority class`;
  if (value !== known) return `value of ${name} PriorityClass must be ${known}`;
  return globalDefault ? `globalDefault of ${name} PriorityClass must be false` : undefined;
}

/**
 * Leases. As pkg/apis/coordination/validation.
 */
import type { Lease } from "#api/generated/types/coordination-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateNonNegative } from "#api/validation.ts";
import { type FieldError, invalid } from "#apimachinery/field-error.ts";

export const leaseStrategy: KindStrategy<Lease> = {
  allowsCreateOnUpdate: true,
  allowsUnconditionalUpdate: false,
  hasNoGeneration: true,
  validate,
  validateUpdate: validate,
};

function validate({ spec }: Lease): readonly FieldError[] {
  const seconds = spec?.leaseDurationSeconds;
  const isWrong = seconds !== undefined && seconds <= 0;
  return [
    ...(isWrong ? [invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")] : []),
    ...validateNonNegative("spec.leaseTransitions", spec?.leaseTransitions),
  ];
}

/**
 * Strategies of a cluster without root, whose pods have loopback addresses: endpoints may name those, and its API server, and no others of that range, as upstream has it. Otherwise whoever may
 * write endpoints could lead this machine's processes to what listens for itself only.
 */
import { strategyOf } from "#api/strategies.ts";
import type { KindStrategy } from "#api/strategy.ts";
import type { FieldError } from "#apimachinery/field-error.ts";

const kinds = new Set(["/Endpoints", "discovery.k8s.io/EndpointSlice"]);

/** `allowed` are addresses, or beginnings of addresses that end with a dot. */
export function loopbackStrategyOf(group: string, kind: string, allowed: readonly string[]): KindStrategy {
  const strategy = strategyOf(group, kind);
  if (!kinds.has(`${group}/${kind}`)) return strategy;
  const { validate, validateUpdate } = strategy;
  const filtered = (errors: readonly FieldError[]) => errors.filter((error) => !isAllowed(error, allowed));
  return {
    ...strategy,
    ...(validate && { validate: (object) => filtered(validate(object)) }),
    ...(validateUpdate && { validateUpdate: (object, old) => filtered(validateUpdate(object, old)) }),
  };
}

function isAllowed({ message }: FieldError, allowed: readonly string[]): boolean {
  const [, address = ""] = /^Invalid value: "([^"]*)": may not be in the loopback range/.exec(message) ?? [];
  return allowed.some((one) => (one.endsWith(".") ? address.startsWith(one) : address === one));
}

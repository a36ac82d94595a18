/**
 * Which port of a revision takes requests: the only one that its containers name, or 8080.
 */
import type { Container } from "#api/generated/types/core-v1.ts";
import { type FieldError, missingField } from "#knative/admission/field-error.ts";

/** The port that takes requests, with upstream's defaults. */
export type UserPort = { readonly name: string; readonly containerPort: number };

/** Which port of which container takes requests. */
export function findUserPort(containers: readonly Container[]): {
  readonly port: UserPort;
  readonly errors: readonly FieldError[];
} {
  const ports = containers.flatMap((container) => container.ports ?? []);
  const [first] = containers.findLast(({ ports: own }) => (own ?? []).length > 0)?.ports ?? [];
  const port = { name: first?.name || "http", containerPort: first?.containerPort || 8080 };
  if (ports.length === 0 && containers.length > 1) return { port, errors: [missingField("ports")] };
  if (ports.length <= 1) return { port, errors: [] };
  const details = "Only a single port is allowed across all containers";
  return { port, errors: [{ message: "more than one container port is set", paths: ["ports"], details }] };
}

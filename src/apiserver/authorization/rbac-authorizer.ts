/**
 * Decides by roles and bindings. As plugin/pkg/auth/authorizer/rbac.
 */
import type { PolicyRule } from "#api/generated/types/rbac-v1.ts";
import type { Authorizer, Decision, RequestInfo, User } from "#apiserver/request.ts";
import { ruleAllows } from "./policy-rule.ts";
import type { RbacIndex } from "./rbac-index.ts";

const syncTimeoutMs = 10_000;

export class RbacAuthorizer implements Authorizer {
  readonly #index: RbacIndex;

  constructor(index: RbacIndex) {
    this.#index = index;
  }

  async authorize(user: User, request: RequestInfo): Promise<Decision> {
    // Only in the first moments of the server: nobody shall be refused because roles are not read yet.
    if (!this.#index.hasSynced()) await this.#index.waitForSync(AbortSignal.timeout(syncTimeoutMs));
    const errors: string[] = [];
    for (const { rules, describe, error } of this.#index.rulesOf(user, request.namespace)) {
      if (error !== undefined) errors.push(error);
      for (const rule of rules) {
        if (ruleAllows(rule, request)) return { allowed: true, reason: `RBAC: allowed by ${describe()}` };
      }
    }
    return { allowed: false, reason: errors.length === 0 ? "" : `RBAC: ${aggregate(errors)}` };
  }

  /** All rules that apply to a user, for SelfSubjectRulesReview and escalation checks. */
  rulesOf(
    user: User,
    namespace: string,
  ): { readonly rules: readonly PolicyRule[]; readonly errors: readonly string[] } {
    const granted = [...this.#index.rulesOf(user, namespace)];
    return { rules: granted.flatMap(({ rules }) => rules), errors: granted.flatMap(({ error }) => error ?? []) };
  }
}

/** Several errors as one, as Go's aggregate shows them. */
export function aggregate(errors: readonly string[]): string {
  const distinct = [...new Set(errors)];
  return distinct.length === 1 ? (distinct[0] as string) : `[${distinct.join(", ")}]`;
}

/**
 * Says of ValidatingAdmissionPolicies that they have been seen: clients wait for `status.typeChecking`. Expressions are checked against no schema here, so there are no warnings.
 */
import type { ValidatingAdmissionPolicy } from "#api/generated/types/admissionregistration-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { Reconciler } from "#client/reconciler.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";

/** Where policies are. */
export const policyResource = {
  group: "admissionregistration.k8s.io",
  version: "v1",
  resource: "validatingadmissionpolicies",
} as const;

export type PolicyStatusOptions = {
  readonly client: Client;
  readonly policies: Informer<ValidatingAdmissionPolicy>;
  readonly clock: Clock;
  readonly logger: Logger;
};

export class PolicyStatus implements Service {
  readonly #options: PolicyStatusOptions;
  readonly #reconciler: Reconciler;
  #unfollow: (() => void) | undefined;

  constructor(options: PolicyStatusOptions) {
    this.#options = options;
    const { clock, logger } = options;
    const reconcile = (name: string): Promise<void> => this.#observe(name);
    this.#reconciler = new Reconciler({ name: "admission-policy-status", reconcile, clock, logger, workers: 1 });
  }

  async start(signal: AbortSignal): Promise<void> {
    const enqueue = ({ metadata }: ValidatingAdmissionPolicy): void => this.#reconciler.enqueue(metadata?.name ?? "");
    this.#unfollow = this.#options.policies.addHandler({
      onAdd: enqueue,
      onUpdate: (_before, policy) => enqueue(policy),
    });
    await this.#reconciler.start(signal);
  }

  async stop(): Promise<void> {
    this.#unfollow?.();
    await this.#reconciler.stop();
  }

  async #observe(name: string): Promise<void> {
    const policy = this.#options.policies.lister.find("", name);
    const generation = policy?.metadata?.generation;
    if (policy === undefined || generation === undefined || policy.status?.observedGeneration === generation) return;
    const status = { ...policy.status, observedGeneration: generation, typeChecking: {} };
    try {
      await this.#options.client.update(
        { resource: policyResource, name, subresource: "status" },
        { ...policy, status },
      );
    } catch (error) {
      // The informer brings what has changed in between.
      if (!hasReason(error, "Conflict") && !hasReason(error, "NotFound")) throw error;
    }
  }
}

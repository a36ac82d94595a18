/**
 * Cluster roles with an aggregation rule get the rules of all cluster roles that it selects. Same as kube-controller-manager's clusterrole-aggregation-controller; it runs beside
 * the API server because the default roles need it.
 */
import type { ClusterRole, PolicyRule } from "#api/generated/types/rbac-v1.ts";
import { matchesLabelSelector } from "#apimachinery/label-selector.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { Reconciler } from "#client/reconciler.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";

const resource = { group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles" } as const;

/** The rules that a role with an aggregation rule should have. */
export function aggregateRules(role: ClusterRole, all: readonly ClusterRole[]): readonly PolicyRule[] {
  const rules = new Map<string, PolicyRule>();
  const byName = [...all].sort((a, b) => ((a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1));
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    for (const other of byName) {
      if (other.metadata?.name === role.metadata?.name || !matchesLabelSelector(selector, other.metadata?.labels))
        continue;
      for (const rule of other.rules ?? []) rules.set(keyOf(rule), rule);
    }
  }
  return [...rules.values()];
}

export type ClusterRoleAggregationOptions = {
  readonly client: Client;
  readonly clusterRoles: Informer<ClusterRole>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Keeps aggregated roles true. */
export class ClusterRoleAggregation implements Service {
  readonly #options: ClusterRoleAggregationOptions;
  readonly #reconciler: Reconciler;
  #remove: (() => void) | undefined;

  constructor(options: ClusterRoleAggregationOptions) {
    this.#options = options;
    const { clock, logger } = options;
    const reconcile = (key: string) => this.#reconcile(key);
    this.#reconciler = new Reconciler({ name: "clusterrole-aggregation", clock, logger, reconcile });
  }

  async start(signal: AbortSignal): Promise<void> {
    const enqueue = () => this.#enqueueAll();
    this.#remove = this.#options.clusterRoles.addHandler({ onAdd: enqueue, onUpdate: enqueue, onDelete: enqueue });
    await this.#reconciler.start(signal);
    // Rejects only when the start is aborted; then there is nothing left to do.
    void this.#options.clusterRoles.waitForSync(signal).then(enqueue, () => undefined);
  }

  async stop(): Promise<void> {
    this.#remove?.();
    await this.#reconciler.stop();
  }

  #enqueueAll(): void {
    if (!this.#options.clusterRoles.hasSynced()) return;
    for (const role of this.#options.clusterRoles.lister.list()) {
      if (role.aggregationRule) this.#reconciler.enqueue(role.metadata?.name ?? "");
    }
  }

  async #reconcile(name: string): Promise<void> {
    const { lister } = this.#options.clusterRoles;
    const role = lister.find("", name);
    if (!role?.aggregationRule) return;
    const rules = aggregateRules(role, lister.list());
    if (rules.map(keyOf).join() === (role.rules ?? []).map(keyOf).join()) return;
    const body = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name }, rules };
    const options = { fieldManager: "clusterrole-aggregation-controller", force: true };
    await this.#options.client.patch({ resource, name }, { type: "apply", body }, options);
  }
}

function keyOf({ verbs, apiGroups, resources, resourceNames, nonResourceURLs }: PolicyRule): string {
  return JSON.stringify([verbs, apiGroups ?? [], resources ?? [], resourceNames ?? [], nonResourceURLs ?? []]);
}

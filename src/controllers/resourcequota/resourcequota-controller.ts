/**
 * Adds up what a namespace uses of its quotas. Admission charges what is made; this controller gives back what is gone, and sees quotas that are new or changed.
 * Same as kube-controller-manager's resourcequota-controller: recalculated on deletes, when pods end, and every five minutes.
 */
import { isDeepStrictEqual } from "node:util";
import type { Pod, ResourceQuota } from "#api/generated/types/core-v1.ts";
import { matchesQuotaScopes, quotaUsage, sumAmounts } from "#api/core/quota-usage.ts";
import { formatQuantity, type Quantity, quantityOf } from "#apimachinery/quantity.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { resourceQuotas } from "#controllers/common/resources.ts";
import { countedResources } from "./counted-resources.ts";

const resyncMs = 300_000;

/** The controller. Keys are ResourceQuotas. */
export function createResourceQuotaController(context: ControllerContext): NamedController {
  const controller: KeyedController = new KeyedController(context, { name: "resourcequota-controller", reconcile });
  const followed = new Set<string>();
  const quotas = controller.watch(context.informers.informer<ResourceQuota>({ resource: resourceQuotas }), {
    onAdd: (quota) => controller.queue.add(keyOf(quota)),
    onUpdate: (before, after) => {
      // Changes of the used amounts are admission's, made before its object is there: adding up now would lose them.
      if (!isDeepStrictEqual(before.spec, after.spec)) controller.queue.add(keyOf(after));
    },
  });

  function recalculate(namespace: string): void {
    for (const quota of quotas.lister.list(namespace)) controller.queue.add(keyOf(quota));
  }

  function follow(resource: GroupVersionResource): void {
    const name = `${resource.group}/${resource.resource}`;
    if (followed.has(name)) return;
    followed.add(name);
    const isPods = name === "/pods";
    const selection = isPods ? { resource } : { resource, metadataOnly: true };
    context.informers.informer<KubeObject>(selection).addHandler({
      onUpdate: (before, after) => {
        if (isPods && !hasEnded(before as Pod) && hasEnded(after as Pod)) recalculate(after.metadata?.namespace ?? "");
      },
      onDelete: (object) => recalculate(object.metadata?.namespace ?? ""),
    });
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    if (quotas.lister.find(namespace, name) === undefined) return;
    const ref = { resource: resourceQuotas, namespace, name };
    try {
      const quota = await context.client.get<ResourceQuota>(ref, { signal });
      const resources = await countedResources(context.client, Object.keys(quota.spec?.hard ?? {}), signal);
      for (const resource of resources) follow(resource);
      const status = { hard: quota.spec?.hard ?? {}, used: await usedAmounts(quota, resources, signal) };
      if (!isDeepStrictEqual(status, { hard: quota.status?.hard, used: quota.status?.used })) {
        await context.client.update({ ...ref, subresource: "status" }, { ...quota, status }, { signal });
      }
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
    return resyncMs;
  }

  async function usedAmounts(
    quota: ResourceQuota,
    resources: readonly GroupVersionResource[],
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, string>>> {
    const namespace = quota.metadata?.namespace ?? "";
    const lists = await Promise.all(
      resources.map((resource) => context.client.list({ resource, namespace }, { signal })),
    );
    const amounts = lists.flatMap(({ items }, index) => {
      const { group, resource } = resources[index] as GroupVersionResource;
      return items
        .filter((object) => matchesQuotaScopes(quota, resource, object))
        .map((object) => quotaUsage(group, resource, object));
    });
    const sum = sumAmounts(amounts);
    const none: Quantity = quantityOf(0);
    return Object.fromEntries(
      Object.keys(quota.spec?.hard ?? {}).map((name) => [name, formatQuantity(sum.get(name) ?? none)]),
    );
  }

  return controller;
}

function hasEnded({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

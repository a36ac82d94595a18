/**
 * APIServices without a Service: what this server serves itself. Those of built-in groups are made once and then are whoever's who changes them; those of custom resources come and go with
 * their definitions. As kube-aggregator's autoregister controller.
 */
import type { APIService } from "#api/generated/types/apiregistration-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { ResourceTable } from "#apiserver/registry/served-resource.ts";
import type { Client } from "#client/client.ts";
import type { Lister } from "#client/informer.ts";

export const apiServices = { group: "apiregistration.k8s.io", version: "v1", resource: "apiservices" } as const;
const managedLabel = "kube-aggregator.kubernetes.io/automanaged";

/** Order of groups in discovery, as kube-apiserver's. */
const groupPriorities: Readonly<Record<string, number>> = {
  "": 18_000,
  apps: 17_800,
  "events.k8s.io": 17_750,
  "authentication.k8s.io": 17_700,
  "authorization.k8s.io": 17_600,
  autoscaling: 17_500,
  batch: 17_400,
  "certificates.k8s.io": 17_300,
  "networking.k8s.io": 17_200,
  policy: 17_100,
  "rbac.authorization.k8s.io": 17_000,
  "storage.k8s.io": 16_800,
  "apiextensions.k8s.io": 16_700,
  "admissionregistration.k8s.io": 16_700,
  "scheduling.k8s.io": 16_600,
  "coordination.k8s.io": 16_500,
  "node.k8s.io": 16_300,
  "discovery.k8s.io": 16_200,
  "resource.k8s.io": 16_200,
  "flowcontrol.apiserver.k8s.io": 16_100,
};

/** Versions that do not have the usual priority. */
const versionPriorities: Readonly<Record<string, number>> = {
  "v1.": 1,
  "v2.autoscaling": 30,
  "v1.flowcontrol.apiserver.k8s.io": 21,
  "v1.resource.k8s.io": 21,
};
const usualPriority = 15;

type Expected = ReadonlyMap<string, APIService>;

/** Makes what is missing, and takes away what stands for a custom resource that is gone. */
export async function registerLocal(client: Client, lister: Lister<APIService>, table: ResourceTable): Promise<void> {
  const expected = expectedServices(table);
  for (const [name, service] of expected) {
    if (lister.find("", name) === undefined)
      await unless("AlreadyExists", client.create({ resource: apiServices }, service));
  }
  for (const { metadata } of lister.list()) {
    const name = metadata?.name ?? "";
    if (metadata?.labels?.[managedLabel] !== "true" || expected.has(name)) continue;
    await unless("NotFound", client.delete({ resource: apiServices, name }));
  }
}

async function unless(reason: "AlreadyExists" | "NotFound", write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!hasReason(error, reason)) throw error;
  }
}

function expectedServices(table: ResourceTable): Expected {
  const services = new Map<string, APIService>();
  for (const { facts, isCustom, isStandIn } of table.all()) {
    const { group, version } = facts;
    const name = `${version}.${group}`;
    // This group is what says so.
    if (services.has(name) || group === apiServices.group || isStandIn) continue;
    services.set(name, {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name, labels: { [managedLabel]: isCustom ? "true" : "onstart" } },
      spec: {
        ...(group === "" ? {} : { group }),
        version,
        groupPriorityMinimum: isCustom ? 1000 : (groupPriorities[group] ?? 16_000),
        versionPriority: isCustom ? 100 : (versionPriorities[name] ?? usualPriority),
      },
    });
  }
  return services;
}

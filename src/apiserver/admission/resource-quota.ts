/**
 * Charges what is made against the namespace's quotas, and refuses what exceeds them. As apiserver's pkg/admission/plugin/resourcequota: the used amounts stand in the quota's status and are
 * written before the object, so that two writers never share the last place.
 */
import type { Pod, ResourceQuota } from "#api/generated/types/core-v1.ts";
import { matchesQuotaScopes, missingForQuota, quotaUsage, sumAmounts } from "#api/core/quota-usage.ts";
import type { ResourceAmounts } from "#api/core/pod-resources.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import {
  compareQuantities,
  formatQuantity,
  parseQuantity,
  type Quantity,
  subtractQuantities,
} from "#apimachinery/quantity.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { refuse, synced } from "./admission-tools.ts";

const quotas = { group: "", version: "v1", resource: "resourcequotas" } as const;
/** Kinds whose later changes can count more than their making. */
const growing = new Set(["/services", "/persistentvolumeclaims"]);
const maxAttempts = 5;

export type ResourceQuotaOptions = { readonly client: Client; readonly resourceQuotas: Informer<ResourceQuota> };

export class ResourceQuotaPlugin implements AdmissionPlugin {
  readonly name = "ResourceQuota";
  readonly #options: ResourceQuotaOptions;
  /** One write of a namespace is charged after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: ResourceQuotaOptions) {
    this.#options = options;
  }

  handles({ request, operation }: AdmissionAttributes): boolean {
    if (request.namespace === "" || request.resource === "namespaces") return false;
    const key = `${request.apiGroup}/${request.resource}`;
    if (request.subresource !== "")
      return key === "/pods" && request.subresource === "resize" && operation === "UPDATE";
    return operation === "CREATE" || (operation === "UPDATE" && growing.has(key));
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const { namespace } = attributes.request;
    if ((await synced(this.#options.resourceQuotas)).list(namespace).length === 0) return;
    const before = this.#turns.get(namespace) ?? Promise.resolve();
    const turn = before.then(() => this.#charge(attributes, maxAttempts));
    // The next one's turn comes whether this one went well or not.
    const settled = turn.catch(() => undefined);
    this.#turns.set(namespace, settled);
    try {
      await turn;
    } finally {
      if (this.#turns.get(namespace) === settled) this.#turns.delete(namespace);
    }
  }

  async #charge(attributes: AdmissionAttributes, attempts: number): Promise<void> {
    const { namespace } = attributes.request;
    const { items } = await this.#options.client.list<ResourceQuota>({ resource: quotas, namespace });
    const charged = items.flatMap((quota) => charge(attributes, quota) ?? []);
    if (attributes.dryRun) return;
    try {
      for (const quota of charged) {
        const ref = { resource: quotas, namespace, name: quota.metadata?.name as string, subresource: "status" };
        await this.#options.client.update(ref, quota);
      }
    } catch (error) {
      if (!hasReason(error, "Conflict") || attempts <= 1) throw error;
      await this.#charge(attributes, attempts - 1);
    }
  }
}

/** The quota with the write charged; undefined when the write does not count against it. */
function charge(attributes: AdmissionAttributes, quota: ResourceQuota): ResourceQuota | undefined {
  const { resource, apiGroup } = attributes.request;
  const object = attributes.object as KubeObject;
  if (!matchesQuotaScopes(quota, resource, object)) return undefined;
  const hard = amountsOf(quota.status?.hard);
  const delta = deltaOf(attributes);
  const names = [...hard.keys()].filter((name) => isAbout(name, apiGroup, resource, delta));
  if (names.length === 0) return undefined;
  if (apiGroup === "" && resource === "pods") checkConstraints(attributes, quota, names);
  const used = amountsOf(quota.status?.used);
  const unknown = names.filter((name) => !used.has(name));
  const quotaName = quota.metadata?.name ?? "";
  if (unknown.length > 0)
    throw refuse(attributes, `status unknown for quota: ${quotaName}, resources: ${unknown.sort().join(",")}`);
  const requested = new Map([...delta].filter(([name, amount]) => names.includes(name) && amount.nanos !== 0n));
  if (requested.size === 0) return undefined;
  const after = sumAmounts([used, requested]);
  const exceeded = [...requested.keys()].filter(
    (name) => compareQuantities(after.get(name) as Quantity, hard.get(name) as Quantity) > 0,
  );
  if (exceeded.length > 0) {
    const show = (amounts: ResourceAmounts) =>
      exceeded
        .sort()
        .map((name) => `${name}=${formatQuantity(amounts.get(name) as Quantity)}`)
        .join(",");
    throw refuse(
      attributes,
      `exceeded quota: ${quotaName}, requested: ${show(requested)}, used: ${show(used)}, limited: ${show(hard)}`,
    );
  }
  const texts = Object.fromEntries([...after].map(([name, amount]) => [name, formatQuantity(amount)]));
  return { ...quota, status: { ...quota.status, used: texts } };
}

/** How much more the write uses; never less than nothing, since what is freed the controller gives back. */
function deltaOf({ request, operation, object, oldObject }: AdmissionAttributes): ResourceAmounts {
  const usage = quotaUsage(request.apiGroup, request.resource, object as KubeObject);
  if (operation !== "UPDATE" || !oldObject) return usage;
  const before = quotaUsage(request.apiGroup, request.resource, oldObject);
  const grown = [...usage].map(([name, amount]) => {
    const old = before.get(name);
    return [name, old ? subtractQuantities(amount, old) : amount] as const;
  });
  return new Map(grown.filter(([, amount]) => amount.nanos > 0n));
}

function isAbout(name: string, group: string, resource: string, delta: ResourceAmounts): boolean {
  if (delta.has(name)) return true;
  // A pod that names no CPU still has to when CPU is bounded.
  return group === "" && resource === "pods" && /^(?:(?:requests|limits)\.)?(?:cpu|memory)$/.test(name);
}

function checkConstraints(attributes: AdmissionAttributes, quota: ResourceQuota, names: readonly string[]): void {
  const missing = missingForQuota(attributes.object as Pod, names);
  if (missing.length > 0)
    throw refuse(attributes, `failed quota: ${quota.metadata?.name}: must specify ${missing.join("; ")}`);
}

function amountsOf(resources: Readonly<Record<string, string>> | undefined): ResourceAmounts {
  return new Map(Object.entries(resources ?? {}).map(([name, text]) => [name, parseQuantity(text)]));
}

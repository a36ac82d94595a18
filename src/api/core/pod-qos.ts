/**
 * A pod's quality of service class, from its requests and limits of CPU and memory. As pkg/apis/core/helper/qos.
 */
import { compareQuantities, parseQuantity, type Quantity } from "#apimachinery/quantity.ts";
import { itemsOf } from "#api/defaults.ts";
import type { Draft } from "#api/strategy.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

/** The class of a pod with this spec. */
export function qosClassOf(spec: Draft): QosClass {
  const whole = spec["resources"] as Draft | undefined;
  const holders = whole?.["requests"] || whole?.["limits"] ? [whole] : containerResources(spec);
  const requests = holders.map((holder) => amountsOf(holder?.["requests"]));
  const limits = holders.map((holder) => amountsOf(holder?.["limits"]));
  if (requests.every((map) => map.size === 0) && limits.every((map) => map.size === 0)) return "BestEffort";
  return limits.every((limit, index) => isGuaranteed(limit, requests[index] ?? new Map())) ? "Guaranteed" : "Burstable";
}

function containerResources(spec: Draft): readonly (Draft | undefined)[] {
  const containers = [...itemsOf(spec["containers"]), ...itemsOf(spec["initContainers"])];
  return containers.map((container) => container["resources"] as Draft | undefined);
}

/** CPU and memory that are more than nothing. */
function amountsOf(resources: Draft | undefined): ReadonlyMap<string, Quantity> {
  const entries = ["cpu", "memory"].flatMap((name) => {
    const text: unknown = resources?.[name];
    if (text === undefined || text === null) return [];
    const quantity = parseQuantity(text as string);
    return quantity.nanos > 0n ? [[name, quantity] as const] : [];
  });
  return new Map(entries);
}

function isGuaranteed(limits: ReadonlyMap<string, Quantity>, requests: ReadonlyMap<string, Quantity>): boolean {
  return ["cpu", "memory"].every((name) => {
    const limit = limits.get(name);
    const request = requests.get(name);
    return limit !== undefined && (request === undefined || compareQuantities(limit, request) === 0);
  });
}

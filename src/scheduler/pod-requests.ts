/**
 * What a pod asks for, as numbers: containers together, init containers one after another, sidecars from their start on, overhead. Rules as component-helpers' resource package.
 */
import type { Container, Pod, ResourceRequirements } from "#api/generated/types/core-v1.ts";
import { milliValue, quantityValue } from "#apimachinery/quantity.ts";

/** Amounts. cpu in thousandths of a core, memory and storage in bytes, the rest under its own name. */
export type Amounts = {
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly storageBytes: number;
  /** Extended resources and huge pages; undefined when there are none, as for nearly all pods. */
  readonly extended: ReadonlyMap<string, number> | undefined;
};

/** What scoring counts for containers that ask for nothing: else a thousand of them would look free. As upstream. */
const defaultMilliCpu = 100;
const defaultMemoryBytes = 200 * 1024 * 1024;

type Lists = { readonly [name: string]: string | number };

/** The pod's requests. `withDefaults` counts upstream's default for containers without cpu or memory. */
export function requestsOf(pod: Pod, withDefaults: boolean): Amounts {
  const total = sum((pod.spec?.containers ?? []).map((container) => requestsOfContainer(container, withDefaults)));
  const { peak, sidecars } = initRequests(pod.spec?.initContainers ?? [], withDefaults);
  add(total, sidecars);
  raise(total, peak);
  override(total, pod.spec?.resources);
  add(total, parse((pod.spec?.overhead ?? {}) as Lists));
  return toAmounts(total);
}

/** A node's allocatable, or any other list of quantities. */
export function amountsOf(quantities: Readonly<Record<string, string | number>> | undefined): Amounts {
  return toAmounts(parse(quantities ?? {}));
}

type Totals = Map<string, number>;

function requestsOfContainer(container: Container, withDefaults: boolean): Totals {
  const requests = parse((container.resources?.requests ?? {}) as Lists);
  if (withDefaults) {
    if (!requests.has("cpu")) requests.set("cpu", defaultMilliCpu);
    if (!requests.has("memory")) requests.set("memory", defaultMemoryBytes);
  }
  return requests;
}

/** Init containers run one by one, each beside the sidecars before it; sidecars stay. */
function initRequests(
  containers: readonly Container[],
  withDefaults: boolean,
): { readonly peak: Totals; readonly sidecars: Totals } {
  const peak: Totals = new Map();
  const sidecars: Totals = new Map();
  for (const container of containers) {
    const requests = requestsOfContainer(container, withDefaults);
    if (container.restartPolicy === "Always") {
      add(sidecars, requests);
      raise(peak, sidecars);
      continue;
    }
    add(requests, sidecars);
    raise(peak, requests);
  }
  return { peak, sidecars };
}

/** Requests of the pod as a whole stand above those of its containers. */
function override(total: Totals, resources: ResourceRequirements | undefined): void {
  for (const [name, amount] of parse((resources?.requests ?? {}) as Lists)) total.set(name, amount);
}

function parse(quantities: Lists): Totals {
  const totals: Totals = new Map();
  for (const name in quantities) {
    const quantity = quantities[name]!;
    totals.set(name, name === "cpu" ? milliValue(quantity) : quantityValue(quantity));
  }
  return totals;
}

function sum(all: readonly Totals[]): Totals {
  const total: Totals = new Map();
  for (const one of all) add(total, one);
  return total;
}

function add(total: Totals, more: Totals): void {
  for (const [name, amount] of more) total.set(name, (total.get(name) ?? 0) + amount);
}

function raise(total: Totals, other: Totals): void {
  for (const [name, amount] of other) if (amount > (total.get(name) ?? 0)) total.set(name, amount);
}

const ordinary: ReadonlySet<string> = new Set(["cpu", "memory", "ephemeral-storage", "pods"]);

function toAmounts(totals: Totals): Amounts {
  const extended = [...totals].filter(([name]) => !ordinary.has(name));
  return {
    milliCpu: totals.get("cpu") ?? 0,
    memoryBytes: totals.get("memory") ?? 0,
    storageBytes: totals.get("ephemeral-storage") ?? 0,
    extended: extended.length === 0 ? undefined : new Map(extended),
  };
}

/**
 * What a pod as a whole asks for: its containers together, init containers as they run one after the other, overhead, and what the pod itself says. As component-helpers' resource helpers.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import { addQuantities, compareQuantities, parseQuantity, type Quantity } from "#apimachinery/quantity.ts";

/** Amounts by resource name. */
export type ResourceAmounts = ReadonlyMap<string, Quantity>;

type Which = "requests" | "limits";

/** Resources that can be asked for by a pod as a whole. */
export function isPodLevelResource(name: string): boolean {
  return name === "cpu" || name === "memory" || name.startsWith("hugepages-");
}

/** Requests of the pod, from its spec. With `overhead` what its runtime class adds. */
export function podRequests(pod: Pod, options: { readonly overhead: boolean } = { overhead: true }): ResourceAmounts {
  const sum = podResources(pod, "requests");
  return options.overhead ? add(sum, parse(pod.spec?.overhead)) : sum;
}

/** Limits of the pod, from its spec. With `overhead` what its runtime class adds to limits that there are. */
export function podLimits(pod: Pod, options: { readonly overhead: boolean } = { overhead: true }): ResourceAmounts {
  const sum = podResources(pod, "limits");
  if (!options.overhead) return sum;
  const overhead = [...parse(pod.spec?.overhead)].filter(([name]) => sum.has(name));
  return add(sum, new Map(overhead));
}

function podResources({ spec }: Pod, which: Which): ResourceAmounts {
  let sum: ResourceAmounts = new Map();
  for (const container of spec?.containers ?? []) sum = add(sum, of(container, which));
  let sidecars: ResourceAmounts = new Map();
  let init: ResourceAmounts = new Map();
  for (const container of spec?.initContainers ?? []) {
    const own = of(container, which);
    if (container.restartPolicy === "Always") {
      sum = add(sum, own);
      sidecars = add(sidecars, own);
      init = max(init, sidecars);
    } else {
      init = max(init, add(own, sidecars));
    }
  }
  const whole = [...parse(spec?.resources?.[which])].filter(([name]) => isPodLevelResource(name));
  return new Map([...max(sum, init), ...whole]);
}

function of(container: Container, which: Which): ResourceAmounts {
  return parse(container.resources?.[which]);
}

function parse(resources: Readonly<Record<string, string | number>> | undefined): ResourceAmounts {
  return new Map(Object.entries(resources ?? {}).map(([name, text]) => [name, parseQuantity(text)]));
}

function add(left: ResourceAmounts, right: ResourceAmounts): ResourceAmounts {
  if (right.size === 0) return left;
  const sum = new Map(left);
  for (const [name, amount] of right) {
    const before = sum.get(name);
    sum.set(name, before ? addQuantities(before, amount) : amount);
  }
  return sum;
}

function max(left: ResourceAmounts, right: ResourceAmounts): ResourceAmounts {
  const most = new Map(left);
  for (const [name, amount] of right) {
    const before = most.get(name);
    if (!before || compareQuantities(before, amount) < 0) most.set(name, amount);
  }
  return most;
}

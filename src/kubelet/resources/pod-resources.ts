/**
 * What a pod asks for in all: requests and limits over its containers, as component-helpers' resource package counts them. Init containers run one after another beside
 * the sidecars started before them, main containers beside all sidecars; the pod's own figures, where given, stand above.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import { milliValue, quantityValue } from "#apimachinery/quantity.ts";
import { isRestartableInit } from "#kubelet/pod-object.ts";

/** Amounts by resource name: cpu in millicores, everything else in whole units (bytes, counts). */
export type Amounts = Readonly<Record<string, number>>;

/** One list of quantities as numbers. */
export function amountsOf(list: Readonly<Record<string, string>> | undefined): Amounts {
  return Object.fromEntries(Object.entries(list ?? {}).map(([name, text]) => [name, amountOf(name, text)]));
}

/** "250m" CPU is 250, "1Ki" memory 1024. */
export function amountOf(resource: string, quantity: string): number {
  return resource === "cpu" ? milliValue(quantity) : quantityValue(quantity);
}

/** The pod's requests, overhead included. */
export function podRequests(pod: Pod): Amounts {
  return effective(pod, "requests");
}

/** The pod's limits, overhead included. A resource that one container leaves unlimited is still counted for the others. */
export function podLimits(pod: Pod): Amounts {
  return effective(pod, "limits");
}

/** Sum by name. */
export function addAmounts(a: Amounts, b: Amounts): Amounts {
  return combine(a, b, (x, y) => x + y);
}

/** Larger of both by name. */
export function maxAmounts(a: Amounts, b: Amounts): Amounts {
  return combine(a, b, Math.max);
}

function effective(pod: Pod, which: "requests" | "limits"): Amounts {
  const of = (container: Container) => amountsOf(container.resources?.[which]);
  let sidecars: Amounts = {};
  let initPeak: Amounts = {};
  for (const container of pod.spec?.initContainers ?? []) {
    if (isRestartableInit(container)) {
      sidecars = addAmounts(sidecars, of(container));
      initPeak = maxAmounts(initPeak, sidecars);
    } else initPeak = maxAmounts(initPeak, addAmounts(sidecars, of(container)));
  }
  const main = (pod.spec?.containers ?? []).map(of).reduce(addAmounts, {});
  const containers = maxAmounts(addAmounts(main, sidecars), initPeak);
  const own = amountsOf(pod.spec?.resources?.[which]);
  return addAmounts({ ...containers, ...own }, amountsOf(pod.spec?.overhead));
}

function combine(a: Amounts, b: Amounts, join: (x: number, y: number) => number): Amounts {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return Object.fromEntries([...names].map((name) => [name, join(a[name] ?? 0, b[name] ?? 0)]));
}

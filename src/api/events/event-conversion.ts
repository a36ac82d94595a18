/**
 * Events of events.k8s.io/v1 and of the core group are one thing under two sets of names. They are stored in the core form, as upstream stores them.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Draft } from "#api/strategy.ts";

/** Names in events.k8s.io and in the core group, where they differ. Values without a form of their own in Go appear as null or {} on both sides. */
const renamed: readonly (readonly [events: string, core: string])[] = [
  ["regarding", "involvedObject"],
  ["note", "message"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
  ["reportingController", "reportingComponent"],
];

/** events.k8s.io/v1 → v1. */
export function toCoreEvent(event: KubeObject): KubeObject {
  const {
    reportingComponent = "",
    reportingInstance = "",
    ...rest
  } = rename(event as Draft, ([from, to]) => [from, to]);
  return { ...rest, apiVersion: "v1", reportingComponent, reportingInstance } as KubeObject;
}

/** v1 → events.k8s.io/v1. */
export function fromCoreEvent(event: KubeObject): KubeObject {
  const converted = rename(event as Draft, ([to, from]) => [from, to]);
  for (const name of ["reportingController", "reportingInstance"]) if (converted[name] === "") delete converted[name];
  return { ...converted, apiVersion: "events.k8s.io/v1" } as KubeObject;
}

function rename(
  event: Draft,
  direction: (pair: readonly [string, string]) => readonly [from: string, to: string],
): Draft {
  const names = new Map(renamed.map(direction));
  return Object.fromEntries(Object.entries(event).map(([name, value]) => [names.get(name) ?? name, value]));
}

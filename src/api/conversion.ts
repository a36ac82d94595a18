/**
 * Built-in kinds whose versions differ in more than apiVersion, and how they are converted to the form in which they are stored and back. Of the versions that are on by
 * default these are two; the others share their fields' names.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { toVersion1, toVersion2 } from "./autoscaling/horizontalpodautoscaler-conversion.ts";
import { fromCoreEvent, toCoreEvent } from "./events/event-conversion.ts";

/** Converts between one served version and the stored one. Objects are never changed; parts of them stand in the result. */
export type BuiltInConversion = {
  readonly toStored: (object: KubeObject) => KubeObject;
  readonly fromStored: (objects: readonly KubeObject[]) => readonly KubeObject[];
};

const conversions: ReadonlyMap<string, BuiltInConversion> = new Map([
  ["events.k8s.io/v1/Event", { toStored: toCoreEvent, fromStored: (objects) => objects.map(fromCoreEvent) }],
  [
    "autoscaling/v1/HorizontalPodAutoscaler",
    { toStored: toVersion2, fromStored: (objects) => objects.map(toVersion1) },
  ],
]);

/** The conversion of a kind's version; undefined where the stored form differs in apiVersion only. */
export function findConversion(group: string, version: string, kind: string): BuiltInConversion | undefined {
  return conversions.get(`${group}/${version}/${kind}`);
}

/**
 * Events of the core group; events.k8s.io shows the same objects in other words.
 */
import type { Event } from "#api/generated/types/core-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";

export const eventStrategy: KindStrategy<Event> = {
  allowsCreateOnUpdate: true,
  hasNoGeneration: true,
  selectableFields: ({ involvedObject, reason, reportingComponent, source, type }) => ({
    "involvedObject.kind": involvedObject?.kind ?? "",
    "involvedObject.namespace": involvedObject?.namespace ?? "",
    "involvedObject.name": involvedObject?.name ?? "",
    "involvedObject.uid": involvedObject?.uid ?? "",
    "involvedObject.apiVersion": involvedObject?.apiVersion ?? "",
    "involvedObject.resourceVersion": involvedObject?.resourceVersion ?? "",
    "involvedObject.fieldPath": involvedObject?.fieldPath ?? "",
    reason: reason ?? "",
    reportingComponent: reportingComponent ?? "",
    source: source?.component || reportingComponent || "",
    type: type ?? "",
  }),
};

/**
 * What defaulting and validation of Eventing's kinds go by.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { EventingConfig } from "#eventing/config/config-store.ts";
import type { AdmissionContext, KindAdmission } from "#knative/admission/kind-admission.ts";
import type { ReferenceRules } from "#knative/destination.ts";

/** One write of an object of Eventing's. */
export type EventingAdmissionContext = AdmissionContext<EventingConfig>;

/** What is done to one of Eventing's kinds when it is written. */
export type EventingAdmission<T extends KubeObject> = KindAdmission<T, EventingConfig>;

/** How references are looked at. */
export function referenceRules({ config }: EventingAdmissionContext): ReferenceRules {
  return { isGroupAllowed: config.features.kreferenceGroup };
}

/** The namespace of an object, for references that say none. */
export function namespaceOf({ metadata }: KubeObject): string {
  return metadata?.namespace ?? "";
}

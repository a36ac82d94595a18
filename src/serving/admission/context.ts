/**
 * What defaulting and validation of one object go by, beside the object itself. Pure data: the webhook fills it in.
 */
import type { ObjectMeta } from "#apimachinery/meta.ts";
import type { AdmissionContext as KnativeAdmissionContext } from "#knative/admission/kind-admission.ts";
import { type AutoscalerConfig, defaultAutoscalerConfig } from "#serving/config/autoscaler-config.ts";
import { defaultDefaultsConfig, type DefaultsConfig } from "#serving/config/defaults-config.ts";
import { defaultFeaturesConfig, type FeaturesConfig } from "#serving/config/features-config.ts";

/** Serving's configuration, as far as admission looks at it. */
export type AdmissionConfig = {
  readonly defaults: DefaultsConfig;
  readonly features: FeaturesConfig;
  readonly autoscaler: AutoscalerConfig;
};

/** What holds without ConfigMaps. */
export const defaultAdmissionConfig: AdmissionConfig = {
  defaults: defaultDefaultsConfig,
  features: defaultFeaturesConfig,
  autoscaler: defaultAutoscalerConfig,
};

/** One write of an object of Serving's. */
export type AdmissionContext = KnativeAdmissionContext<AdmissionConfig>;

/** As {@link AdmissionContext}, within an object: a template's name must begin with the object's. */
export type TemplateContext = AdmissionContext & { readonly parent: ObjectMeta | undefined };

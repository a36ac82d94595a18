/**
 * ConfigMap `config-features`: which of upstream's features are on. Keys and defaults as upstream's `pkg/apis/feature` (v1.22).
 */
import { type ConfigData, ConfigText } from "#knative/config-text.ts";

/** Who may send when no EventPolicy says anything. */
export type AuthorizationMode = "Allow-All" | "Deny-All" | "Allow-Same-Namespace";

/** What is on. */
export type FeaturesConfig = {
  /** References may name a group instead of a version. */
  readonly kreferenceGroup: boolean;
  /** References to kinds without an address are given one by a template of ConfigMap `config-kreference-mapping`. */
  readonly kreferenceMapping: boolean;
  /** `delivery.retryAfterMax` may be set. */
  readonly deliveryRetryAfter: boolean;
  /** `delivery.timeout` may be set. */
  readonly deliveryTimeout: boolean;
  /** EventTypes are made of the events that come in. */
  readonly eventTypeAutoCreate: boolean;
  readonly authenticationOidc: boolean;
  readonly crossNamespaceEventLinks: boolean;
  /** ApiServerSources may have `filters`. */
  readonly newApiServerSourceFilters: boolean;
  readonly defaultAuthorizationMode: AuthorizationMode;
};

/** What holds without a ConfigMap. */
export const defaultFeaturesConfig: FeaturesConfig = {
  kreferenceGroup: false,
  kreferenceMapping: false,
  deliveryRetryAfter: false,
  deliveryTimeout: true,
  eventTypeAutoCreate: false,
  authenticationOidc: false,
  crossNamespaceEventLinks: false,
  newApiServerSourceFilters: false,
  defaultAuthorizationMode: "Allow-Same-Namespace",
};

const modes: readonly AuthorizationMode[] = ["Allow-All", "Deny-All", "Allow-Same-Namespace"];

/** Reads the ConfigMap. "enabled" in any case is on, anything else is off. */
export function parseFeaturesConfig(data: ConfigData | undefined): FeaturesConfig {
  const text = new ConfigText(data);
  const base = defaultFeaturesConfig;
  const flag = (key: string, fallback: boolean): boolean => {
    const given = text.text(key, "");
    return given === "" ? fallback : given.trim().toLowerCase() === "enabled";
  };
  const mode = text.text("default-authorization-mode", base.defaultAuthorizationMode).toLowerCase();
  return {
    kreferenceGroup: flag("kreference-group", base.kreferenceGroup),
    kreferenceMapping: flag("kreference-mapping", base.kreferenceMapping),
    deliveryRetryAfter: flag("delivery-retryafter", base.deliveryRetryAfter),
    deliveryTimeout: flag("delivery-timeout", base.deliveryTimeout),
    eventTypeAutoCreate: flag("eventtype-auto-create", base.eventTypeAutoCreate),
    authenticationOidc: flag("authentication-oidc", base.authenticationOidc),
    crossNamespaceEventLinks: flag("cross-namespace-event-links", base.crossNamespaceEventLinks),
    newApiServerSourceFilters: flag("new-apiserversource-filters", base.newApiServerSourceFilters),
    defaultAuthorizationMode: modes.find((one) => one.toLowerCase() === mode) ?? base.defaultAuthorizationMode,
  };
}

/**
 * A Trigger's filters as they are written (eventing.knative.dev/v1 TriggerSpec; the dialects of CloudEvents' Subscriptions API).
 */

/** Names of attributes and what they shall be. */
export type AttributeFilter = Readonly<Record<string, string>>;

/** One filter of one dialect. None at all lets everything through. */
export type SubscriptionsFilter = {
  readonly exact?: AttributeFilter;
  readonly prefix?: AttributeFilter;
  readonly suffix?: AttributeFilter;
  readonly all?: readonly SubscriptionsFilter[];
  readonly any?: readonly SubscriptionsFilter[];
  readonly not?: SubscriptionsFilter;
  readonly cesql?: string;
};

/** The filters of a Trigger, or of anything that has the same two fields. `filters`, when there are any, count instead of `filter`. */
export type FilterSpec = {
  readonly filter?: { readonly attributes?: AttributeFilter };
  readonly filters?: readonly SubscriptionsFilter[];
};

/** Most filters of one Trigger, nested ones counted, and how deep they may nest. */
export const filterBounds = { count: 1000, depth: 32 } as const;

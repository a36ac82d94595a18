/**
 * How delivery goes, for who looks after it: of Triggers and Subscriptions what waits, was delivered and was given up, of sources what they have sent.
 */
import type { DispatchMetrics } from "#eventing/dispatcher/dispatch-metrics.ts";
import type { Dispatcher } from "#eventing/dispatcher/dispatcher.ts";
import type { SubscriptionRunner } from "#eventing/dispatcher/subscription-runner.ts";
import type { SourceDelivery } from "#eventing/sources/adapters/source-metrics.ts";
import { group, version } from "./discovery.ts";

/** All of a namespace. */
export function deliveriesOf(namespace: string, dispatcher: Dispatcher, sources: readonly SourceDelivery[]): object {
  const subscriptions = dispatcher
    .subscriptions()
    .filter(({ subscription }) => subscription.namespace === namespace)
    .map((runner) => ({
      kind: runner.topic.topic.kind === "Broker" ? "trigger" : "subscription",
      name: runner.subscription.name,
      ...describeSubscription(runner, dispatcher.metrics),
    }));
  const senders = sources
    .filter((source) => source.namespace === namespace)
    .map(({ namespace: _namespace, ...source }) => source);
  const items = [...subscriptions, ...senders].toSorted((a, b) =>
    `${a.kind}/${a.name}` < `${b.kind}/${b.name}` ? -1 : 1,
  );
  return { kind: "DeliveryList", apiVersion: `${group}/${version}`, metadata: {}, items };
}

/** Of one Trigger or Subscription. What was counted was counted since the process began. */
export function describeSubscription(
  { subscription, topic, lag }: SubscriptionRunner,
  metrics: Pick<DispatchMetrics, "countsOf">,
): object {
  const { first, end, bytes } = topic.log;
  return { lag, isHeld: subscription.isHeld ?? false, ...metrics.countsOf(subscription), topic: { first, end, bytes } };
}

/**
 * A Broker and its Triggers, made and waited for.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { eventually } from "../support/cluster.ts";
import type { FaultContext } from "./fault.ts";

const brokers = { group: "eventing.knative.dev", version: "v1", resource: "brokers" };
const triggers = { group: "eventing.knative.dev", version: "v1", resource: "triggers" };

type WithStatus = KubeObject & {
  readonly spec?: { readonly clusterIP?: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
};

/** Gives the address at which it takes events, for this machine. */
export async function makeBroker({ client }: FaultContext, namespace: string, delivery?: object): Promise<string> {
  const broker = {
    apiVersion: "eventing.knative.dev/v1",
    kind: "Broker",
    metadata: { name: "main" },
    spec: { ...(delivery && { delivery }) },
  } as KubeObject;
  // Its kind is there a moment after the cluster.
  await eventually("a Broker", () => client.create({ resource: brokers, namespace }, broker), 60_000);
  await isReady(client, brokers, { namespace, name: "main" });
  const ref = { resource: { group: "", version: "v1", resource: "services" }, namespace: "knative-eventing" };
  const { spec } = await client.get<WithStatus>({ ...ref, name: "broker-ingress" });
  return `http://${spec?.clusterIP}/${namespace}/main`;
}

/** One whose subscriber is told the events of each subject in their order. */
export async function makeTrigger(
  { client }: FaultContext,
  namespace: string,
  name: string,
  uri: string,
): Promise<void> {
  const trigger = {
    apiVersion: "eventing.knative.dev/v1",
    kind: "Trigger",
    metadata: { name, annotations: { "eventing.nodeless.dev/order-by": "subject" } },
    spec: { broker: "main", subscriber: { uri } },
  } as KubeObject;
  await client.create({ resource: triggers, namespace }, trigger);
  await isReady(client, triggers, { namespace, name });
}

async function isReady(
  client: FaultContext["client"],
  resource: typeof brokers,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<void> {
  await eventually(
    `${resource.resource}/${name} ready`,
    async () => {
      const { status } = await client.get<WithStatus>({ resource, namespace, name });
      return status?.conditions?.some((one) => one.type === "Ready" && one.status === "True");
    },
    60_000,
  );
}

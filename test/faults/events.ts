/**
 * kill -9 of the process that delivers events, of the control plane and of both, and a subscriber that goes away, while numbered events go through a Broker.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "#apimachinery/meta.ts";
import { eventually } from "../support/cluster.ts";
import { createNamespace, deleteNamespace } from "./apps.ts";
import { killProcess, revived, type Role } from "./deaths.ts";
import { EventTraffic } from "./event-traffic.ts";
import type { Fault, FaultContext } from "./fault.ts";

const namespace = "events";
const brokers = { group: "eventing.knative.dev", version: "v1", resource: "brokers" };
const triggers = { group: "eventing.knative.dev", version: "v1", resource: "triggers" };

type WithStatus = KubeObject & {
  readonly spec?: { readonly clusterIP?: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
};

export const eventDeaths: Fault = {
  name: "events",
  claim:
    "when processes die and a subscriber goes away no event that was answered 202 is lost, and each key keeps its order",
  async run(context) {
    const { client, machine, log, size, random } = context;
    await createNamespace(client, namespace);
    const brokerUrl = await makeBroker(context);
    const producers = 16;
    const events = size === "long" ? 6250 : 150;
    const traffic = new EventTraffic({ brokerUrl, host: machine.machineAddress, producers, events });
    try {
      await traffic.come();
      await makeTrigger(context, traffic.subscriberUrl);
      traffic.start();
      const victims: readonly (readonly Role[])[] =
        size === "long" ? rounds(context, 25) : [["eventing"], ["control-plane"], ["eventing", "control-plane"]];
      for (const roles of victims) {
        await sleep(random.integer(0, 300));
        const isAway = random.next() < 0.5;
        if (isAway) await traffic.leave();
        const dead = roles.map((role) => ({ role, process: killProcess(context, role) }));
        for (const { role, process } of dead) {
          const tookMs = await revived(context, role, process);
          log(`${role} back after ${tookMs} ms, ${traffic.sent} sent, ${traffic.received} received`);
        }
        if (isAway) await traffic.come();
      }
      await traffic.allSent();
      await traffic.check(size === "long" ? 600_000 : 60_000);
      log(
        `${traffic.sent} events, none lost, ${traffic.duplicates} twice, ${traffic.failures} tries refused or broken off`,
      );
    } finally {
      await traffic.stop();
      await deleteNamespace(client, namespace);
    }
  },
};

function rounds({ random }: FaultContext, count: number): readonly (readonly Role[])[] {
  return Array.from({ length: count }, () =>
    random.pick<readonly Role[]>([
      ["eventing"],
      ["eventing"],
      ["control-plane"],
      ["eventing", "control-plane"],
      ["node"],
    ]),
  );
}

/** Gives the address at which it takes events, for this machine. */
async function makeBroker({ client }: FaultContext): Promise<string> {
  const broker = {
    apiVersion: "eventing.knative.dev/v1",
    kind: "Broker",
    metadata: { name: "main" },
    // Longer than anything that is done here.
    spec: { delivery: { retry: 10_000, backoffPolicy: "linear", backoffDelay: "PT0.02S" } },
  } as KubeObject;
  // Its kind is there a moment after the cluster.
  await eventually("a Broker", () => client.create({ resource: brokers, namespace }, broker), 60_000);
  await isReady(client, brokers, "main");
  const ref = { resource: { group: "", version: "v1", resource: "services" }, namespace: "knative-eventing" };
  const { spec } = await client.get<WithStatus>({ ...ref, name: "broker-ingress" });
  return `http://${spec?.clusterIP}/${namespace}/main`;
}

async function makeTrigger({ client }: FaultContext, uri: string): Promise<void> {
  const trigger = {
    apiVersion: "eventing.knative.dev/v1",
    kind: "Trigger",
    metadata: { name: "numbers", annotations: { "eventing.nodeless.dev/order-by": "subject" } },
    spec: { broker: "main", subscriber: { uri } },
  } as KubeObject;
  await client.create({ resource: triggers, namespace }, trigger);
  await isReady(client, triggers, "numbers");
}

async function isReady(client: FaultContext["client"], resource: typeof brokers, name: string): Promise<void> {
  await eventually(
    `${resource.resource}/${name} ready`,
    async () => {
      const { status } = await client.get<WithStatus>({ resource, namespace, name });
      return status?.conditions?.some((one) => one.type === "Ready" && one.status === "True");
    },
    60_000,
  );
}

/**
 * kill -9 of the process that delivers events, of the control plane and of both, and a subscriber that goes away, while numbered events go through a Broker.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createNamespace, deleteNamespace } from "./apps.ts";
import { killProcess, revived, type Role } from "./deaths.ts";
import { makeBroker, makeTrigger } from "./event-objects.ts";
import { EventSubscriber } from "./event-subscriber.ts";
import { EventTraffic } from "./event-traffic.ts";
import type { Fault, FaultContext } from "./fault.ts";

const namespace = "events";
/** Longer than anything that is done here. */
const delivery = { retry: 10_000, backoffPolicy: "linear", backoffDelay: "PT0.02S" };

export const eventDeaths: Fault = {
  name: "events",
  claim:
    "when processes die and a subscriber goes away no event that was answered 202 is lost, and each key keeps its order",
  async run(context) {
    const { client, machine, log, size, random } = context;
    await createNamespace(client, namespace);
    const brokerUrl = await makeBroker(context, namespace, delivery);
    const producers = 16;
    const events = size === "long" ? 6250 : 150;
    const traffic = new EventTraffic({ brokerUrl, producers, events });
    const subscriber = new EventSubscriber(machine.machineAddress);
    try {
      await subscriber.come();
      await makeTrigger(context, namespace, "numbers", subscriber.url);
      traffic.start();
      const victims: readonly (readonly Role[])[] =
        size === "long" ? rounds(context, 25) : [["eventing"], ["control-plane"], ["eventing", "control-plane"]];
      for (const roles of victims) {
        await sleep(random.integer(0, 300));
        const isAway = random.next() < 0.5;
        if (isAway) await subscriber.leave();
        const dead = roles.map((role) => ({ role, process: killProcess(context, role) }));
        for (const { role, process } of dead) {
          const tookMs = await revived(context, role, process);
          log(`${role} back after ${tookMs} ms, ${traffic.sent} sent, ${subscriber.received} received`);
        }
        if (isAway) await subscriber.come();
      }
      await traffic.allSent();
      await subscriber.check(traffic.sent, size === "long" ? 600_000 : 60_000);
      log(
        `${traffic.sent} events, none lost, ${subscriber.duplicates} twice, ${traffic.failures} tries refused or broken off`,
      );
    } finally {
      await traffic.stop();
      await subscriber.leave();
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

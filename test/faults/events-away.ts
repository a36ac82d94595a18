/**
 * A subscriber that is away for an hour, while numbered events go on through its Broker with what a Broker has by default: another one beside it notices nothing, the process that
 * delivers is killed now and then, and who comes back gets all, in order.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { createNamespace, deleteNamespace } from "./apps.ts";
import { killProcess, revived } from "./deaths.ts";
import { makeBroker, makeTrigger } from "./event-objects.ts";
import { EventSubscriber } from "./event-subscriber.ts";
import { EventTraffic } from "./event-traffic.ts";
import type { Fault } from "./fault.ts";

const namespace = "events-away";
const producers = 16;
/** How long it is away, how many events each producer sends meanwhile, and how often the process that delivers dies. */
const sizes = {
  long: { awayMs: 3_600_000, events: 6250, deaths: 6, lateMs: 600_000 },
  short: { awayMs: 4000, events: 60, deaths: 1, lateMs: 60_000 },
} as const;

export const absentSubscriber: Fault = {
  name: "events-away",
  claim: "a subscriber that was away for an hour is told all that happened, in order, and nobody else waited for it",
  async run(context) {
    const { client, machine, log } = context;
    const { awayMs, events, deaths, lateMs } = sizes[context.size];
    await createNamespace(client, namespace);
    const brokerUrl = await makeBroker(context, namespace);
    const present = new EventSubscriber(machine.machineAddress);
    const absent = new EventSubscriber(machine.machineAddress);
    const traffic = new EventTraffic({ brokerUrl, producers, events, everyMs: Math.floor(awayMs / events / 2) });
    try {
      for (const [name, subscriber] of Object.entries({ present, absent })) {
        await subscriber.come();
        await makeTrigger(context, namespace, name, subscriber.url);
      }
      await absent.leave();
      const startMs = performance.now();
      traffic.start();
      for (let death = 1; death <= deaths; death++) {
        await sleep(startMs + (death * awayMs) / (deaths + 1) - performance.now());
        const dead = killProcess(context, "eventing");
        const tookMs = await revived(context, "eventing", dead);
        log(
          `eventing back after ${tookMs} ms, ${traffic.sent} sent, ${present.received} and ${absent.received} received`,
        );
      }
      await sleep(startMs + awayMs - performance.now());
      await traffic.allSent();
      await present.check(traffic.sent, 60_000);
      assert.equal(absent.received, 0, "nothing was told to who was not there");
      await absent.come();
      const backMs = performance.now();
      await absent.check(traffic.sent, lateMs);
      log(
        `${traffic.sent} events, told ${Math.round((performance.now() - backMs) / 1000)} s after the subscriber was back`,
      );
      log(`none lost, ${present.duplicates} and ${absent.duplicates} twice`);
    } finally {
      await traffic.stop();
      await Promise.all([present.leave(), absent.leave()]);
      await deleteNamespace(client, namespace);
    }
  },
};

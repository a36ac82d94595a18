/**
 * The disk under a dispatcher fills: events are refused in clear words, those that were taken arrive, and with room again all goes on. Needs no cluster.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { systemClock as clock } from "#component-base/clock.ts";
import { silentLogger as logger } from "#component-base/logger.ts";
import { Dispatcher } from "#eventing/dispatcher/dispatcher.ts";
import { openEmbeddedLogs } from "#eventing/dispatcher/embedded-logs.ts";
import { Receiver } from "#eventing/dispatcher/receiver.ts";
import type { Topology } from "#eventing/dispatcher/topology.ts";
import { eventually } from "../support/cluster.ts";
import type { Fault } from "./fault.ts";
import { fill, makeDisk } from "./small-disk.ts";

const diskBytes = 24 << 20;

export const eventsOnFullDisk: Fault = {
  name: "events-full-disk",
  claim: "on a full disk events are refused with 507, those that were taken arrive, and with room it goes on",
  needs: "mkfs.ext4",
  async run({ log, size }) {
    const disk = makeDisk(diskBytes);
    const got = new Set<string>();
    const subscriber = createServer((request, response) => {
      got.add(String(request.headers["ce-id"]));
      request.resume();
      request.on("end", () => response.end());
    }).listen(0, "127.0.0.1");
    await once(subscriber, "listening");
    const { port } = subscriber.address() as { readonly port: number };
    const logs = await openEmbeddedLogs({ folder: join(disk.folder, "events"), clock, logger });
    const dispatcher = new Dispatcher({ logs, clock, logger });
    const receiver = new Receiver({ dispatcher, clock, logger });
    try {
      await dispatcher.apply(topology(`http://127.0.0.1:${port}/`));
      const url = `http://127.0.0.1:${await receiver.listen({ port: 0, host: "127.0.0.1" })}/a/b`;
      const taken: string[] = [];
      for (let round = 0; round < (size === "long" ? 10 : 2); round++) {
        fill(join(disk.folder, "filler"));
        for (let number = 0; (await send(url, `${round}-full-${number}`, taken)) === 202; number++);
        for (let number = 0; number < 20; number++) assert.equal(await send(url, `${round}-not-${number}`, taken), 507);
        rmSync(join(disk.folder, "filler"));
        for (let number = 0; number < 50; number++) {
          assert.equal(await send(url, `${round}-room-${number}`, taken), 202);
        }
        log(`round ${round}: ${taken.length} taken`);
      }
      await eventually("all that was taken", async () => taken.every((id) => got.has(id)));
      assert.equal(got.size, taken.length, "nothing that was refused was delivered");
    } finally {
      await receiver.close();
      await dispatcher.stop();
      subscriber.close();
      subscriber.closeAllConnections();
      disk.remove();
    }
  },
};

async function send(url: string, id: string, taken: string[]): Promise<number> {
  const headers = { "ce-specversion": "1.0", "ce-id": id, "ce-source": "/faults", "ce-type": "filling" };
  const response = await fetch(url, { method: "POST", headers, body: "x".repeat(8000) });
  const text = await response.text();
  if (response.status === 507) assert.match(text, /the disk is full/);
  if (response.status === 202) taken.push(id);
  return response.status;
}

function topology(url: string): Topology {
  const retention = { maxAgeMs: 86_400_000, maxBytes: 2 ** 30 };
  const topic = { id: "t", kind: "Broker", namespace: "a", name: "b", hosts: [], path: "/a/b", retention } as const;
  const delivery = { retries: 10, backoff: "linear", backoffDelayMs: 50, timeoutMs: 5000 } as const;
  const own = { id: "s", topic: "t", namespace: "a", name: "s", delivery };
  return { topics: [topic], subscriptions: [{ ...own, subscriber: { url }, reply: "topic" }] };
}

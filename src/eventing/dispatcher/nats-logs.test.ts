import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#component-base/logger.ts";
import type { EventLogs } from "./event-log.ts";
import { eventLogSuite } from "./event-log-suite.ts";
import { openNatsLogs } from "./nats-logs.ts";
import { newFolder } from "./testing/house.ts";
import { findNatsServer, startNatsServer } from "./testing/nats-server.ts";

const program = findNatsServer();

if (program === undefined) test("NATS JetStream", { skip: "nats-server is not installed" }, () => {});
else {
  eventLogSuite("NATS JetStream", async (t) => {
    const folder = newFolder(t);
    const server = await startNatsServer(program, folder);
    const opened: EventLogs[] = [];
    // Logs first: without their server they would wait for it.
    t.after(async () => {
      for (const logs of opened) await logs.close();
      await server.stop();
    });
    const open = async () => {
      const logs = await openNatsLogs({ servers: server.url, prefix: "test", logger: silentLogger });
      opened.push(logs);
      return logs;
    };
    return { open };
  });

  test("NATS JetStream: a server that is killed and started again has all that it acknowledged", async (t) => {
    const folder = newFolder(t);
    const server = await startNatsServer(program, folder);
    const logs = await openNatsLogs({ servers: server.url, prefix: "test", logger: silentLogger });
    const log = await logs.open("a", { maxAgeMs: 86_400_000, maxBytes: 2 ** 30 });
    for (let number = 1; number <= 50; number++) await log.append(Buffer.from(String(number)));
    await server.stop();

    const again = await startNatsServer(program, folder, Number(new URL(server.url).port));
    t.after(async () => {
      await logs.close();
      await again.stop();
    });

    assert.equal(await retried(() => log.append(Buffer.from("51"))), 51);
    const { records } = await log.read(1);
    assert.equal(records.length, 51);
  });
}

async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/**
 * The dispatcher with its receiver in a process of its own, on a folder of its own: `dispatcher-process.ts FOLDER [NATS]`. Told by messages what to deliver where; tells its port, and what it has used.
 */
import { systemClock } from "#component-base/clock.ts";
import { IdleMemory } from "#component-base/idle-memory.ts";
import { createLogger } from "#component-base/logger.ts";
import { Dispatcher } from "#eventing/dispatcher/dispatcher.ts";
import { openEmbeddedLogs } from "#eventing/dispatcher/embedded-logs.ts";
import { eventToBytes } from "#eventing/dispatcher/event-bytes.ts";
import { openNatsLogs } from "#eventing/dispatcher/nats-logs.ts";
import { Receiver } from "#eventing/dispatcher/receiver.ts";
import type { Topology } from "#eventing/dispatcher/topology.ts";

/** What it is told. */
export type Order =
  | { readonly kind: "apply"; readonly topology: Topology }
  /** Puts so many events into the first topic's log, of so many bytes each. */
  | { readonly kind: "fill"; readonly events: number; readonly bytes: number }
  | { readonly kind: "usage" };

/** What it tells. */
export type Report =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "done" }
  | { readonly kind: "usage"; readonly cpuMicros: number; readonly lag: number };

const logger = createLogger({ level: "error" });
const [folder = "", servers] = process.argv.slice(2);
const logs = await (servers === undefined
  ? openEmbeddedLogs({ folder, clock: systemClock, logger })
  : openNatsLogs({ servers, prefix: "bench", logger }));
const dispatcher = new Dispatcher({ logs, clock: systemClock, logger });
const receiver = new Receiver({ dispatcher, clock: systemClock, logger });

function tell(report: Report): void {
  process.send?.(report);
}

async function fill(events: number, bytes: number): Promise<void> {
  const log = dispatcher.topics()[0]?.log;
  if (!log) throw new Error("there is no topic to fill");
  const attributes = new Map([
    ["specversion", "1.0"],
    ["id", "waiting"],
    ["source", "/bench"],
    ["type", "bench.waiting"],
  ]);
  const payload = eventToBytes({ attributes, data: new Uint8Array(bytes) });
  for (let left = events; left > 0; left -= 1000) {
    await Promise.all(Array.from({ length: Math.min(1000, left) }, () => log.append(payload)));
  }
}

async function follow(order: Order): Promise<void> {
  if (order.kind === "apply") await dispatcher.apply(order.topology);
  else if (order.kind === "fill") await fill(order.events, order.bytes);
  else {
    const { user, system } = process.cpuUsage();
    const lag = Math.max(0, ...dispatcher.subscriptions().map((one) => one.lag));
    return tell({ kind: "usage", cpuMicros: user + system, lag });
  }
  tell({ kind: "done" });
}

void new IdleMemory(systemClock).start(new AbortController().signal); // as every process of a cluster
process.on("message", (order) => void follow(order as Order));
process.on("disconnect", () => process.exit(0));
tell({ kind: "listening", port: await receiver.listen({ port: 0, host: "127.0.0.1" }) });

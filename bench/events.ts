/**
 * Durable events: how many are taken and delivered with one producer and with 64, for one Trigger and for twenty; how old they are when nothing waits; what a million that wait cost. Dispatcher and load are processes of
 * their own. `npm run bench -- events [--json] [--events=N] [--waiting=N]`.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { bundleOptions } from "../tools/bundle-options.ts";
import { memoryOf } from "./api/process-cost.ts";
import type { Order, Report } from "./events/dispatcher-process.ts";
import { findNatsServer, startNatsServer } from "#eventing/dispatcher/testing/nats-server.ts";
import type { LoadOrder, LoadResult } from "./events/load-process.ts";

type Row = Readonly<Record<string, string | number>>;

const root = resolve(import.meta.dirname, "..");
const isJson = process.argv.includes("--json");
const events = Number(optionOf("events") ?? 20_000);
const waiting = Number(optionOf("waiting") ?? 1_000_000);
const folder = mkdtempSync(join(tmpdir(), "nodeless-bench-events-"));
const dataBytes = 256;

function optionOf(name: string): string | undefined {
  return process.argv.find((it) => it.startsWith(`--${name}=`))?.split("=")[1];
}

/** Bundled, as it runs at users'. */
async function start(file: string, args: readonly string[] = []): Promise<ChildProcess> {
  const outfile = join(root, "dist/bench", `${file}.js`);
  await build({
    ...bundleOptions(root),
    splitting: false,
    entryPoints: [join(root, `bench/events/${file}.ts`)],
    outfile,
  });
  return fork(outfile, args, { execArgv: ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=16"] });
}

/** The process's next message. */
async function heard<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, "message")) as [T];
  return message;
}

async function ask<T>(child: ChildProcess, order: Order | LoadOrder): Promise<T> {
  const answer = heard<T>(child);
  child.send(order);
  return await answer;
}

async function usage(dispatcher: ChildProcess): Promise<{ readonly cpuMicros: number; readonly lag: number }> {
  return (await ask<Report>(dispatcher, { kind: "usage" })) as { readonly cpuMicros: number; readonly lag: number };
}

function topologyOf(triggers: number, port: number): Order {
  const retention = { maxAgeMs: 86_400_000, maxBytes: 4 * 2 ** 30 };
  const topic = {
    id: "bench",
    kind: "Broker",
    namespace: "bench",
    name: "main",
    hosts: [],
    path: "/bench/main",
    retention,
  } as const;
  const delivery = { retries: 10, backoff: "exponential", backoffDelayMs: 200, timeoutMs: 30_000 } as const;
  const subscriptions = Array.from({ length: triggers }, (_, index) => ({
    id: `t${index}`,
    topic: "bench",
    namespace: "bench",
    name: `t${index}`,
    subscriber: { url: `http://127.0.0.1:${port}/` },
    reply: "topic" as const,
    delivery,
  }));
  return { kind: "apply", topology: { topics: [topic], subscriptions } };
}

/** In a process that has done nothing else: what the others have left in its heap is another matter. */
async function waitingRow(): Promise<Row> {
  const dispatcher = await start("dispatcher-process", [join(folder, "waiting")]);
  children.push(dispatcher);
  await heard(dispatcher);
  const before = Math.round(memoryOf([dispatcher.pid ?? 0]).pssMb);
  // Nobody listens at port 1.
  await ask(dispatcher, topologyOf(1, 1));
  await ask(dispatcher, { kind: "fill", events: waiting, bytes: dataBytes });
  await new Promise((done) => setTimeout(done, 5000));
  const { lag } = await usage(dispatcher);
  const { pssMb } = memoryOf([dispatcher.pid ?? 0]);
  return { what: `${lag} waiting (${before} MB without)`, "PSS MB": Math.round(pssMb) };
}

/** What is tried with each log. */
const loads: readonly {
  readonly producers: number;
  readonly triggers: number;
  readonly share: number;
  readonly pauseMs: number;
}[] = [
  { producers: 1, triggers: 1, share: 0.1, pauseMs: 0 },
  { producers: 64, triggers: 1, share: 1, pauseMs: 0 },
  { producers: 64, triggers: 0, share: 1, pauseMs: 0 },
  { producers: 1, triggers: 20, share: 0.05, pauseMs: 0 },
  { producers: 64, triggers: 20, share: 0.2, pauseMs: 0 },
  { producers: 4, triggers: 1, share: 0.04, pauseMs: 20 },
];

async function rowsOf(log: string, args: readonly string[]): Promise<void> {
  const dispatcher = await start("dispatcher-process", args);
  children.push(dispatcher);
  const { port } = await heard<Extract<Report, { kind: "listening" }>>(dispatcher);
  const load = await start("load-process");
  children.push(load);
  const { subscriberPort } = await heard<{ readonly subscriberPort: number }>(load);
  for (const { producers, triggers, share, pauseMs } of loads) {
    await ask(dispatcher, topologyOf(triggers, subscriberPort));
    const before = await usage(dispatcher);
    const count = Math.round(events * share);
    const result = await ask<LoadResult>(load, { port, producers, triggers, events: count, bytes: dataBytes, pauseMs });
    const after = await usage(dispatcher);
    rows.push({
      log,
      what: `${producers} producers${pauseMs > 0 ? " at their leisure" : ""}, ${triggers} Triggers`,
      "taken/s": result.acceptedPerSecond,
      "delivered/s": result.deliveredPerSecond,
      "CPU µs/event": Math.round((after.cpuMicros - before.cpuMicros) / count),
      "taken p50 ms": round(result.acceptP50Ms),
      "p99 ms": round(result.acceptP99Ms),
      "delivered p50 ms": round(result.deliveryP50Ms),
      "p99 ms ": round(result.deliveryP99Ms),
      lost: triggers === 0 ? 0 : result.lost + result.refused,
      twice: triggers === 0 ? 0 : result.duplicates,
      "PSS MB": Math.round(memoryOf([dispatcher.pid ?? 0]).pssMb),
    });
  }
}

const rows: Row[] = [];
const children: ChildProcess[] = [];
const natsProgram = findNatsServer();
const nats = natsProgram === undefined ? undefined : await startNatsServer(natsProgram, join(folder, "nats"));
try {
  await rowsOf("journal", [join(folder, "journal")]);
  // Its server syncs to the disk now and then only, every two minutes by default.
  if (nats) await rowsOf("NATS JetStream", [folder, nats.url]);
  else console.error("nats-server is not installed: without its rows");
  rows.push(await waitingRow());
} finally {
  for (const child of children) child.disconnect();
  await nats?.stop();
  rmSync(folder, { recursive: true, force: true });
}
if (isJson) console.log(JSON.stringify(rows, null, 2));
else console.table(rows);

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

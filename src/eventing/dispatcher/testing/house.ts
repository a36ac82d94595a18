/**
 * A dispatcher with its receiver on a folder of its own, and subscribers that are real HTTP servers.
 */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Clock, systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import type { SpanSink } from "#component-base/otlp/spans.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { decodeMessage } from "#eventing/cloudevents/http-binding.ts";
import { Dispatcher } from "#eventing/dispatcher/dispatcher.ts";
import { openEmbeddedLogs } from "#eventing/dispatcher/embedded-logs.ts";
import type { EventLogs } from "#eventing/dispatcher/event-log.ts";
import { type PolicyCheck, Receiver } from "#eventing/dispatcher/receiver.ts";
import type { Delivery, Subscription, Topic } from "#eventing/dispatcher/topology.ts";

/** A dispatcher at work. */
export type House = {
  readonly dispatcher: Dispatcher;
  readonly folder: string;
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** Sends an event to the broker, and gives the answer's status. */
  readonly send: (id: string, extra?: Readonly<Record<string, string>>, body?: string) => Promise<number>;
  readonly stop: () => Promise<void>;
};

/** What is different from the usual. */
export type HouseOptions = {
  readonly folder?: string;
  readonly clock?: Clock;
  readonly check?: PolicyCheck;
  readonly spans?: SpanSink;
  /** Something between the dispatcher and its logs. */
  readonly around?: (logs: EventLogs) => EventLogs;
};

/** Brings one up; it goes with the test. */
export async function openHouse(t: TestContext, options: HouseOptions = {}): Promise<House> {
  const folder = options.folder ?? newFolder(t);
  const clock = options.clock ?? systemClock;
  const logs = await openEmbeddedLogs({ folder, clock: systemClock, logger: silentLogger });
  const { spans } = options;
  const dispatcher = new Dispatcher({ logs: options.around?.(logs) ?? logs, clock, logger: silentLogger, spans });
  const receiver = new Receiver({
    dispatcher,
    clock: systemClock,
    logger: silentLogger,
    spans,
    ...(options.check && { check: options.check }),
  });
  const url = `http://127.0.0.1:${await receiver.listen({ port: 0, host: "127.0.0.1" })}`;
  const stop = async () => {
    await receiver.close();
    await dispatcher.stop();
  };
  t.after(stop);
  return { dispatcher, folder, url, stop, send: (id, extra, body) => post(`${url}/default/main`, id, extra, body) };
}

/** A folder that goes with the test. */
export function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-events-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What the folder holds now, as a process finds it that is started after another was killed. */
export function copyAsAfterKill(t: TestContext, folder: string): string {
  const copy = newFolder(t);
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/** Sends one event, and gives the answer's status. */
export async function post(
  url: string,
  id: string,
  extra: Readonly<Record<string, string>> = {},
  body: string = "",
): Promise<number> {
  const headers = { "ce-specversion": "1.0", "ce-id": id, "ce-source": "/test", "ce-type": "test.event", ...extra };
  const response = await fetch(url, { method: "POST", headers, ...(body !== "" && { body }) });
  await response.arrayBuffer();
  return response.status;
}

/** The Broker default/main. */
export const main: Topic = {
  id: "main",
  kind: "Broker",
  namespace: "default",
  name: "main",
  hosts: [],
  path: "/default/main",
  retention: { maxAgeMs: 86_400_000, maxBytes: 2 ** 30 },
};

/** Tries four times more, quickly. */
export const impatient: Delivery = {
  retries: 4,
  backoff: "linear",
  backoffDelayMs: 5,
  timeoutMs: 5000,
};

/** A Trigger of it. */
export function trigger(id: string, url: string, rest: Partial<Subscription> = {}): Subscription {
  const target = { subscriber: { url }, reply: "topic" as const };
  return { id, topic: "main", namespace: "default", name: id, ...target, delivery: impatient, ...rest };
}

/** What a subscriber got. */
export type Got = { readonly event: CloudEvent; readonly headers: IncomingMessage["headers"]; readonly atMs: number };

/** How a subscriber answers: a status, or anything by itself. */
export type Answerer = (got: Got, response: ServerResponse) => number | undefined | void;

/** A subscriber. */
export type Subscriber = {
  readonly url: string;
  readonly got: readonly Got[];
  readonly ids: () => string[];
  readonly close: () => Promise<void>;
};

/** Starts one; it goes with the test. Answers 200 to all unless told otherwise. */
export async function openSubscriber(t: TestContext, answer: Answerer = () => 200, port = 0): Promise<Subscriber> {
  const got: Got[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { events } = decodeMessage({ headers: request.rawHeaders, body: Buffer.concat(chunks) });
      for (const event of events) {
        const one = { event, headers: request.headers, atMs: performance.now() };
        got.push(one);
        const status = answer(one, response);
        if (typeof status === "number") response.writeHead(status).end();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const close = async () => await closeServer(server);
  t.after(close);
  const address = server.address() as { readonly port: number };
  const ids = () => got.map(({ event }) => String(event.attributes.get("id")));
  return { url: `http://127.0.0.1:${address.port}/`, got, ids, close };
}

/** Waits until it is so. */
export async function until(isSo: () => boolean | Promise<boolean>, what: string, withinMs = 10_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`waited ${withinMs} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}

/**
 * Events as lines of JSON, oldest first, for as long as somebody reads them. Read from the log as they are wanted: a reader that is slow is waited for.
 */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Clock } from "#component-base/clock.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { encodeStructured } from "#eventing/cloudevents/http-binding.ts";
import { type DeadFacts, deadEventFromBytes, deadFactsFromBytes } from "#eventing/dispatcher/dead-event.ts";
import { eventFromBytes } from "#eventing/dispatcher/event-bytes.ts";
import type { EventLog, LogRecord } from "#eventing/dispatcher/event-log.ts";
import type { TopicRunner } from "#eventing/dispatcher/topic-runner.ts";
import type { Subscription } from "#eventing/dispatcher/topology.ts";

/** Which, and to whom. */
export type StreamOptions = {
  readonly response: ServerResponse;
  readonly clock: Clock;
  /** Where to begin; the oldest when neither is given, but the end for who follows. */
  readonly from: number | undefined;
  readonly sinceMs: number | undefined;
  readonly limit: number | undefined;
  /** Goes on with what comes. */
  readonly isFollowing: boolean;
};

/** A line now and then, so that a connection whose other end has gone is noticed. */
const heartbeatMs = 30_000;

/** `{"position":…,"time":…,"event":{…}}`, the event in its structured form. */
export async function streamEvents(topic: TopicRunner, options: StreamOptions): Promise<void> {
  await streamLines(topic.log, options, ({ position, timeMs, payload }) => {
    return { position, time: timeOf(timeMs), event: asJson(eventFromBytes(payload)) };
  });
}

/** The same for those that were given up, with what was tried. `only`: of the subscription of this name. */
export async function streamDead(
  topic: TopicRunner,
  options: StreamOptions & { readonly names: ReadonlyMap<string, Subscription>; readonly only: string | null },
): Promise<void> {
  const log = await topic.dead();
  const settled = await settledIn(log, options.from ?? 1);
  await streamLines(log, options, ({ position: at, timeMs, payload }) => {
    const { event, subscription, position, error, tries, deadLetter, isSettled } = deadEventFromBytes(payload);
    if (isSettled || at < (settled.get(keyOf({ subscription, position })) ?? 0)) return undefined;
    const name = options.names.get(subscription)?.name;
    if (options.only !== null && name !== options.only) return undefined;
    const facts = { position, time: timeOf(timeMs), subscription: name ?? subscription, error, tries, deadLetter };
    return { ...facts, event: asJson(event) };
  });
}

/** Positions in the topic of what is dead for a subscription, each once. */
export async function deadPositions(log: EventLog, subscription: string): Promise<readonly number[]> {
  const positions = new Set<number>();
  for await (const { facts } of readFacts(log, 1)) {
    if (facts.subscription !== subscription) continue;
    if (facts.isSettled) positions.delete(facts.position);
    else positions.add(facts.position);
  }
  return [...positions];
}

/** Where it was last written that a dead event was taken in the end. */
async function settledIn(log: EventLog, from: number): Promise<ReadonlyMap<string, number>> {
  const settled = new Map<string, number>();
  for await (const { at, facts } of readFacts(log, from)) if (facts.isSettled) settled.set(keyOf(facts), at);
  return settled;
}

function keyOf({ subscription, position }: Pick<DeadFacts, "subscription" | "position">): string {
  return `${subscription} ${position}`;
}

async function* readFacts(
  log: EventLog,
  from: number,
): AsyncGenerator<{ readonly at: number; readonly facts: DeadFacts }> {
  for (let next = from; next < log.end; ) {
    const part = await log.read(next);
    for (const { position: at, payload } of part.records) yield { at, facts: deadFactsFromBytes(payload) };
    next = Math.max(part.next, next + 1);
  }
}

async function streamLines(
  log: EventLog,
  { response, clock, from, sinceMs, limit = Number.POSITIVE_INFINITY, isFollowing }: StreamOptions,
  lineOf: (record: LogRecord) => object | undefined,
): Promise<void> {
  let next = sinceMs === undefined ? (from ?? (isFollowing ? log.end : 1)) : await log.positionAt(sinceMs);
  let left = limit === 0 ? Number.POSITIVE_INFINITY : limit;
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.flushHeaders();
  while (left > 0 && !response.destroyed) {
    if (next >= log.end) {
      if (!isFollowing) break;
      await untilMore(log, next, response, clock);
      continue;
    }
    const part = await log.read(next);
    next = Math.max(part.next, next + 1);
    for (const record of part.records) {
      const line = lineOf(record);
      if (!line) continue;
      if (left-- <= 0) break;
      if (!response.write(`${JSON.stringify(line)}\n`)) await drained(response);
      if (response.destroyed) return;
    }
  }
  response.end();
}

/** Resolves when there are more records, or the reader has gone. */
async function untilMore(log: EventLog, next: number, response: ServerResponse, clock: Clock): Promise<void> {
  const more = Promise.withResolvers<void>();
  const stop = log.onAppended(more.resolve);
  response.once("close", more.resolve);
  const timer = clock.setTimer(heartbeatMs, () => {
    response.write("\n");
    more.resolve();
  });
  if (log.end > next || response.destroyed) more.resolve();
  await more.promise;
  timer.clear();
  stop();
  response.off("close", more.resolve);
}

async function drained(response: ServerResponse): Promise<void> {
  const ended = new AbortController();
  const gone = () => ended.abort();
  response.once("close", gone);
  await once(response, "drain", { signal: ended.signal }).catch(() => {}); // the loop sees that nobody reads
  response.off("close", gone);
}

function asJson(event: CloudEvent): unknown {
  return JSON.parse(Buffer.from(encodeStructured(event).body).toString());
}

function timeOf(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

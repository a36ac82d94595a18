/**
 * Sends a PingSource's events when they are due. The place is the last moment that was dealt with: after an absence, ours or the sink's, the newest moment that was missed is sent, and no older one, as CronJobs do it:
 * neither is the night's report lost nor do sixty of them come at once.
 */
import type { PingSource } from "#eventing/sources/kinds.ts";
import { parsePingSchedule } from "#eventing/sources/ping-schedule.ts";
import { pingEvent } from "#eventing/sources/source-events.ts";
import type { AdapterKind } from "./adapter-set.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";
import { deliver, sourceRef, targetOf, withOverrides } from "./deliver.ts";

/** Longest sleep: clocks are set, and timers have a largest value. */
const longestSleepMs = 600_000;

export function pingAdapter(context: SourceAdaptersContext): AdapterKind<PingSource> {
  return {
    name: "pingsource",
    fingerprint: (source) =>
      targetOf(source) === undefined ? undefined : JSON.stringify([source.spec, targetOf(source)]),
    run: (source, signal) => run(context, source, signal),
    placePrefix: "ping",
  };
}

/** The moment up to which a schedule was followed. Another schedule begins now. */
type Place = { readonly schedule: string; readonly doneMs: number };

async function run(context: SourceAdaptersContext, source: PingSource, signal: AbortSignal): Promise<void> {
  const { clock } = context;
  const { schedule = "* * * * *", timezone } = source.spec ?? {};
  const times = parsePingSchedule(schedule, timezone);
  const label = JSON.stringify([schedule, timezone]);
  let doneMs = readPlace(context, source, label);
  for (;;) {
    const nowMs = clock.now();
    const dueMs = times.lastMs(doneMs, nowMs);
    if (dueMs === undefined) {
      const nextMs = times.nextMs(Math.max(nowMs, doneMs));
      await clock.sleep(Math.min((nextMs ?? Number.POSITIVE_INFINITY) - nowMs, longestSleepMs), signal);
      continue;
    }
    await send(context, { source, dueMs, untilMs: times.nextMs(nowMs) ?? Number.POSITIVE_INFINITY, signal });
    doneMs = dueMs;
    await writePlace(context, source, { schedule: label, doneMs });
  }
}

async function send(
  context: SourceAdaptersContext,
  options: {
    readonly source: PingSource;
    readonly dueMs: number;
    readonly untilMs: number;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { source, dueMs, untilMs, signal } = options;
  const target = targetOf(source);
  if (target === undefined) return;
  const event = withOverrides(pingEvent(source, dueMs), source.spec?.ceOverrides);
  await deliver(context, { event, target, source: sourceRef("pingsource", source), untilMs, signal });
}

/** A source that was never followed begins when it was made; one whose schedule has changed, now. */
function readPlace({ places, clock }: SourceAdaptersContext, { metadata }: PingSource, schedule: string): number {
  const bytes = places.get(placeKey(metadata?.uid ?? ""));
  if (bytes === undefined) return Date.parse(metadata?.creationTimestamp ?? "") || clock.now();
  const place = JSON.parse(Buffer.from(bytes).toString()) as Place;
  return place.schedule === schedule ? place.doneMs : clock.now();
}

async function writePlace({ places }: SourceAdaptersContext, { metadata }: PingSource, place: Place): Promise<void> {
  places.set(placeKey(metadata?.uid ?? ""), Buffer.from(JSON.stringify(place)));
  await places.flush();
}

function placeKey(uid: string): string {
  return `ping/${uid}`;
}

/**
 * Events as the cluster's API of events gives them, line by line, and as people read them.
 */
import { formatDuration } from "#apimachinery/duration.ts";
import { UserError } from "#cli/command.ts";

/** Of all requests about events. */
export const eventsApi = "/apis/events.nodeless.dev/v1";

/** An event in CloudEvents' JSON format. */
export type JsonEvent = Readonly<Record<string, unknown>>;

/** One line: an event that is kept, or one that was given up. */
export type EventLine = {
  readonly position: number;
  readonly time: string;
  readonly event: JsonEvent;
  readonly subscription?: string;
  readonly tries?: number;
  readonly deadLetter?: string;
  readonly error?: { readonly destination?: string; readonly code?: number; readonly data?: string };
};

const shownData = 100;
/** What is told of a Trigger that is gone. */
const uidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The lines of a stream. Empty ones are heartbeats. */
export async function* eventLines(stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<EventLine> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as EventLine;
  }
  if (rest.trim() !== "") yield JSON.parse(rest) as EventLine;
}

/** One line for people: when, what, of what, from whom, and the beginning of its data. */
export function describeEvent({ position, time, event }: EventLine): string {
  const parts = [time, `#${position}`, event["type"], event["subject"], event["source"], dataOf(event)];
  return parts.filter((part) => part !== undefined && part !== "").join("  ");
}

/** What became of an event that was given up, as columns. */
export function describeDead(line: EventLine): readonly string[] {
  const { position, time, subscription = "", tries = 0, deadLetter = "", error = {}, event } = line;
  const why = [error.code, error.data?.trim().split("\n")[0]].filter((part) => part !== undefined && part !== "");
  return [
    `#${position}`,
    time,
    uidPattern.test(subscription) ? "(deleted)" : subscription,
    String(event["type"]),
    String(event["id"]),
    `${tries}`,
    deadLetter,
    shorten(why.join(" ")),
  ];
}

export const deadHeadings: readonly string[] = [
  "POSITION",
  "TIME",
  "TRIGGER",
  "TYPE",
  "ID",
  "TRIES",
  "DEAD-LETTER",
  "ERROR",
];

/** How a source sends, or a Trigger delivers. */
export type DeliveryFacts = {
  readonly kind: string;
  readonly name: string;
  /** Of sources. */
  readonly sent?: number;
  readonly lagMs?: number;
  readonly waitingSince?: string;
  readonly lastFailure?: { readonly status?: number; readonly why?: string };
  /** Of Triggers and Subscriptions: events that were delivered, and that wait. */
  readonly delivered?: number;
  readonly lag?: number;
  readonly isHeld?: boolean;
  readonly retried?: number;
  readonly failed?: number;
};

export const deliveryHeadings: readonly string[] = ["NAME", "SENT", "RETRIED", "FAILED", "WAITING", "LAG", "TROUBLE"];

/** The same as columns. */
export function describeDelivery(facts: DeliveryFacts): readonly string[] {
  const { kind, name, sent, delivered = sent ?? 0, retried = 0, failed = 0, lag, lagMs, waitingSince } = facts;
  const { status, why } = facts.lastFailure ?? {};
  const trouble = facts.isHeld === true ? "nobody to deliver to" : [status, why?.trim().split("\n")[0]].join(" ");
  return [
    `${kind}/${name}`,
    String(delivered),
    String(retried),
    String(failed),
    String(lag ?? (waitingSince === undefined ? 0 : 1)),
    lagMs === undefined ? "" : formatDuration(Math.round(lagMs)),
    shorten(trouble.trim()),
  ];
}

function dataOf(event: JsonEvent): string | undefined {
  const { data, data_base64: bytes } = event;
  if (typeof bytes === "string") return `(${Math.floor((bytes.length * 3) / 4)} bytes)`;
  if (data === undefined) return undefined;
  return shorten(typeof data === "string" ? data : JSON.stringify(data));
}

function shorten(text: string): string {
  // Control characters of a stranger's would be acted on by the terminal.
  const plain = text.replaceAll(/[\p{Cc}\p{Cf}]+/gu, " ");
  return plain.length > shownData ? `${plain.slice(0, shownData)}…` : plain;
}

/** A time as it is typed: RFC 3339, or how long ago ("10m", "2h30m"). Throws UserError. */
export function parseSince(text: string, nowMs: number): string {
  const ago = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  if (ago !== null && text !== "") {
    const [days = 0, hours = 0, minutes = 0, seconds = 0] = ago.slice(1).map((part) => Number(part ?? 0));
    return new Date(nowMs - (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000).toISOString();
  }
  const moment = Date.parse(text);
  if (Number.isNaN(moment))
    throw new UserError(`--since wants a time, or how long ago (10m, 2h), not "${text}"`, { exitCode: 2 });
  return new Date(moment).toISOString();
}

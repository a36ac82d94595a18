/**
 * `nodeless event`: sending events, seeing them, having them delivered again.
 */
import { hasReason } from "#apimachinery/status-error.ts";
import type { Transport } from "#client/transport.ts";
import { type Arguments, type Command, numberFlag, textFlag, UserError } from "#cli/command.ts";
import { columns } from "#cli/columns.ts";
import {
  deadHeadings,
  type DeliveryFacts,
  deliveryHeadings,
  describeDead,
  describeDelivery,
  describeEvent,
  type EventLine,
  eventLines,
  eventsApi,
  parseSince,
} from "#cli/events/event-lines.ts";
import { newEvent } from "#cli/events/new-event.ts";
import { topicPath, topicPaths, withWayOut } from "#cli/events/topics.ts";
import { clusterOf, nameFlag, namespaceFlag, namespaceOf } from "./cluster-and-namespace.ts";
import { withTransport } from "./with-transport.ts";

const common = {
  name: nameFlag,
  namespace: namespaceFlag("Namespace of the Broker and its Triggers"),
} as const;
const brokerFlag = {
  broker: { type: "string", short: "b", value: "NAME", help: 'Which Broker; "default" unless said' },
  channel: { type: "string", value: "NAME", help: "Or which channel (InMemoryChannel)" },
} as const;
const placeFlags = {
  since: { type: "string", value: "TIME", help: "From a time on: 10m ago, or 2026-01-31T12:00:00Z" },
  from: { type: "string", value: "POSITION", help: "From a position on, as tail shows it after #" },
} as const;
const outputFlag = {
  type: "string",
  short: "o",
  value: "FORMAT",
  help: "json: a line of JSON for each event",
} as const;

const send: Command = {
  name: "event send",
  usage: "TYPE",
  summary: "Send an event to a Broker",
  details: ["It is kept when the command ends with 0: whoever wants it gets it, now or later."],
  examples: [
    "event send order.created --data '{\"id\":17}'",
    "event send report.ready --data @report.pdf -a region=eu",
  ],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    ...common,
    ...brokerFlag,
    data: {
      type: "string",
      short: "d",
      value: "TEXT",
      help: "Its data, up to 1 MiB; @FILE for a file's content, @- for standard input",
    },
    "content-type": { type: "string", value: "TYPE", help: "What the data is; found out unless said" },
    source: { type: "string", value: "URI", help: "Who says so; /nodeless/cli unless said otherwise" },
    subject: { type: "string", value: "TEXT", help: "What it is about" },
    id: { type: "string", value: "ID", help: "Its id; a new one unless said" },
    attribute: { type: "string", short: "a", value: "NAME=VALUE", multiple: true, help: "A further attribute" },
  },
  async run(args, context) {
    const event = newEvent(args, Date.now());
    await withTransport(args, context, async (transport) => {
      const namespace = namespaceOf(args);
      const path = `${topicPath(args, namespace)}/events`;
      const sent = await withWayOut(transport, namespace, () => ask(transport, path, event));
      const { positions = [] } = sent as { readonly positions?: readonly number[] };
      context.terminal.print(`Sent ${String(event["id"])} as #${positions.join(", #")}`);
    });
    return 0;
  },
};

const tail: Command = {
  name: "event tail",
  aliases: ["event list", "event ls"],
  usage: "",
  summary: "Show a Broker's events as they come, until Ctrl-C",
  details: ["With --no-follow: those that are kept, and no further ones."],
  examples: ["event tail", "event tail --since 1h --type order.created", "event tail --no-follow -o json"],
  maxPositionals: 0,
  flags: {
    ...common,
    ...brokerFlag,
    ...placeFlags,
    type: { type: "string", short: "t", value: "TYPE", help: "Only events of this type" },
    limit: { type: "string", value: "N", help: "End after N events" },
    follow: { type: "boolean", help: "Go on as events come, which it does unless --no-follow is given" },
    output: outputFlag,
  },
  async run(args, context) {
    const { machine, terminal } = context;
    const query = placeOf(args);
    const isJson = wantsJson(args);
    if (args.flags["follow"] !== false) query.set("follow", "true");
    const type = textFlag(args, "type");
    const limit = numberFlag(args, "limit", { min: 1, max: 1_000_000_000 }) ?? Number.POSITIVE_INFINITY;
    const namespace = namespaceOf(args);
    const path = `${topicPath(args, namespace)}/events?${query}`;
    const read = () => machine.readStream(clusterOf(args), path);
    const stream = await withTransport(args, context, (transport) => withWayOut(transport, namespace, read));
    let shown = 0;
    for await (const line of eventLines(stream)) {
      if (type !== undefined && line.event["type"] !== type) continue;
      terminal.print(isJson ? JSON.stringify(line) : describeEvent(line));
      if (++shown >= limit) break;
    }
    return 0;
  },
};

const dead: Command = {
  name: "event dead",
  usage: "[TRIGGER]",
  summary: "List events that were given up, of one Trigger or of all",
  details: ["`nodeless event replay TRIGGER --dead` has them tried again."],
  examples: ["event dead", "event dead billing -o json"],
  maxPositionals: 1,
  flags: {
    ...common,
    broker: { ...brokerFlag.broker, help: "Of this Broker only; a Trigger's own, or all, unless said" },
    channel: brokerFlag.channel,
    ...placeFlags,
    limit: { type: "string", value: "N", help: "The first N events only" },
    output: outputFlag,
  },
  async run(args, context) {
    const { machine, terminal } = context;
    const isJson = wantsJson(args);
    const query = placeOf(args);
    const limit = numberFlag(args, "limit", { min: 1, max: 1_000_000_000 }) ?? Number.POSITIVE_INFINITY;
    const [trigger] = args.positionals;
    if (trigger !== undefined) query.set("subscription", trigger);
    const namespace = namespaceOf(args);
    const paths = await withTransport(args, context, (transport) =>
      topicPaths(transport, args, { namespace, trigger }),
    );
    const lines: EventLine[] = [];
    for (const path of paths) {
      if (lines.length >= limit) break;
      const read = machine.readStream(clusterOf(args), `${path}/dead?${query}`);
      // Of many one may be somebody else's, by its class, or not be ready yet.
      const stream = await read.catch((error: unknown) => {
        if (paths.length > 1 && hasReason(error, "NotFound")) return undefined;
        throw error;
      });
      for await (const line of eventLines(stream ?? [])) if (lines.push(line) >= limit) break;
    }
    if (isJson) for (const line of lines) terminal.print(JSON.stringify(line));
    else if (lines.length === 0) terminal.print("No events were given up");
    else for (const row of columns([deadHeadings, ...lines.map(describeDead)])) terminal.print(row);
    return 0;
  },
};

const replay: Command = {
  name: "event replay",
  usage: "TRIGGER",
  summary: "Have a Trigger's events delivered again",
  details: ["Everything from a time or a position on that is still kept, or with --dead what was given up."],
  examples: [
    "event replay billing --since 2h",
    "event replay billing --dead",
    "event replay billing --dead --position 17",
  ],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    ...common,
    ...placeFlags,
    subscription: { type: "boolean", help: "It is a channel's Subscription, no Trigger" },
    dead: { type: "boolean", help: "What was given up" },
    position: {
      type: "string",
      value: "POSITION",
      multiple: true,
      help: "With --dead: only these, as dead shows them after #",
    },
  },
  async run(args, context) {
    const body = replayBody(args);
    const resource = args.flags["subscription"] === true ? "subscriptions" : "triggers";
    const [name = ""] = args.positionals;
    const namespace = encodeURIComponent(namespaceOf(args));
    const path = `${eventsApi}/namespaces/${namespace}/${resource}/${encodeURIComponent(name)}/replay`;
    const { delivering = 0 } = (await withTransport(args, context, (transport) => ask(transport, path, body))) as {
      readonly delivering?: number;
    };
    context.terminal.print(describeReplay(delivering, body));
    return 0;
  },
};

const status: Command = {
  name: "event status",
  usage: "",
  summary: "Show how sources send and Triggers deliver",
  details: [
    "SENT: events that were taken. RETRIED: tries that were put off. FAILED: events that were given up. WAITING: events that are still to be delivered. LAG: how long after what happened the last event was taken.",
    "Counted since the process that delivers events began.",
  ],
  examples: ["event status", "event status -n shop -o json"],
  maxPositionals: 0,
  flags: { ...common, output: outputFlag },
  async run(args, context) {
    const isJson = wantsJson(args);
    const path = `${eventsApi}/namespaces/${encodeURIComponent(namespaceOf(args))}/deliveries`;
    const { body } = await withTransport(args, context, (transport) => transport.request({ method: "GET", path }));
    const { items = [] } = body as { readonly items?: readonly DeliveryFacts[] };
    const { terminal } = context;
    if (isJson) for (const one of items) terminal.print(JSON.stringify(one));
    else if (items.length === 0) terminal.print("Nothing sends or delivers events here");
    else for (const row of columns([deliveryHeadings, ...items.map(describeDelivery)])) terminal.print(row);
    return 0;
  },
};

type ReplayBody = {
  readonly dead?: boolean;
  readonly positions?: readonly number[];
  readonly since?: string;
  readonly from?: number;
};

function describeReplay(delivering: number, body: ReplayBody): string {
  if (delivering > 0) return `Delivering ${delivering} ${delivering === 1 ? "event" : "events"} again`;
  if (body.positions !== undefined) return "Nothing to deliver again: no event at such a position was given up";
  return `Nothing to deliver again: ${body.dead === true ? "no event was given up" : "no event is kept from there on"}`;
}

function replayBody(args: Arguments): ReplayBody {
  const { since, from } = Object.fromEntries(placeOf(args));
  const positions = ((args.flags["position"] as readonly string[] | undefined) ?? []).map(positionOf);
  const isDead = args.flags["dead"] === true;
  if (isDead && (since !== undefined || from !== undefined))
    throw new UserError("takes --dead (with --position for some of them), or --since or --from, not both", {
      exitCode: 2,
    });
  if (!isDead && positions.length > 0)
    throw new UserError("--position is of events that were given up: say --dead with it", { exitCode: 2 });
  if (isDead) return { dead: true, ...(positions.length === 0 ? {} : { positions }) };
  if (since !== undefined) return { since };
  if (from !== undefined) return { from: Number(from) };
  throw new UserError("wants --since, --from or --dead", { exitCode: 2 });
}

function positionOf(text: string): number {
  const position = Number(text.replace(/^#/, ""));
  if (Number.isSafeInteger(position) && position > 0) return position;
  throw new UserError(`a position is a number such as 17, not "${text}"`, { exitCode: 2 });
}

function placeOf(args: Arguments): URLSearchParams {
  const [since, from] = [textFlag(args, "since"), textFlag(args, "from")];
  if (since !== undefined && from !== undefined)
    throw new UserError("takes --since or --from, not both", { exitCode: 2 });
  const query = new URLSearchParams();
  if (since !== undefined) query.set("since", parseSince(since, Date.now()));
  if (from !== undefined) query.set("from", String(positionOf(from)));
  return query;
}

function wantsJson(args: Arguments): boolean {
  const output = textFlag(args, "output");
  if (output !== undefined && output !== "json")
    throw new UserError(`-o may be json, not "${output}"`, { exitCode: 2 });
  return output === "json";
}

async function ask(transport: Transport, path: string, body: object): Promise<unknown> {
  return (await transport.request({ method: "POST", path, body })).body;
}

/** All commands of this file. */
export const eventCommands: readonly Command[] = [send, tail, replay, dead, status];

/**
 * Brokers and channels that commands are about: as they are named, as a Trigger names its own, or all of a namespace.
 */
import { hasReason } from "#apimachinery/status-error.ts";
import { type Arguments, textFlag, UserError } from "#cli/command.ts";
import { createClient } from "#client/rest-client.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Transport } from "#client/transport.ts";
import { eventsApi } from "./event-lines.ts";

const group = { group: "eventing.knative.dev", version: "v1" };
const brokers = { ...group, resource: "brokers" };
const triggers = { ...group, resource: "triggers" };

type Trigger = KubeObject & {
  readonly spec?: { readonly broker?: string; readonly brokerRef?: { readonly name?: string } };
};

/** The path of the Broker or channel that is named; of the Broker "default" when none is. */
export function topicPath(args: Arguments, namespace: string): string {
  const channel = textFlag(args, "channel");
  const topic =
    channel === undefined
      ? brokerPath(textFlag(args, "broker") ?? "default")
      : `inmemorychannels/${encodeURIComponent(channel)}`;
  return `${eventsApi}/namespaces/${encodeURIComponent(namespace)}/${topic}`;
}

/** Where to look for events that were given up: at what is named, at the Trigger's Broker, or at all Brokers. Throws UserError when there is none. */
export async function topicPaths(
  transport: Transport,
  args: Arguments,
  { namespace, trigger }: { readonly namespace: string; readonly trigger: string | undefined },
): Promise<readonly string[]> {
  if (textFlag(args, "broker") !== undefined || textFlag(args, "channel") !== undefined)
    return [topicPath(args, namespace)];
  const names =
    trigger === undefined
      ? await brokersOf(transport, namespace)
      : [await brokerOf(transport, { namespace, name: trigger })];
  if (names.length === 0) throw new UserError(noBrokers(namespace));
  return names.map((name) => `${eventsApi}/namespaces/${encodeURIComponent(namespace)}/${brokerPath(name)}`);
}

/** Does it; when there is no such Broker, says which there are. */
export async function withWayOut<T>(transport: Transport, namespace: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
    const names = await brokersOf(transport, namespace).catch(() => undefined);
    if (names === undefined) throw error;
    const others = names.map((name) => `--broker ${name}`).join(", ");
    const wayOut = names.length === 0 ? noBrokers(namespace) : `namespace ${namespace} has ${others}`;
    throw new UserError(`${error.message}; ${wayOut}`, { cause: error });
  }
}

function noBrokers(namespace: string): string {
  return `namespace ${namespace} has no Brokers; the first \`fn deploy --on "type = …"\` makes one, and \`kubectl explain broker\` tells of them`;
}

function brokerPath(name: string): string {
  return `brokers/${encodeURIComponent(name)}`;
}

async function brokersOf(transport: Transport, namespace: string): Promise<readonly string[]> {
  const { items } = await createClient(transport).list({ resource: brokers, namespace });
  return items.map(({ metadata }) => metadata?.name ?? "").toSorted();
}

async function brokerOf(
  transport: Transport,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<string> {
  const { spec } = await createClient(transport).get<Trigger>({ resource: triggers, namespace, name });
  return spec?.brokerRef?.name ?? spec?.broker ?? "default";
}

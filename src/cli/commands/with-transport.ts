/**
 * How commands reach the API of a cluster.
 */
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { createClient } from "#client/rest-client.ts";
import type { Transport } from "#client/transport.ts";
import { type Arguments, type CommandContext, UserError } from "#cli/command.ts";
import type { Machine } from "#cli/machine.ts";
import { clusterOf } from "./cluster-and-namespace.ts";

/** Does something with the cluster that is named, as its administrator. */
export async function withTransport<T>(
  args: Arguments,
  { machine, terminal }: CommandContext,
  use: (transport: Transport) => Promise<T>,
): Promise<T> {
  const said = new Set<string>();
  const onWarning = (text: string) => {
    if (!said.has(text)) terminal.warn(`Warning: ${text}`);
    said.add(text);
  };
  const cluster = clusterOf(args);
  const transport = await machine.connect(cluster, onWarning);
  try {
    return await use(transport);
  } catch (error) {
    throw (await explained(error, { machine, cluster })) ?? error;
  } finally {
    await transport.close();
  }
}

/** What a stopped cluster's silence means, in words. */
async function explained(
  error: unknown,
  { machine, cluster }: { readonly machine: Machine; readonly cluster: string },
): Promise<UserError | undefined> {
  if (!hasReason(error, "ServiceUnavailable")) return undefined;
  const { isRunning } = await machine.status(cluster);
  if (isRunning) return undefined;
  const name = cluster === "default" ? "" : ` --name ${cluster}`;
  return new UserError(`cluster "${cluster}" is stopped: 'nodeless up${name}' starts it`, { cause: error });
}

/** The same with a client. */
export async function withClient<T>(
  args: Arguments,
  context: CommandContext,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  return await withTransport(args, context, (transport) => use(createClient(transport)));
}

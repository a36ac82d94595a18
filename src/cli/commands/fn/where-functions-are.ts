/**
 * What all commands on functions have in common: where they look, and what they say of a cluster that has no functions.
 */
import type { Client } from "#client/client.ts";
import { type Arguments, type CommandContext, type Flag, UserError } from "#cli/command.ts";
import { clusterOf, nameFlag, namespaceFlag } from "#cli/commands/cluster-and-namespace.ts";
import { withClient } from "#cli/commands/with-transport.ts";

/** --name is the cluster's: a function's name stands alone. */
export const functionPlace: Readonly<Record<"name" | "namespace", Flag>> = {
  name: nameFlag,
  namespace: namespaceFlag("Namespace of the function"),
};

/** Does something with a cluster that has functions. */
export async function withFunctions<T>(
  args: Arguments,
  context: CommandContext,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  return await whereFunctionsAre(args, context, () => withClient(args, context, use));
}

/** A cluster without Serving does not know what a function is: this is said instead of what the API server says. */
export async function whereFunctionsAre<T>(
  args: Arguments,
  { machine }: CommandContext,
  use: () => Promise<T>,
): Promise<T> {
  try {
    return await use();
  } catch (cause) {
    const cluster = clusterOf(args);
    // The error that is told is the first one.
    const status = await machine.status(cluster).catch(() => undefined);
    if (status === undefined || !status.isRunning || status.hasServing) throw cause;
    throw new UserError(
      `cluster "${cluster}" runs no functions: 'nodeless fn deploy' adds them, or 'nodeless up --serving'`,
      { cause },
    );
  }
}

/**
 * Joins upgraded connections of the node's API with containers: the protocols of `streaming/` on one side, the provider's streams on the other.
 */
import type { Logger } from "#component-base/logger.ts";
import { servePortForward } from "#streaming/port-forward.ts";
import { serveRemoteCommand } from "#streaming/remote-command/remote-command.ts";
import type { CommandStreams } from "#streaming/remote-command/session.ts";
import type { StreamHandler, StreamRequest } from "./stream-seam.ts";

/** Serves exec, attach and port-forward. */
export function createStreamHandler(logger: Logger): StreamHandler {
  return (request) => void serve(request).catch((error: unknown) => logger.warn("A stream ended badly", { error }));
}

async function serve({ target, streams, ...upgrade }: StreamRequest): Promise<void> {
  if (target.kind === "portForward") {
    await servePortForward(upgrade, target.ports, (port, signal) => streams.portForward(target.ref, port, signal));
    return;
  }
  const { kind, ref, container, command } = target;
  await serveRemoteCommand(upgrade, target, async (process: CommandStreams, signal: AbortSignal) => {
    if (kind === "exec") return await streams.exec(ref, container, command, process, signal);
    await streams.attach(ref, container, process, signal);
    return 0;
  });
}

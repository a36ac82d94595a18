/**
 * exec and attach for a client that speaks either protocol.
 */
import { refuse, type UpgradeRequest, wantedUpgrade } from "#streaming/upgrade.ts";
import type { RunCommand, WantedStreams } from "./session.ts";
import { serveSpdyCommand } from "./spdy-session.ts";
import { serveWebSocketCommand } from "./web-socket-session.ts";

/** Serves one client to its end; never rejects. */
export async function serveRemoteCommand(
  upgrade: UpgradeRequest,
  wanted: WantedStreams,
  run: RunCommand,
): Promise<void> {
  const protocol = wantedUpgrade(upgrade.request);
  if (protocol === "websocket") await serveWebSocketCommand(upgrade, wanted, run);
  else if (protocol === "spdy") await serveSpdyCommand(upgrade, wanted, run);
  else refuse(upgrade.socket, 400, "unable to upgrade: the client asks for neither SPDY/3.1 nor a WebSocket");
}

/**
 * Listening for HTTP at ports that people know by heart: the one from before, else the first that is free.
 */
import { once } from "node:events";
import type { Server } from "node:http";

/** Ports that are tried. */
const mostPorts = 100;

/** Listens at the first free port from `first` on; gives it. Throws when none is free. */
export async function listenFrom(server: Server, host: string, first: number): Promise<number> {
  for (let port = first; port < first + mostPorts; port++) if (await tryListen(server, port, host)) return port;
  throw new Error(`no free port from ${first} on at ${host}`);
}

/** Ends connections too. */
export async function closeServer(server: Server): Promise<void> {
  server.close();
  server.closeAllConnections();
  await once(server, "close");
}

/** False where somebody listens already. */
async function tryListen(server: Server, port: number, host: string): Promise<boolean> {
  try {
    server.listen({ port, host, exclusive: true });
    await once(server, "listening");
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    return false;
  }
}

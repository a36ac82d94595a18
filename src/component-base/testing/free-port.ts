/**
 * Ports for servers that cannot be asked to choose their own.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

/** A port that nobody has at this moment, for TCP and UDP alike. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, host);
    await once(server, "listening");
    const { port } = server.address() as { readonly port: number };
    const isFree = await isFreeForUdp(port, host);
    await new Promise((resolve) => server.close(resolve));
    if (isFree) return port;
  }
}

async function isFreeForUdp(port: number, host: string): Promise<boolean> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  return new Promise((resolve) => {
    socket.once("error", () => resolve(false));
    socket.bind(port, host, () => socket.close(() => resolve(true)));
  });
}

/**
 * Finds a free port of 127.0.0.1.
 */
import { createServer } from "node:net";

/** `wanted`, or the first free port above it. */
export async function findFreePort(wanted: number, avoid: ReadonlySet<number> = new Set()): Promise<number> {
  for (let port = wanted; port < Math.min(wanted + 1000, 65_536); port++) {
    if (!avoid.has(port) && (await isFree(port))) return port;
  }
  throw new Error(`no free port from ${wanted} on`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}

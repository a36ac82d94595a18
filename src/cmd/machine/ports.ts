/**
 * Finds a free port.
 */
import { createServer } from "node:net";

/** Where to look. */
export type PortOptions = {
  /** Ports that somebody else will take. */
  readonly avoid?: ReadonlySet<number>;
  /** Default 127.0.0.1; with 0.0.0.0 the port must be free at all addresses. */
  readonly host?: string;
};

/** `wanted`, or the first free port above it. */
export async function findFreePort(wanted: number, options: PortOptions = {}): Promise<number> {
  const { avoid = new Set(), host = "127.0.0.1" } = options;
  for (let port = wanted; port < Math.min(wanted + 1000, 65_536); port++) {
    if (!avoid.has(port) && (await isPortFree(port, host))) return port;
  }
  throw new Error(`no free port from ${wanted} on`);
}

/** Whether somebody could listen there. */
export function isPortFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

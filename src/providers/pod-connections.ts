/**
 * Open connections into pods' sandboxes. Each keeps a network alive, so they end with their pod.
 */
import type { Duplex } from "node:stream";

/** Connections by pod uid. */
export class PodConnections {
  readonly #all = new Map<string, Set<Duplex>>();

  /** Remembers a connection until it closes, and gives it back. */
  keep(uid: string, connection: Duplex): Duplex {
    const own = this.#all.get(uid) ?? new Set();
    this.#all.set(uid, own.add(connection));
    connection.once("close", () => {
      own.delete(connection);
      if (own.size === 0) this.#all.delete(uid);
    });
    return connection;
  }

  /** Ends all of a pod's. None is success. */
  end(uid: string): void {
    for (const connection of this.#all.get(uid) ?? []) connection.destroy();
  }
}

/**
 * Tells others where the node takes requests: in an annotation of its Node, for statuses of Ingresses, and to those who ask the node's process.
 */
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { listenersAnnotation, type NodeListener } from "#network/ingress/node-listeners.ts";

const nodeResource = { group: "", version: "v1", resource: "nodes" };
/** The Node may not be there yet, or the API away. */
const againMs = 1000;

export type ListenerNotesOptions = {
  /** As the node, which may write its own Node. */
  readonly client: Client;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
};

export class ListenerNotes {
  readonly #options: ListenerNotesOptions;
  #wanted: readonly NodeListener[] = [];
  #isWriting = false;

  constructor(options: ListenerNotesOptions) {
    this.#options = options;
  }

  /** What was said last counts, whenever it can be written. */
  tell(listeners: readonly NodeListener[]): void {
    this.#wanted = listeners;
    if (this.#isWriting) return;
    this.#isWriting = true;
    void this.#write().finally(() => (this.#isWriting = false)); // never rejects
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    const { client, nodeName, clock, logger, signal } = this.#options;
    for (let written: readonly NodeListener[] | undefined; written !== this.#wanted && !signal.aborted; ) {
      const wanted = this.#wanted;
      const value = wanted.length === 0 ? null : JSON.stringify(wanted);
      const body = { metadata: { annotations: { [listenersAnnotation]: value } } };
      try {
        await client.patch({ resource: nodeResource, name: nodeName }, { type: "merge", body }, { signal });
        written = wanted;
      } catch (error) {
        logger.debug("Could not say where requests are taken", { error });
        await clock.sleep(againMs, signal).catch(() => {}); // the loop sees that it was aborted
      }
    }
  }
}

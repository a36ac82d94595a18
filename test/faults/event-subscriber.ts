/**
 * Whoever takes numbered events, on this machine: it can go away and come again, and knows what came in which order.
 */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** One subscriber. The key of an event is its subject, its number its id. */
export class EventSubscriber {
  readonly #host: string;
  /** Numbers of each key in the order in which they came, repeats included. */
  readonly #got = new Map<string, number[]>();
  #server: Server | undefined;
  #port = 0;

  constructor(host: string) {
    this.#host = host;
  }

  get url(): string {
    return `http://${this.#host}:${this.#port}/`;
  }

  /** Different events that came. */
  get received(): number {
    return [...this.#got.values()].reduce((sum, numbers) => sum + new Set(numbers).size, 0);
  }

  get duplicates(): number {
    return [...this.#got.values()].reduce((sum, numbers) => sum + numbers.length - new Set(numbers).size, 0);
  }

  /** Listens; after {@link leave} at the same port again. */
  async come(): Promise<void> {
    const server = createServer((request, response) => {
      const key = String(request.headers["ce-subject"]);
      const known = this.#got.get(key) ?? [];
      this.#got.set(key, known);
      known.push(Number(request.headers["ce-id"]));
      request.resume();
      request.on("end", () => response.writeHead(200).end());
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, this.#host, resolve);
    });
    this.#server = server;
    this.#port = (server.address() as { readonly port: number }).port;
  }

  async leave(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  /** Waits until as many as were `sent` have come, and checks that those of a key came in order: none for the first time before an earlier one. */
  async check(sent: number, withinMs: number): Promise<void> {
    const endMs = performance.now() + withinMs;
    while (this.received < sent && performance.now() < endMs) await sleep(50);
    for (const [key, numbers] of this.#got) {
      let newest = -1;
      for (const number of numbers) {
        assert.ok(number <= newest + 1, `${key}: ${number} came after ${newest}: the ones between are late or lost`);
        newest = Math.max(newest, number);
      }
    }
    assert.equal(this.received, sent, "each event arrived");
  }
}

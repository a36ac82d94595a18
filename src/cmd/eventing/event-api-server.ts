/**
 * Where the API server asks the dispatcher, over TLS: nobody else has a certificate of the front proxy's CA.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import { watchKeyPair } from "#cmd/node/renewed-pair.ts";
import type { Logger } from "#component-base/logger.ts";
import type { EventApi } from "#eventing/dispatcher/api/event-api.ts";

/** Name of the key pair among the cluster's. */
const keyPair = "eventing-server";

/** Where its keys are, and whom it asks. */
export type EventApiServerOptions = {
  readonly folder: string;
  readonly host: string;
  readonly load: () => Promise<EventApi>;
  readonly logger: Logger;
};

/** A listening server. */
export class EventApiServer {
  readonly #server: Server;
  readonly #abort = new AbortController();
  readonly port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** Listens at a port that is free. What answers is loaded with the first question. */
  static async open({ folder, host, load, logger }: EventApiServerOptions): Promise<EventApiServer> {
    const read = (file: string) => readFile(join(folder, file), "utf8");
    const [cert, key, ca] = await Promise.all([
      read(`${keyPair}.crt`),
      read(`${keyPair}.key`),
      read("front-proxy-ca.crt"),
    ]);
    let loading: Promise<EventApi> | undefined;
    const server = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, (request, response) => {
      loading ??= load();
      void loading.then((api) => api.serve(request, response)); // never rejects
    });
    server.listen({ port: 0, host, exclusive: true });
    await once(server, "listening");
    const { port } = server.address() as { readonly port: number };
    const opened = new EventApiServer(server, port);
    const onRenewed = (pair: { readonly certificate: string; readonly key: string }) =>
      server.setSecureContext({ cert: pair.certificate, key: pair.key, ca });
    watchKeyPair({ folder, name: keyPair, onRenewed, logger }, opened.#abort.signal);
    return opened;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

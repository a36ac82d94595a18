/**
 * What Node's own parser, llhttp, makes of bytes: a server of node:http with strict parsing that is fed over a pipe in memory. For comparisons with our reader.
 */
import { createServer, type Server } from "node:http";
import { Duplex } from "node:stream";

/** A request as llhttp saw it. */
export type LlhttpRequest = { readonly method: string; readonly target: string; readonly body: string };

/** What became of the bytes. */
export type LlhttpResult = { readonly requests: readonly LlhttpRequest[]; readonly isRefused: boolean };

/** A connection in memory: `bytes` come in, what is answered is dropped. */
class Pipe extends Duplex {
  override _read(): void {}

  override _write(_bytes: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

/** A parser to compare with. Makes no socket, so there is nothing to close. */
export class Llhttp {
  readonly #server: Server = createServer({
    insecureHTTPParser: false,
    requireHostHeader: true,
    keepAlive: true,
    connectionsCheckingInterval: 2 ** 30,
  });

  /** Feeds one connection with `bytes`. */
  async read(bytes: Buffer): Promise<LlhttpResult> {
    const requests: { method: string; target: string; body: string; isWhole: boolean }[] = [];
    let isRefused = false;
    const pipe = new Pipe();
    this.#server.removeAllListeners();
    this.#server.on("connection", (await connectionListener()).bind(this.#server));
    this.#server.on("request", (request, response) => {
      const seen = { method: request.method ?? "", target: request.url ?? "", body: "", isWhole: false };
      requests.push(seen);
      request.setEncoding("latin1");
      request.on("data", (text: string) => (seen.body += text));
      request.on("end", () => {
        seen.isWhole = true;
        response.end();
      });
      request.on("error", () => {});
    });
    this.#server.on("checkContinue", (request, response) => this.#server.emit("request", request, response));
    this.#server.on("connect", (_request, socket: Duplex) => socket.destroy());
    this.#server.on("clientError", () => (isRefused = true));
    pipe.on("error", () => {});
    this.#server.emit("connection", pipe);
    pipe.push(bytes);
    await settle();
    pipe.destroy();
    return { requests: requests.filter((it) => it.isWhole), isRefused };
  }
}

async function connectionListener(): Promise<(socket: Duplex) => void> {
  const { _connectionListener: listener } = (await import("node:http")) as unknown as {
    readonly _connectionListener: (socket: Duplex) => void;
  };
  return listener;
}

/** Requests that follow each other in one connection are answered one a turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

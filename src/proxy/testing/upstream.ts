/**
 * An upstream for tests that does exactly what it is told, byte by byte.
 */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { once } from "node:events";

/** What is done with a connection's bytes so far; called with each piece. */
export type Answering = (socket: Socket, text: string, connection: { text: string; readonly number: number }) => void;

export class TestUpstream {
  readonly #server: Server;
  readonly sockets: Set<Socket> = new Set();
  /** Everything that came, by connection. */
  readonly received: string[] = [];
  connections = 0;

  constructor(answer: Answering) {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      const connection = { text: "", number: this.connections++ };
      this.received[connection.number] = "";
      this.sockets.add(socket);
      socket.on("data", (bytes: Buffer) => {
        const text = bytes.toString("latin1");
        connection.text += text;
        this.received[connection.number] += text;
        answer(socket, text, connection);
      });
      socket.on("error", () => {});
      socket.on("end", () => socket.end());
      socket.on("close", () => this.sockets.delete(socket));
    });
  }

  /** Starts one that answers each request's head with `response`. */
  static async answering(response: string | Answering): Promise<TestUpstream> {
    const answer: Answering =
      typeof response !== "string"
        ? response
        : (socket, _text, connection) => {
            if (!connection.text.includes("\r\n\r\n")) return;
            connection.text = "";
            socket.write(response, "latin1");
          };
    const upstream = new TestUpstream(answer);
    upstream.#server.listen(0, "127.0.0.1");
    await once(upstream.#server, "listening");
    return upstream;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get endpoint(): { address: string; port: number } {
    return { address: "127.0.0.1", port: this.port };
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
    await once(this.#server, "close");
  }
}

/** A response with a length. */
export function plainResponse(body: string, more = ""): string {
  return `HTTP/1.1 200 OK\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
}

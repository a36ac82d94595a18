/**
 * A client for tests that sends bytes and waits for bytes.
 */
import { connect, type Socket } from "node:net";
import { once } from "node:events";

const LONGEST_WAIT_MS = 20_000;

export class RawClient {
  readonly socket: Socket;
  text = "";
  isEnded = false;
  isClosed = false;
  #onChange: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.text += bytes.toString("latin1");
      this.#changed();
    });
    socket.on("end", () => {
      this.isEnded = true;
      this.#changed();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
      this.#changed();
    });
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return new RawClient(socket);
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** Waits until `text` contains `wanted`, or with `end` until the connection has ended. */
  async until(wanted: string | RegExp): Promise<string> {
    const isThere = () =>
      wanted === "end"
        ? this.isEnded || this.isClosed
        : typeof wanted === "string"
          ? this.text.includes(wanted)
          : wanted.test(this.text);
    const startedMs = performance.now();
    while (!isThere()) {
      if (performance.now() - startedMs > LONGEST_WAIT_MS || (this.isClosed && wanted !== "end"))
        throw new Error(`${String(wanted)} did not come, but ${JSON.stringify(this.text)}`);
      await this.#nextChange();
    }
    return this.text;
  }

  /** Takes what came so far away. */
  take(): string {
    const { text } = this;
    this.text = "";
    return text;
  }

  close(): void {
    this.socket.destroy();
  }

  #changed(): void {
    for (const resolve of this.#onChange.splice(0)) resolve();
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LONGEST_WAIT_MS);
      this.#onChange.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

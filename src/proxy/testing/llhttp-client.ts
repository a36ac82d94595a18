/**
 * What Node's own client makes of an answer's bytes: a request of node:http over a connection in memory, to which the bytes are the answer. For comparisons with our reader.
 */
import { request } from "node:http";
import { Duplex } from "node:stream";

/** What became of the bytes. */
export type LlhttpAnswer = {
  readonly isRefused: boolean;
  /** Undefined: there was no whole answer. */
  readonly answer: { readonly status: number; readonly body: string } | undefined;
};

class Pipe extends Duplex {
  override _read(): void {}

  override _write(_bytes: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

/** Feeds one answer to a GET, and then the end of the connection. */
export async function readWithLlhttp(bytes: Buffer): Promise<LlhttpAnswer> {
  const pipe = new Pipe();
  let isRefused = false;
  let answer: LlhttpAnswer["answer"];
  const sent = request({ method: "GET", host: "a", createConnection: () => pipe as never, insecureHTTPParser: false });
  sent.on("error", (error: NodeJS.ErrnoException) => (isRefused ||= error.code?.startsWith("HPE_") === true));
  sent.on("upgrade", (_response, socket: Duplex) => socket.destroy());
  sent.on("response", (response) => {
    let body = "";
    response.setEncoding("latin1");
    response.on("data", (text: string) => (body += text));
    response.on("end", () => (answer = { status: response.statusCode ?? 0, body }));
    response.on("error", () => {});
  });
  sent.end();
  await settle();
  pipe.push(bytes);
  pipe.push(null);
  await settle();
  sent.destroy();
  pipe.destroy();
  return { isRefused, answer };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

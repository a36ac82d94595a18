/**
 * The load, in a process of its own: so many connections that each ask, wait for the whole answer and ask again; or a new connection for each request. Knows the answer's length after the first, and
 * only counts bytes then. Takes phases as messages, and answers with what it saw.
 */
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** One measurement. */
export type LoadPhase = {
  readonly port: number;
  readonly mode: "keep-alive" | "new-connections" | "tls" | "tls-new" | "http2";
  readonly connections: number;
  readonly requests: number;
};

export type LoadResult = {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
  readonly clientCpuMicros: number;
};

const fields = "Host: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nX-Some: thing\r\n";
const request = Buffer.from(`GET /path?query=1 HTTP/1.1\r\n${fields}\r\n`);
const lastRequest = Buffer.from(`GET /path?query=1 HTTP/1.1\r\n${fields}Connection: close\r\n\r\n`);

class Run {
  readonly #phase: LoadPhase;
  readonly #latencies: number[] = [];
  #left: number;
  failed = 0;

  constructor(phase: LoadPhase) {
    this.#phase = phase;
    this.#left = phase.requests;
  }

  async all(): Promise<LoadResult> {
    const before = process.cpuUsage();
    const startedMs = performance.now();
    const { mode, connections, requests } = this.#phase;
    const one =
      mode === "http2" ? () => this.#http2() : mode.includes("new") ? () => this.#renewed() : () => this.#kept();
    // Streams share a few connections, as clients of HTTP/2 do.
    await Promise.all(Array.from({ length: mode === "http2" ? Math.ceil(connections / 16) : connections }, one));
    const tookMs = performance.now() - startedMs;
    const { user, system } = process.cpuUsage(before);
    const sorted = this.#latencies.sort((a, b) => a - b);
    return {
      perSecond: Math.round((requests / tookMs) * 1000),
      p50Ms: sorted[Math.floor(sorted.length * 0.5)] ?? 0,
      p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
      failed: this.failed,
      clientCpuMicros: (user + system) / requests,
    };
  }

  #open(): Socket {
    const { port, mode } = this.#phase;
    const where = { port, host: "127.0.0.1", noDelay: true };
    return mode.startsWith("tls")
      ? connectTls({ ...where, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] })
      : connect(where);
  }

  #kept(): Promise<void> {
    return new Promise((resolve) => {
      const socket = this.#open();
      let [received, length, sentMs] = [0, 0, 0];
      const next = () => {
        if (this.#left-- <= 0) {
          socket.destroy();
          return resolve();
        }
        received = 0;
        sentMs = performance.now();
        socket.write(request);
      };
      socket.on("data", (bytes: Buffer) => {
        length ||= lengthOf(bytes);
        received += bytes.length;
        if (received < length) return;
        this.#latencies.push(performance.now() - sentMs);
        next();
      });
      socket.on("error", () => {
        this.failed++;
        resolve();
      });
      next();
    });
  }

  async #renewed(): Promise<void> {
    while (this.#left-- > 0) {
      const sentMs = performance.now();
      await new Promise<void>((resolve) => {
        const socket = this.#open();
        let received = 0;
        socket.on("data", (bytes: Buffer) => (received += bytes.length));
        socket.on("error", () => this.failed++);
        socket.on("close", () => {
          if (received < 1024) this.failed++;
          resolve();
        });
        socket.write(lastRequest);
      });
      this.#latencies.push(performance.now() - sentMs);
    }
  }

  async #http2(): Promise<void> {
    const session = connectHttp2(`https://127.0.0.1:${this.#phase.port}`, { rejectUnauthorized: false });
    const stream = async () => {
      while (this.#left-- > 0) {
        const sentMs = performance.now();
        await new Promise<void>((resolve) => {
          const one = session.request({ ":path": "/path?query=1", "user-agent": "bench", accept: "*/*" });
          one.on("error", () => this.failed++);
          one.on("close", resolve);
          one.resume();
        });
        this.#latencies.push(performance.now() - sentMs);
      }
    };
    await Promise.all(Array.from({ length: 16 }, stream));
    session.close();
  }
}

function lengthOf(bytes: Buffer): number {
  const end = bytes.indexOf("\r\n\r\n");
  const length = /content-length: (\d+)/i.exec(bytes.toString("latin1", 0, end))?.[1];
  return end + 4 + Number(length);
}

process.on("message", (phase: LoadPhase) => {
  void new Run(phase).all().then((result) => process.send?.(result));
});
process.on("disconnect", () => process.exit(0));

/**
 * The load, in a process of its own: runs the phases that it is told to over HTTP/2 and answers with what it measured, its own CPU included.
 */
import { type Access, Http2Client, type Prepared, prepare } from "./http2-client.ts";

/** One phase: `total` requests by `clients` that ask one after another. `$N` in path and body is the request's number, with five digits. */
export type Phase = {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly type?: string;
  readonly accept?: string;
  readonly clients: number;
  readonly total: number;
  /** Numbers wrap here. Default: total. */
  readonly distinct?: number;
  /** Follow `continue` from page to page instead. */
  readonly isPaged?: boolean;
};

/** What was measured. */
export type PhaseResult = {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly clientCpuMicros: number;
  /** Of the answers' bodies, each. */
  readonly bytes: number;
};

/** 64 clients of one process would share one connection with client-go; several processes would not. */
const CONNECTIONS = 4;

/** In so much of a page its token stands. */
const HEAD_LENGTH = 500;

/** Opens connections and runs phases on them. */
export class Load {
  readonly #access: Access;
  #connections: readonly Http2Client[] = [];

  constructor(access: Access) {
    this.#access = access;
  }

  async run(phase: Phase): Promise<PhaseResult> {
    await this.#open();
    return phase.isPaged === true ? this.#runPages(phase) : this.#runMany(phase);
  }

  // Those that the server has ended meanwhile are opened anew.
  async #open(): Promise<void> {
    this.#connections = await Promise.all(
      Array.from({ length: CONNECTIONS }, async (_, index) => {
        const there = this.#connections[index];
        return there === undefined || there.isClosed ? Http2Client.open(this.#access) : there;
      }),
    );
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  async #runMany(phase: Phase): Promise<PhaseResult> {
    const { clients, total } = phase;
    const requests = Array.from({ length: total }, (_, index) => this.#prepare(phase, index));
    const meter = new Meter();
    let next = 0;
    let bytes = 0;
    const ask = async (connection: Http2Client): Promise<void> => {
      while (next < total) {
        const begun = performance.now();
        const answer = await connection.request(requests[next++] as Prepared);
        if (answer.status >= 300) throw new Error(`${phase.method} ${phase.path}: ${answer.status}`);
        meter.times.push(performance.now() - begun);
        bytes += answer.bytes;
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, index) => ask(this.#connection(index))));
    return meter.result(total, bytes);
  }

  async #runPages(phase: Phase): Promise<PhaseResult> {
    const meter = new Meter();
    let bytes = 0;
    let token = "";
    do {
      const begun = performance.now();
      const path = token === "" ? phase.path : `${phase.path}&continue=${token}`;
      // The token stands at the beginning; to keep all of it would cost more than the server's share.
      let head = "";
      const onData = (data: Buffer): void => {
        if (head.length < HEAD_LENGTH) head += data.toString("latin1", 0, HEAD_LENGTH);
      };
      const answer = await this.#connection(0).request(prepare("GET", path), { onData });
      meter.times.push(performance.now() - begun);
      if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status}`);
      bytes += answer.bytes;
      token = /"continue":"([^"]*)"/.exec(head)?.[1] ?? "";
    } while (token !== "");
    return meter.result(meter.times.length, bytes);
  }

  #connection(index: number): Http2Client {
    return this.#connections[index % this.#connections.length] as Http2Client;
  }

  #prepare(phase: Phase, index: number): Prepared {
    const number = String(index % (phase.distinct ?? phase.total)).padStart(5, "0");
    const { method, path, body, type, accept } = phase;
    return prepare(method, path.replaceAll("$N", number), {
      ...(body === undefined ? {} : { body: body.replaceAll("$N", number) }),
      ...(type === undefined ? {} : { type }),
      ...(accept === undefined ? {} : { accept }),
    });
  }
}

class Meter {
  readonly times: number[] = [];
  readonly #startedMs = performance.now();
  readonly #cpu = process.cpuUsage();

  result(total: number, bytes: number): PhaseResult {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const { user, system } = process.cpuUsage(this.#cpu);
    const sorted = this.times.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    const clientCpuMicros = (user + system) / total;
    return { perSecond: total / seconds, p50Ms: at(0.5), p99Ms: at(0.99), clientCpuMicros, bytes: bytes / total };
  }
}

if (process.send !== undefined) {
  let load: Load | undefined;
  process.on("message", (message: { readonly access?: Access; readonly phase?: Phase }) => {
    const answer = async (): Promise<unknown> => {
      if (message.access !== undefined) {
        load?.close();
        load = new Load(message.access);
      }
      return message.phase === undefined ? {} : load?.run(message.phase);
    };
    answer().then(
      (result) => process.send?.({ result }),
      (error: unknown) => process.send?.({ error: String(error) }),
    );
  });
  process.on("disconnect", () => process.exit(0));
}

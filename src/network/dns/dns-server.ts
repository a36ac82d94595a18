/**
 * The cluster's DNS server: UDP and TCP on the addresses given, answers by the resolver. Bounded: long answers are cut on UDP, idle TCP connections closed.
 */
import { type BindOptions, createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import {
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type OptAnswer,
  type Packet,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  streamEncode,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Resolution, Resolver } from "./resolver.ts";

/** Descriptors that are bound already; the TCP one listens. They belong to the server from its start on. */
export type BoundSockets = { readonly udp: number; readonly tcp: number };

/** Where and how to listen. */
export type DnsServerOptions = {
  readonly resolver: Pick<Resolver, "resolve">;
  readonly addresses: readonly string[];
  /** Default 53. */
  readonly port?: number;
  /** Bound descriptors to listen on beside the addresses. */
  readonly sockets?: readonly BoundSockets[];
  readonly logger: Logger;
};

/** Extended DNS Error (RFC 8914), and what it says of answers that may be out of date. */
const extendedError = { option: 15, staleAnswer: 3, staleNameError: 19 } as const;

const emptyOptions: Omit<OptAnswer, "udpPayloadSize"> = {
  type: "OPT",
  name: ".",
  flags: 0,
  options: [],
  extendedRcode: 0,
  ednsVersion: 0,
  flag_do: false,
};

/** Largest UDP answer to a client that names no size of its own, in bytes. RFC 1035. */
const plainUdpBytes = 512;
/** Largest UDP answer that is sent at all: fits an Ethernet frame without fragments. */
const maxUdpBytes = 1232;
const tcpIdleMs = 10_000;
const maxTcpConnections = 256;

const rcodes = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

/** A DNS server. `start` throws when an address cannot be bound. */
export class DnsServer implements Service {
  readonly #options: DnsServerOptions;
  readonly #udp: UdpSocket[] = [];
  readonly #tcp: Server[] = [];
  readonly #connections = new Set<Socket>();

  constructor(options: DnsServerOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    try {
      await this.#listen();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.#udp.splice(0)) socket.close();
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(this.#tcp.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  }

  async #listen(): Promise<void> {
    const { addresses, port = 53, sockets = [] } = this.#options;
    for (const address of addresses) {
      await this.#listenUdp({ address, port });
      await this.#listenTcp({ host: address, port });
    }
    for (const { udp, tcp } of sockets) {
      await this.#listenUdp({ fd: udp });
      await this.#listenTcp({ fd: tcp });
    }
  }

  async #listenUdp(where: BindOptions): Promise<void> {
    const socket = createSocket({ type: where.address?.includes(":") ? "udp6" : "udp4", reuseAddr: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(where, resolve);
    });
    socket.removeAllListeners("error");
    socket.on("error", (error) => this.#options.logger.warn("DNS socket failed", { ...where, error }));
    socket.on("message", (message, from) => {
      // Never rejects: answer() gives undefined for what is no question.
      void this.#answer(message).then((reply) => reply && socket.send(cut(reply), from.port, from.address));
    });
    this.#udp.push(socket);
  }

  async #listenTcp(where: ListenOptions & { readonly fd?: number }): Promise<void> {
    const server = createServer((socket) => this.#serve(socket));
    server.maxConnections = maxTcpConnections;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(where, resolve);
    });
    this.#tcp.push(server);
  }

  #serve(socket: Socket): void {
    let rest: Buffer = Buffer.alloc(0);
    this.#connections.add(socket);
    socket.setTimeout(tcpIdleMs, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#connections.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
        const end = 2 + rest.readUInt16BE(0);
        const message = rest.subarray(2, end);
        rest = rest.subarray(end);
        void this.#answer(message).then((reply) =>
          reply && !socket.destroyed ? socket.write(streamEncode(reply.packet)) : socket.destroy(),
        );
      }
    });
  }

  async #answer(message: Uint8Array): Promise<Reply | undefined> {
    const query = parse(message);
    if (!query) return undefined;
    const resolution = await this.#resolve(query);
    const edns = (query.additionals ?? []).find(({ type }) => (type as string) === "OPT") as
      | { readonly udpPayloadSize?: number }
      | undefined;
    const asked = edns?.udpPayloadSize ?? plainUdpBytes;
    return {
      packet: replyTo(query, resolution, edns !== undefined),
      maxBytes: Math.min(Math.max(asked, plainUdpBytes), maxUdpBytes),
    };
  }

  async #resolve(query: Packet): Promise<Resolution> {
    const [question] = query.questions ?? [];
    const isPlainQuestion = query.questions?.length === 1 && (query as { readonly opcode?: string }).opcode === "QUERY";
    if (!question || !isPlainQuestion)
      return { rcode: "NOTIMP", isAuthoritative: false, answers: [], authorities: [], additionals: [] };
    return await this.#options.resolver.resolve(question);
  }
}

type Reply = { readonly packet: Packet; readonly maxBytes: number };

function parse(message: Uint8Array): Packet | undefined {
  try {
    const packet = decode(Buffer.from(message.buffer, message.byteOffset, message.byteLength));
    return packet.type === "query" ? packet : undefined;
  } catch {
    return undefined;
  }
}

function replyTo(query: Packet, resolution: Resolution, withEdns: boolean): Packet {
  const desired = (query.flags ?? 0) & RECURSION_DESIRED;
  const flags =
    desired | RECURSION_AVAILABLE | (resolution.isAuthoritative ? AUTHORITATIVE_ANSWER : 0) | rcodes[resolution.rcode];
  const opt: OptAnswer = { ...emptyOptions, udpPayloadSize: maxUdpBytes, options: staleMark(resolution) };
  return {
    type: "response",
    ...(query.id === undefined ? {} : { id: query.id }),
    flags,
    ...(query.questions === undefined ? {} : { questions: query.questions }),
    answers: [...resolution.answers],
    authorities: [...resolution.authorities],
    additionals: [...resolution.additionals, ...(withEdns ? [opt] : [])],
  };
}

function staleMark({ isStale, rcode }: Resolution): OptAnswer["options"] {
  if (isStale !== true) return [];
  const data = Buffer.from([0, rcode === "NXDOMAIN" ? extendedError.staleNameError : extendedError.staleAnswer]);
  return [{ code: extendedError.option, data } as unknown as OptAnswer["options"][number]];
}

/** The answer for UDP: without its records and marked as cut when it is too long. */
function cut({ packet, maxBytes }: Reply): Buffer {
  const whole = encode(packet);
  if (whole.length <= maxBytes) return whole;
  const shorter = encode({
    ...packet,
    additionals: (packet.additionals ?? []).filter(({ type }) => (type as string) === "OPT"),
  });
  if (shorter.length <= maxBytes) return shorter;
  return encode({
    ...packet,
    flags: (packet.flags ?? 0) | TRUNCATED_RESPONSE,
    answers: [],
    authorities: [],
    additionals: [],
  });
}

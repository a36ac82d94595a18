/**
 * Asks the machine's own resolvers (those of /etc/resolv.conf) for names outside the cluster: over UDP, again over TCP when an answer was cut, the next resolver when one is silent.
 */
import { createSocket, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import {
  decode,
  encode,
  type OptAnswer,
  type Packet,
  type Question,
  streamDecode,
  streamEncode,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import type { Clock } from "#component-base/clock.ts";

/** A resolver of the machine. */
export type Upstream = { readonly address: string; readonly port: number };

const timeoutMs = 2000;
const maxWaiting = 4096;

/** Resolvers as resolv.conf names them. */
export function readUpstreams(path = "/etc/resolv.conf"): readonly Upstream[] {
  try {
    const text = readFileSync(path, "utf8");
    return [...text.matchAll(/^\s*nameserver\s+([0-9a-fA-F.:]+)/gm)].map((match) => ({
      address: match[1] ?? "",
      port: 53,
    }));
  } catch {
    return []; // a machine without a resolver: names outside the cluster are not known
  }
}

/** Forwards questions. */
export class Forwarder {
  readonly #upstreams: () => readonly Upstream[];
  readonly #clock: Clock;
  readonly #waiting = new Map<number, (packet: Packet) => void>();
  readonly #sockets = new Map<"udp4" | "udp6", Socket>();
  #nextId = Math.floor(Math.random() * 65_536);

  constructor(options: { readonly upstreams: () => readonly Upstream[]; readonly clock: Clock }) {
    this.#upstreams = options.upstreams;
    this.#clock = options.clock;
  }

  /** The first answer of a resolver. Throws when none answers. */
  async ask(question: Question): Promise<Packet> {
    let cause: unknown;
    for (const upstream of this.#upstreams()) {
      try {
        return await this.#askOne(upstream, question);
      } catch (error) {
        cause = error;
      }
    }
    throw new Error(`no resolver answers for ${question.name}`, { cause });
  }

  /** Closes the sockets. Questions under way fail by their timeout. */
  close(): void {
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  async #askOne(upstream: Upstream, question: Question): Promise<Packet> {
    const reply = await this.#askByUdp(upstream, question);
    const isCut = ((reply.flags ?? 0) & TRUNCATED_RESPONSE) !== 0;
    return isCut ? await askByTcp(upstream, question) : reply;
  }

  #askByUdp(upstream: Upstream, question: Question): Promise<Packet> {
    if (this.#waiting.size >= maxWaiting) return Promise.reject(new Error("too many questions wait for an answer"));
    const id = this.#takeId();
    const query = encode({ type: "query", id, flags: 0x100, questions: [question], additionals: [ednsOption] });
    return new Promise((resolve, reject) => {
      const end = () => {
        timer.clear();
        this.#waiting.delete(id);
      };
      const timer = this.#clock.setTimer(timeoutMs, () => {
        end();
        reject(new Error(`${upstream.address} is silent`));
      });
      this.#waiting.set(id, (packet) => {
        const asked = packet.questions?.[0];
        // An answer to another question under our number is a forgery or a late one.
        if (asked?.name.toLowerCase() !== question.name.toLowerCase() || asked.type !== question.type) return;
        end();
        resolve(packet);
      });
      this.#socketFor(upstream).send(query, upstream.port, upstream.address);
    });
  }

  #takeId(): number {
    do this.#nextId = (this.#nextId + 1 + Math.floor(Math.random() * 1000)) & 0xff_ff;
    while (this.#waiting.has(this.#nextId));
    return this.#nextId;
  }

  #socketFor(upstream: Upstream): Socket {
    const type = upstream.address.includes(":") ? "udp6" : "udp4";
    const known = this.#sockets.get(type);
    if (known) return known;
    const socket = createSocket(type);
    socket.unref();
    socket.on("error", () => {}); // an unreachable resolver is a silent one
    socket.on("message", (message) => {
      try {
        const packet = decode(message);
        this.#waiting.get(packet.id ?? -1)?.(packet);
      } catch {
        // not a DNS message
      }
    });
    this.#sockets.set(type, socket);
    return socket;
  }
}

const ednsOption: OptAnswer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: 1232,
  flags: 0,
  options: [],
  extendedRcode: 0,
  ednsVersion: 0,
  flag_do: false,
};

function askByTcp(upstream: Upstream, question: Question): Promise<Packet> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: upstream.address, port: upstream.port });
    const chunks: Buffer[] = [];
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`${upstream.address} is silent`)));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`${upstream.address} closed the connection`)));
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      const whole = Buffer.concat(chunks);
      if (whole.length < 2 || whole.length < 2 + whole.readUInt16BE(0)) return;
      resolve(streamDecode(whole));
      socket.destroy();
    });
    socket.write(streamEncode({ type: "query", id: 1, flags: 0x100, questions: [question] }));
  });
}

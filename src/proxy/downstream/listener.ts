/**
 * A place where connections are taken: counts them, finds out which protocol each speaks, and lets go of them gently. A connection without TLS that begins with HTTP/2's preface is HTTP/2.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "#component-base/clock.ts";
import { type ConnectionBounds, defaultBounds, type ListenerConfig, type ListenerTls } from "#proxy/config/listener.ts";
import type { ClientFacts, ClientStream } from "#proxy/exchange/streams.ts";
import type { Deadlines } from "#proxy/message/deadlines.ts";
import type { ProxyMetrics } from "#proxy/observe/proxy-metrics.ts";
import type { CarriedRequest, ClientConnection, ConnectionParts } from "./connection-parts.ts";
import { Http1Connection } from "./http1-connection.ts";
import type { Certificates } from "./certificates.ts";
import { TlsAccept } from "./tls-accept.ts";

const HIGH_WATER_BYTES = 128 * 1024;
const SILENCE_MS = 1_000;
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export type ListenerParts = {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly metrics: ProxyMetrics;
  readonly certificates: Certificates;
  readonly carry: (client: ClientStream) => CarriedRequest;
  /** Several threads listen on the same port. */
  readonly isShared: boolean;
};

export class Listener {
  #config: ListenerConfig;
  readonly #parts: ListenerParts;
  #bounds: ConnectionBounds;
  readonly #server: Server;
  readonly #connections = new Set<ClientConnection>();
  readonly #sockets = new Set<Socket>();
  /** Those of whom it is not known yet what they speak. */
  readonly #silent = new Set<Socket>();
  #onEmpty: (() => void) | undefined;
  #tls: TlsAccept | undefined;
  #isDraining = false;

  constructor(config: ListenerConfig, parts: ListenerParts) {
    this.#config = config;
    this.#parts = parts;
    this.#bounds = { ...defaultBounds, ...config.bounds };
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER_BYTES });
  }

  get config(): ListenerConfig {
    return this.#config;
  }

  /** Everything but the address may change; it concerns new connections. */
  update(config: ListenerConfig): void {
    this.#config = config;
    this.#bounds = { ...defaultBounds, ...config.bounds };
    this.#tls = undefined;
  }

  /** The port, which the system chose where 0 was asked for. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Resolves when connections are taken. Rejects when the address cannot be had. */
  start(): Promise<void> {
    const { address } = this.#config;
    this.#server.on("connection", (socket) => this.#onConnection(socket));
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      const onListening = () => {
        this.#server.off("error", reject);
        this.#server.on("error", () => {
          // A connection that could not be accepted is nobody's error.
        });
        resolve();
      };
      if ("host" in address) {
        const { host, port } = address;
        this.#server.listen({ host, port, backlog: 1024, reusePort: this.#parts.isShared }, onListening);
      } else this.#server.listen({ fd: address.fileDescriptor }, onListening);
    });
  }

  /** Takes no new connections and ends the others as they become idle; those that are left after `graceMs` are cut. */
  async stop(graceMs: number): Promise<void> {
    this.#isDraining = true;
    this.#server.close();
    for (const connection of this.#connections) connection.drain();
    // Those that have not said anything yet may have a request on its way.
    const silence = this.#parts.clock.setTimer(Math.min(SILENCE_MS, graceMs), () => this.#cutSilent());
    if (this.#sockets.size === 0) return silence.clear();
    const isEmpty = new Promise<void>((resolve) => (this.#onEmpty = resolve));
    const deadline = this.#parts.clock.setTimer(graceMs, () => this.#cut());
    await isEmpty;
    deadline.clear();
    silence.clear();
  }

  #cut(): void {
    for (const connection of this.#connections) connection.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  #cutSilent(): void {
    for (const socket of this.#silent) socket.destroy();
  }

  #onConnection(socket: Socket): void {
    const { metrics } = this.#parts;
    const { name, tls } = this.#config;
    if (this.#sockets.size >= this.#bounds.connections) metrics.refused.with(name, "connections").add();
    if (this.#sockets.size >= this.#bounds.connections || this.#isDraining) return void socket.destroy();
    this.#sockets.add(socket);
    metrics.connections.with(name).add(1);
    metrics.connectionsTotal.with(name).add(1);
    socket.on("error", () => {
      // `close` follows.
    });
    socket.on("close", () => {
      metrics.connections.with(name).add(-1);
      this.#sockets.delete(socket);
      this.#silent.delete(socket);
      if (this.#sockets.size === 0) this.#onEmpty?.();
    });
    if (tls === undefined) return this.#readFirst(socket);
    this.#tls ??= this.#acceptTls(tls);
    this.#tls.accept(socket);
  }

  #acceptTls(tls: ListenerTls): TlsAccept {
    const { certificates, metrics } = this.#parts;
    return new TlsAccept(tls, {
      certificates,
      timeoutMs: this.#bounds.headMs,
      onReady: (secure) => this.#onSecure(secure),
      onFailed: () => metrics.refused.with(this.#config.name, "tls").add(),
    });
  }

  #onSecure(socket: TLSSocket): void {
    socket.on("error", () => {
      // `close` follows.
    });
    const { servername } = socket as TLSSocket & { readonly servername?: string | false };
    const serverName = typeof servername === "string" ? servername : undefined;
    const facts = this.#factsOf(socket, serverName);
    if (socket.alpnProtocol === "h2") void this.#openHttp2(socket, facts);
    else this.#openHttp1(socket, facts, undefined);
  }

  /** Enough of the first bytes to tell HTTP/2's preface from a request. */
  #readFirst(socket: Socket): void {
    const facts = this.#factsOf(socket, undefined);
    const deadline = this.#parts.deadlines.add(() => socket.destroy());
    deadline.set(this.#bounds.headMs);
    this.#silent.add(socket);
    let first: Buffer = Buffer.alloc(0);
    const onData = (bytes: Buffer) => {
      first = first.length === 0 ? bytes : Buffer.concat([first, bytes]);
      const length = Math.min(first.length, preface.length);
      const mayBeHttp2 = first.compare(preface, 0, length, 0, length) === 0;
      if (mayBeHttp2 && first.length < preface.length) return;
      socket.off("data", onData);
      this.#silent.delete(socket);
      deadline.remove();
      if (!mayBeHttp2) return this.#openHttp1(socket, facts, first);
      socket.pause();
      socket.unshift(first);
      void this.#openHttp2(socket, facts);
    };
    socket.on("data", onData);
    socket.on("close", () => deadline.remove());
    socket.on("end", () => {
      if (socket.listenerCount("data") > 0 && first.length < preface.length) socket.end();
    });
  }

  #openHttp1(socket: Socket, facts: ClientFacts, first: Buffer | undefined): void {
    const parts = this.#connectionParts(facts, () => this.#connections.delete(connection));
    const connection: Http1Connection = new Http1Connection(socket, parts);
    this.#connections.add(connection);
    connection.open(first);
    if (this.#isDraining) connection.drain();
  }

  // Loaded with the first client that speaks it.
  async #openHttp2(socket: Socket, facts: ClientFacts): Promise<void> {
    const { Http2Connection } = await import("./http2-connection.ts");
    if (socket.destroyed) return;
    const parts = this.#connectionParts(facts, () => this.#connections.delete(connection));
    const connection: InstanceType<typeof Http2Connection> = new Http2Connection(socket, parts);
    this.#connections.add(connection);
    connection.open();
    if (this.#isDraining) connection.drain();
  }

  #connectionParts(facts: ClientFacts, onClosed: () => void): ConnectionParts {
    const { clock, deadlines, carry, metrics } = this.#parts;
    const onRefused = (reason: string) => metrics.refused.with(this.#config.name, reason).add();
    return { facts, bounds: this.#bounds, deadlines, clock, carry, onRefused, onClosed };
  }

  #factsOf(socket: Socket, serverName: string | undefined): ClientFacts {
    return {
      listener: this.#config.name,
      address: plainAddress(socket.remoteAddress ?? ""),
      port: socket.remotePort ?? 0,
      localAddress: plainAddress(socket.localAddress ?? ""),
      localPort: socket.localPort ?? 0,
      isTls: this.#config.tls !== undefined,
      serverName,
      trustsForwarded: this.#config.trustsForwarded ?? false,
    };
  }
}

/** IPv4 without IPv6 around it. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

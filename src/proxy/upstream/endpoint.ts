/**
 * One address that serves a cluster, and the connections to it that wait for the next request. The one that was used last is used first: it is the least likely to be at its end, and the others may end.
 */
import { connect, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import type { BalancedEndpoint, Random } from "#proxy/balance/balancer.ts";
import type { ClusterConfig, EndpointConfig } from "#proxy/config/cluster.ts";
import type { Breakable } from "#proxy/exchange/breaks.ts";
import type { UpstreamOwner, UpstreamStream } from "#proxy/exchange/streams.ts";
import type { Deadlines } from "#proxy/message/deadlines.ts";
import { Http1Upstream, type Http1UpstreamKeeper } from "./http1-upstream.ts";
import { Http2Upstreams } from "./http2-upstream.ts";
import type { ReadBuffer } from "./read-buffer.ts";

/** What all endpoints of a thread share. */
export type ClusterParts = {
  readonly deadlines: Deadlines;
  readonly readBuffer: ReadBuffer;
  /** In [0, 1). */
  readonly random: Random;
};

const MOST_IDLE = 512;
/** Connections that break within this belong to one death. */
const TOGETHER_MS = 50;
/** Bytes that may wait in a socket before it asks to pause. */
const HIGH_WATER_BYTES = 128 * 1024;

export class Endpoint implements BalancedEndpoint, Breakable, Http1UpstreamKeeper {
  /** Weight and draining may change; address and port do not. */
  config: EndpointConfig;
  readonly name: string;
  active = 0;
  readonly #cluster: ClusterConfig;
  readonly #deadlines: Deadlines;
  readonly #readBuffer: ReadBuffer;
  readonly #idle: Http1Upstream[] = [];
  #http2: Http2Upstreams | undefined;
  #isRetired = false;
  #brokeMs = Number.NEGATIVE_INFINITY;

  constructor(config: EndpointConfig, cluster: ClusterConfig, { deadlines, readBuffer }: ClusterParts) {
    this.config = config;
    this.name = nameOf(config);
    this.#cluster = cluster;
    this.#deadlines = deadlines;
    this.#readBuffer = readBuffer;
  }

  /** A stream for one request. `isFresh`: on a new connection, for the last one had gone stale. */
  open(owner: UpstreamOwner, isFresh: boolean): UpstreamStream {
    if (this.#cluster.protocol === "http2") {
      this.#http2 ??= new Http2Upstreams(this.#cluster, () => this.#connect("h2"), this.#deadlines);
      return this.#http2.open(owner);
    }
    const upstream = (isFresh ? undefined : this.#idle.pop()) ?? this.#openHttp1();
    upstream.take(owner);
    return upstream;
  }

  breaksAlone(nowMs: number): boolean {
    const isAlone = this.active <= 1 && nowMs - this.#brokeMs > TOGETHER_MS;
    this.#brokeMs = nowMs;
    return isAlone;
  }

  onIdle(upstream: Http1Upstream): number {
    if (this.#isRetired || this.#idle.length >= MOST_IDLE) return 0;
    this.#idle.push(upstream);
    return this.#cluster.idleTimeoutMs ?? 60_000;
  }

  onGone(upstream: Http1Upstream): void {
    const at = this.#idle.indexOf(upstream);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** Keeps nothing any more. Requests that are under way end as they will. */
  retire(): void {
    this.#isRetired = true;
    for (const upstream of this.#idle.splice(0)) upstream.close();
    this.#http2?.retire();
  }

  #openHttp1(): Http1Upstream {
    const open = (onBytes: (bytes: Buffer) => void) => this.#connect("http/1.1", onBytes);
    const upstream = new Http1Upstream(open, this, this.#deadlines);
    upstream.open(
      this.#cluster.connectTimeoutMs ?? 5_000,
      this.#cluster.tls === undefined ? "connect" : "secureConnect",
    );
    return upstream;
  }

  #connect(protocol: "h2" | "http/1.1", onBytes?: (bytes: Buffer) => void): Socket {
    const { address, port } = this.config;
    const { tls } = this.#cluster;
    const options = { host: address, port, allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER_BYTES };
    if (tls !== undefined) return connectTls({ ...options, ...this.#tlsOptions(protocol) });
    return connect(onBytes === undefined ? options : { ...options, onread: this.#readBuffer.for(onBytes) });
  }

  #tlsOptions(protocol: string): ConnectionOptions {
    const { serverName, ca, certificate, privateKey, skipsVerification = false } = this.#cluster.tls ?? {};
    return {
      ALPNProtocols: [protocol],
      rejectUnauthorized: !skipsVerification,
      ...(serverName === undefined ? {} : { servername: serverName }),
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(privateKey === undefined ? {} : { key: privateKey }),
    };
  }
}

export function nameOf({ address, port }: EndpointConfig): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

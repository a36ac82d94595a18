/**
 * The HTTP/2 connections of a transport: opened when first needed, shared by all requests, replaced when they break. A server caps the streams of one connection
 * (100 is usual) and a watch holds one for minutes, so further connections are opened as watches add up.
 */
import { connect } from "node:http2";
import type { ClientHttp2Session, ClientSessionOptions, SecureClientSessionOptions } from "node:http2";
import type { Clock, Timer } from "#component-base/clock.ts";

/** Streams on one connection, at most; servers allow 100 or more, and a few stay free for short requests. */
const maxStreamsPerSession = 90;
/**
 * Ask whether the server is alive after this long without a sign of it, and give up after `pingTimeoutMs`. Sooner than client-go (30 and 15 s): when a server is killed while much is
 * being sent to it, Node now and then does not tell that the connection is gone.
 */
const readIdleMs = 5000;
const pingTimeoutMs = 10_000;
const connectTimeoutMs = 10_000;
/** An older connection takes no new streams: the server knows it by a certificate that has been renewed since. */
const maxAgeMs = 24 * 3_600_000;

/** TLS material of a connection, PEM. */
export type SessionCredentials = { readonly ca?: string; readonly certificate?: string; readonly key?: string };

/** What {@link SessionPool} needs. `credentials` is asked for each new connection, so that renewed certificates are used. */
export type SessionPoolOptions = {
  /** "https://127.0.0.1:6443"; "http://" speaks HTTP/2 with prior knowledge. */
  readonly server: string;
  readonly credentials: () => Promise<SessionCredentials>;
  readonly insecureSkipTlsVerify: boolean;
  readonly serverName: string | undefined;
  readonly clock: Clock;
};

type Pooled = {
  readonly session: ClientHttp2Session;
  readonly connectedMs: number;
  streams: number;
  ping: Timer | undefined;
};

/** One connection with a stream's worth of room. Call `release` when the stream has ended. */
export type Lease = { readonly session: ClientHttp2Session; readonly release: () => void };

export class SessionPool {
  readonly #options: SessionPoolOptions;
  readonly #sessions = new Set<Pooled>();
  #connecting: Promise<Pooled> | undefined;
  #isClosed = false;

  constructor(options: SessionPoolOptions) {
    this.#options = options;
  }

  /** A connection that takes another stream; opens one if there is none. Rejects when the server is not reached. */
  async lease(): Promise<Lease> {
    for (;;) {
      const pooled = this.#withRoom() ?? (await this.#connectOnce());
      if (pooled.streams >= maxStreamsPerSession || !isUsable(pooled.session)) continue;
      return this.#take(pooled);
    }
  }

  /** Ends all connections; streams on them fail. */
  close(): void {
    this.#isClosed = true;
    for (const { session } of this.#sessions) session.destroy();
  }

  /** Ends the connections that there are; the next stream opens another. */
  reconnect(): void {
    for (const { session } of this.#sessions) session.destroy(new Error("the server has ended"));
  }

  #withRoom(): Pooled | undefined {
    for (const pooled of this.#sessions) {
      if (pooled.streams < maxStreamsPerSession && isUsable(pooled.session) && !this.#isOld(pooled)) return pooled;
    }
    return undefined;
  }

  #isOld({ connectedMs }: Pooled): boolean {
    return this.#options.clock.now() - connectedMs > maxAgeMs;
  }

  #take(pooled: Pooled): Lease {
    pooled.streams++;
    if (pooled.streams === 1) {
      pooled.session.ref();
      this.#watchOver(pooled);
    }
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      pooled.streams--;
      if (pooled.streams === 0) this.#rest(pooled);
    };
    return { session: pooled.session, release };
  }

  /** One idle connection is kept alive, others are closed. */
  #rest(pooled: Pooled): void {
    pooled.ping?.clear();
    if (!isUsable(pooled.session)) return;
    pooled.session.unref();
    if (this.#sessions.size > 1 || this.#isOld(pooled)) pooled.session.close();
  }

  #connectOnce(): Promise<Pooled> {
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  async #connect(): Promise<Pooled> {
    if (this.#isClosed) throw new Error("the transport was closed");
    const session = connect(this.#options.server, await this.#connectOptions());
    session.on("error", () => {});
    await this.#untilConnected(session);
    session.setLocalWindowSize(16 * 1024 * 1024);
    // Only a connection with streams on it keeps the process alive.
    session.unref();
    const pooled: Pooled = { session, connectedMs: this.#options.clock.now(), streams: 0, ping: undefined };
    this.#sessions.add(pooled);
    session.once("close", () => {
      pooled.ping?.clear();
      this.#sessions.delete(pooled);
    });
    return pooled;
  }

  async #connectOptions(): Promise<ClientSessionOptions & SecureClientSessionOptions> {
    const { ca, certificate, key } = await this.#options.credentials();
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(key === undefined ? {} : { key }),
      ...(this.#options.serverName === undefined ? {} : { servername: this.#options.serverName }),
      rejectUnauthorized: !this.#options.insecureSkipTlsVerify,
      settings: { enablePush: false, initialWindowSize: 4 * 1024 * 1024 },
      // Node's default of 10 MB ends streams at random when a large list arrives.
      maxSessionMemory: 1024,
      peerMaxConcurrentStreams: maxStreamsPerSession + 10,
    };
  }

  #untilConnected(session: ClientHttp2Session): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#options.clock.setTimer(connectTimeoutMs, () =>
        session.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)),
      );
      const fail = (error?: Error) => {
        timer.clear();
        reject(error ?? new Error("the connection was closed"));
      };
      session.once("error", fail);
      session.once("close", () => fail());
      session.once("connect", () => {
        timer.clear();
        session.off("error", fail);
        resolve();
      });
    });
  }

  /** A peer that vanished without a word is noticed by pings, only while somebody waits on the connection. */
  #watchOver(pooled: Pooled): void {
    const { clock } = this.#options;
    let bytesAtLastLook = -1;
    const look = () => {
      if (!isUsable(pooled.session) || pooled.streams === 0) return;
      const bytes = pooled.session.socket.bytesRead;
      const isQuiet = bytes === bytesAtLastLook;
      bytesAtLastLook = bytes;
      if (isQuiet) ping(pooled.session, clock);
      pooled.ping = clock.setTimer(readIdleMs, look);
    };
    pooled.ping = clock.setTimer(readIdleMs, look);
  }
}

function isUsable(session: ClientHttp2Session): boolean {
  return !session.closed && !session.destroyed;
}

function ping(session: ClientHttp2Session, clock: Clock): void {
  const timer = clock.setTimer(pingTimeoutMs, () => session.destroy(new Error("the server does not answer pings")));
  try {
    session.ping(() => timer.clear());
  } catch {
    timer.clear();
  }
}

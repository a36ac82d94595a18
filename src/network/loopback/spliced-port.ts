/**
 * One port of a Service, served by this process: each connection is joined with one to an endpoint. Takes no part in what is said.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Frontend, Target } from "#network/service-proxy/frontends.ts";
import type { Clock } from "#component-base/clock.ts";

/** Endpoints, and how long a client keeps to one. */
export type Endpoints = Pick<Frontend, "targets" | "affinitySeconds">;

/** Clients that are remembered at most. */
const mostClients = 4096;
const connectMs = 5_000;

/** Listens at one address and port. */
export class SplicedPort {
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #connections = new Set<Socket>();
  /** Endpoint by client, with the time until which it is his. */
  readonly #kept = new Map<string, { readonly target: Target; readonly untilMs: number }>();
  #endpoints: Endpoints;
  #turn = 0;

  /** `endpoints` has at least one target. */
  constructor(endpoints: Endpoints, clock: Clock) {
    this.#endpoints = endpoints;
    this.#clock = clock;
    // Nothing is read before there is somebody to hand it to.
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) =>
      this.#serve(client),
    );
  }

  /** Rejects with EACCES, EADDRINUSE and the like. */
  listen(address: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host: address, port, exclusive: true }, () => {
        this.#server.removeListener("error", reject);
        this.#server.on("error", () => {}); // too many open files, say: the next connection may be taken
        resolve();
      });
    });
  }

  /** For connections from now on; those that are made go on, as kube-proxy lets them. */
  update(endpoints: Endpoints): void {
    this.#endpoints = endpoints;
  }

  /** Takes no more connections. Those that are made go on, unless told otherwise. */
  close(endsConnections = false): void {
    this.#server.close();
    if (endsConnections) for (const connection of this.#connections) connection.destroy();
  }

  #serve(client: Socket): void {
    this.#track(client);
    client.on("error", () => client.destroy());
    this.#connect(client, this.#candidates(client.remoteAddress ?? ""));
  }

  /** The next one that answers: an endpoint may have died a moment ago. */
  #connect(client: Socket, [target, ...others]: readonly Target[]): void {
    if (!target || client.destroyed) return void client.resetAndDestroy();
    const endpoint = connect({ host: target.address, port: target.port, allowHalfOpen: true, noDelay: true });
    this.#track(endpoint);
    const fail = () => {
      endpoint.destroy();
      this.#connect(client, others);
    };
    endpoint.setTimeout(connectMs, fail);
    endpoint.once("error", fail);
    client.once("close", () => endpoint.destroy());
    endpoint.once("connect", () => {
      endpoint.setTimeout(0);
      endpoint.removeListener("error", fail);
      // What breaks on one side is to be seen as broken on the other.
      endpoint.on("error", () => client.resetAndDestroy());
      endpoint.once("close", () => client.destroySoon());
      this.#keep(client.remoteAddress ?? "", target);
      client.pipe(endpoint);
      endpoint.pipe(client);
    });
  }

  #candidates(client: string): readonly Target[] {
    const { targets, affinitySeconds } = this.#endpoints;
    const first = this.#turn++ % Math.max(1, targets.length);
    const inTurn = [...targets.slice(first), ...targets.slice(0, first)];
    const kept = affinitySeconds === undefined ? undefined : this.#kept.get(client);
    if (!kept || kept.untilMs < this.#clock.now()) return inTurn;
    const isKept = ({ address, port }: Target) => address === kept.target.address && port === kept.target.port;
    return [...inTurn.filter(isKept), ...inTurn.filter((target) => !isKept(target))];
  }

  #keep(client: string, target: Target): void {
    const { affinitySeconds } = this.#endpoints;
    if (affinitySeconds === undefined) return;
    this.#kept.delete(client);
    this.#kept.set(client, { target, untilMs: this.#clock.now() + affinitySeconds * 1000 });
    for (const oldest of this.#kept.keys()) if (this.#kept.size > mostClients) this.#kept.delete(oldest);
  }

  #track(socket: Socket): void {
    this.#connections.add(socket);
    socket.once("close", () => this.#connections.delete(socket));
  }
}

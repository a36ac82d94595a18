/**
 * Copies of a request for other clusters. Sent when the request is whole, so that a slow client costs a mirror nothing; the answer is read and dropped, and no failure is anybody's.
 */
import type { Mirror } from "#proxy/config/route.ts";
import type { RequestHead } from "#proxy/message/heads.ts";
import type { Endpoint } from "#proxy/upstream/endpoint.ts";
import type { ExchangeParts } from "./exchange-parts.ts";
import type { RequestBody } from "./request-body.ts";
import type { RequestStart, UpstreamOwner, UpstreamStream } from "./streams.ts";

/** After this a mirror's answer is not read any more. */
const MIRROR_MS = 30_000;
const none: ReadonlySet<string> = new Set();

/** Sends copies to those mirrors whose share this request falls into. */
export function sendMirrors(
  parts: ExchangeParts,
  mirrors: readonly Mirror[],
  head: RequestHead,
  start: RequestStart,
  body: RequestBody,
): void {
  if (head.upgrade !== undefined) return;
  for (const { cluster, percent = 100 } of mirrors) {
    if (parts.random() * 100 >= percent) continue;
    body.whenWhole((sendBody) => new MirrorRequest(parts, cluster).send(start, sendBody));
  }
}

/** One copy on its way. */
class MirrorRequest implements UpstreamOwner {
  readonly #parts: ExchangeParts;
  readonly #cluster: string;
  #endpoint: Endpoint | undefined;
  #upstream: UpstreamStream | undefined;

  constructor(parts: ExchangeParts, cluster: string) {
    this.#parts = parts;
    this.#cluster = cluster;
  }

  send(start: RequestStart, sendBody: (upstream: UpstreamStream) => void): void {
    const chosen = this.#parts.clusters.get(this.#cluster)?.choose(undefined, none);
    if (chosen === undefined || typeof chosen === "string") return;
    this.#endpoint = chosen;
    chosen.active++;
    const upstream = chosen.open(this, false);
    this.#upstream = upstream;
    upstream.sendHead(start);
    sendBody(upstream);
    const deadline = this.#parts.deadlines.add(() => this.#giveUp());
    deadline.set(MIRROR_MS);
    this.#stopWaiting = () => deadline.remove();
  }

  #stopWaiting: () => void = () => {};

  #giveUp(): void {
    this.#upstream?.abort();
    this.#leave();
  }

  #leave(): void {
    this.#stopWaiting();
    const endpoint = this.#endpoint;
    this.#endpoint = undefined;
    if (endpoint !== undefined) this.#parts.clusters.get(this.#cluster)?.release(endpoint);
  }

  onInformational(): void {}
  onResponseHead(): void {}
  onResponseBody(): void {}
  onResponseReadDone(): void {}
  onUpstreamDrain(): void {}

  onResponseEnd(): void {
    this.#leave();
  }

  onUpstreamFailed(): void {
    this.#leave();
  }
}

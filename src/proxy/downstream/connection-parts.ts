/**
 * What a client's connection needs of the listener that took it.
 */
import type { ConnectionBounds } from "#proxy/config/listener.ts";
import type { ClientFacts, ClientOwner, ClientStream } from "#proxy/exchange/streams.ts";
import type { Deadlines } from "#proxy/message/deadlines.ts";
import type { Clock } from "#component-base/clock.ts";

export type ConnectionParts = {
  readonly facts: ClientFacts;
  readonly bounds: ConnectionBounds;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  /** Who carries a request; `begin` is called when the stream knows its owner. */
  readonly carry: (client: ClientStream) => CarriedRequest;
  /** A message was refused. */
  readonly onRefused: (reason: string) => void;
  /** The connection is gone. */
  readonly onClosed: () => void;
};

export type CarriedRequest = ClientOwner & { start(): void };

/** A client's connection, as the listener sees it. */
export interface ClientConnection {
  /** Takes no further requests: ends at once when idle, else after the response that is under way, which says so. */
  drain(): void;
  /** Ends it now. */
  destroy(): void;
}

/**
 * What the senders of events work with. They run where events are delivered, not where objects are looked after: the sink's address is read from the source's status.
 */
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { Forbids, Lookup } from "#eventing/dispatcher/reach.ts";
import type { Target } from "#eventing/dispatcher/topology.ts";
import type { SourceMetrics } from "./source-metrics.ts";

/** What came of sending an event once. The dispatcher's own sender gives it. */
export type SendOutcome =
  | { readonly kind: "taken"; readonly status: number }
  | {
      readonly kind: "refused";
      readonly status: number;
      readonly isRetryable: boolean;
      readonly retryAfterMs: number | undefined;
      readonly why: string;
    };

/** A value per key that survives the death of the process, as the dispatcher's places. */
export interface SourcePlaces {
  /** What was set last; undefined when there is nothing. */
  get(key: string): Uint8Array | undefined;
  /** Those that have a value, in no order. */
  keys(): readonly string[];
  /** In memory at once, elsewhere with the next {@link flush}. */
  set(key: string, value: Uint8Array): void;
  /** As {@link set}; what is not there is success. */
  delete(key: string): void;
  /** What was set survives the death of this process, with `isDurable` that of the machine too. */
  flush(options?: { readonly isDurable?: boolean }): Promise<void>;
}

export type SourceAdaptersContext = {
  readonly client: Client;
  /** Started by whoever gives it. */
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly places: SourcePlaces;
  readonly metrics: SourceMetrics;
  /** Sends once. Rejects only with the signal's reason. */
  readonly send: (event: CloudEvent, target: Target, signal: AbortSignal) => Promise<SendOutcome>;
  /** A client that may do what this service account may, and no more. */
  readonly clientFor: (serviceAccount: { readonly namespace: string; readonly name: string }) => Client;
  /** The API server's address, which its events name as their source. */
  readonly apiServerUrl: string;
  /** How hosts of services are found. Default: the machine's resolver. */
  readonly lookup?: Lookup;
  /** Addresses that services of buckets must not be at. Default: none. */
  readonly forbids?: Forbids;
};

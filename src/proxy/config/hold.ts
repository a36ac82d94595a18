/**
 * The second contract that others fill: keep this request until I say go. For services that are at zero when somebody asks, and for whoever wants to decide late. A request that is held costs a
 * connection and at most 64 KiB of its body; it ends when its client goes away.
 */

/** What a hold may know of a request. */
export type HeldRequest = {
  readonly route: string;
  readonly cluster: string;
  readonly method: string;
  readonly authority: string;
  readonly target: string;
  /** The endpoint ("address:port") that was tried and could not be connected to, where that is why the request is held. */
  readonly unreachable?: string;
};

/** `go`: on to the cluster as it is configured then. `refuse`: this answer instead. */
export type HoldVerdict =
  | { readonly kind: "go" }
  | {
      readonly kind: "refuse";
      readonly status: number;
      readonly message: string;
      /** For Retry-After. */
      readonly retryAfterSeconds?: number;
    };

/** How much a hold may keep. */
export type HoldLimits = {
  /** Requests at once on one thread; more get 503. Default 10,000. */
  readonly requests: number;
  /** Then 504. Default 300 s. */
  readonly timeoutMs: number;
};

export const defaultHoldLimits: HoldLimits = { requests: 10_000, timeoutMs: 300_000 };

/** Decides when held requests may go. */
export interface Hold {
  /** Decides about one request. `signal` aborts when the client is gone or the time is over; what is decided then is not heard. A rejection becomes 503. */
  admit(request: HeldRequest, signal: AbortSignal): Promise<HoldVerdict>;
  /** A request that was held and let go has got the head of its response. Must not throw. Only on the engine's own thread. */
  onAnswer?(request: HeldRequest): void;
}

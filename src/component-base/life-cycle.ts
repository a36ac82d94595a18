/**
 * How long-running parts start and stop. Nothing runs from a constructor; whoever made a part starts it and stops it.
 */

/** A part that runs until it is stopped. */
export interface Service {
  /** Resolves when the part is ready for use. Aborting `signal` ends a start that is under way. Called once. */
  start(signal: AbortSignal): Promise<void>;
  /** Ends all work and frees all it holds. May be called twice, and on a part that never started. */
  stop(): Promise<void>;
}

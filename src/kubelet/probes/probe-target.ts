/**
 * What probes and hooks need to reach a container, and how a named port becomes a number.
 */
import type { Container } from "#api/generated/types/core-v1.ts";

/** How one look at a container went. `warning` counts as success, with an event. */
export type ProbeOutcome = {
  readonly result: "success" | "warning" | "failure";
  /** For the event: why it failed, or what the warning is. */
  readonly output: string;
};

/** The container that is looked at. */
export type ProbeTarget = {
  readonly container: Container;
  /** Address for checks that name no host. Empty while the pod has none. */
  readonly podIP: () => string;
  /** Runs a command inside; gives code and output (both streams, at most 10 KiB). Rejects when it cannot be run or takes longer. */
  readonly exec: (
    command: readonly string[],
    timeoutMs: number,
    signal: AbortSignal,
  ) => Promise<{ readonly exitCode: number; readonly output: string }>;
};

/** A port by number or by the name that the container gives it. Throws an Error with upstream's words. */
export function resolvePort(port: number | string, container: Container): number {
  if (typeof port === "number") return checked(port);
  const named = container.ports?.find((it) => it.name === port);
  if (named) return checked(named.containerPort);
  if (/^\d+$/.test(port)) return checked(Number(port));
  throw new Error(`failed to find port "${port}"`);
}

function checked(port: number): number {
  if (port > 0 && port < 65_536) return port;
  throw new Error(`invalid port number: ${port}`);
}

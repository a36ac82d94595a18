/**
 * The time for which an isolate that is to end still takes connections. Who deletes a pod and who sends connections to it do not know of each other: until its address is out of the
 * endpoints of Services, on every node, new ones come in. A program in a container sees to that itself, by a handler for SIGTERM or a preStop hook; for an isolate we do.
 */
import { readFileSync } from "node:fs";
import type { Clock } from "#component-base/clock.ts";

/** How many connections came in until now; undefined where nobody counts. */
export type CountConnections = () => number | undefined;

/** From the deletion until endpoints are gone takes some tens of milliseconds, on a busy machine more. */
const leastMs = 500;
/** Without a new connection for so long nobody is sent here any more. */
const quietMs = 250;
/** Whoever connects by the pod's address does so for ever. */
const mostMs = 5_000;
const stepMs = 50;

/** Those that linger, by container. */
export class Lingering {
  readonly #clock: Clock;
  readonly #ends = new Map<string, AbortController>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves when no more connections are to be expected, to what is left of the grace: at once where none ever came in, and never later than half of the grace. Called again while
   * it waits, it ends: somebody is in a hurry.
   */
  async wait(id: string, gracePeriodSeconds: number, count: CountConnections): Promise<number> {
    const before = this.#ends.get(id);
    before?.abort();
    if (before || gracePeriodSeconds <= 0 || count() === 0) return gracePeriodSeconds;
    const hurry = new AbortController();
    this.#ends.set(id, hurry);
    const begunMs = this.#clock.now();
    try {
      await this.#untilQuiet(Math.min(mostMs, gracePeriodSeconds * 500), count, hurry.signal);
    } finally {
      this.#ends.delete(id);
    }
    return Math.max(gracePeriodSeconds - (this.#clock.now() - begunMs) / 1000, 0);
  }

  async #untilQuiet(mostMs: number, count: CountConnections, signal: AbortSignal): Promise<void> {
    const clock = this.#clock;
    const begunMs = clock.now();
    let seen = count();
    let seenMs = begunMs;
    for (let nowMs = begunMs; nowMs - begunMs < mostMs && !signal.aborted; nowMs = clock.now()) {
      const now = count();
      if (now !== seen) seenMs = nowMs;
      seen = now;
      if (nowMs - begunMs >= leastMs && nowMs - seenMs >= quietMs) return;
      await clock.sleep(stepMs, signal).catch(() => {}); // in a hurry
    }
  }
}

/** Connections that were accepted in the network namespace that the thread is in, as the kernel counts them. */
export function acceptedHere(): number | undefined {
  return passiveOpens(readFileSync("/proc/thread-self/net/snmp", "utf8"));
}

/** From the text of /proc/net/snmp: a line of names, and one of numbers, for each protocol. */
export function passiveOpens(text: string): number | undefined {
  const [names = [], values = []] = text
    .split("\n")
    .filter((line) => line.startsWith("Tcp: "))
    .map((line) => line.split(" "));
  const value = values[names.indexOf("PassiveOpens")];
  return value === undefined ? undefined : Number(value);
}

/**
 * Without networks of their own: sockets that have to do with this address, open or lately closed. Not a count of what came in, but none is none.
 */
export function connectionsOf(address: string, table: string = readFileSync("/proc/net/tcp", "utf8")): number {
  const hex = Buffer.from(address.split(".").map(Number).reverse()).toString("hex").toUpperCase();
  const listening = "0A";
  return table.split("\n").filter((line) => {
    const [, local = "", remote = "", state] = line.trim().split(/\s+/);
    return state !== listening && (local.startsWith(`${hex}:`) || remote.startsWith(`${hex}:`));
  }).length;
}

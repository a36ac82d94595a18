/**
 * One active instance among several: who holds the Lease works, the others wait. As client-go's leader election; durations are its defaults.
 */
import type { Lease } from "#api/generated/types/coordination-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatMicroTime } from "#apimachinery/time.ts";
import type { Client } from "./client.ts";
import { findObject } from "./find-object.ts";

export type LeaderElectionOptions = {
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly namespace: string;
  /** Name of the Lease: "kube-scheduler". */
  readonly name: string;
  /** Who we are; unlike any other instance. */
  readonly identity: string;
  /** How long a silent leader is respected. Default 15 s. */
  readonly leaseDurationMs?: number;
  /** A leader that could not renew for this long gives up. Default 10 s. */
  readonly renewDeadlineMs?: number;
  /** How often is tried. Default 2 s. */
  readonly retryPeriodMs?: number;
};

const leases = { group: "coordination.k8s.io", version: "v1", resource: "leases" };

/**
 * Waits for the leadership, then runs `lead` with a signal that aborts when it is lost. Resolves when `lead` has ended or `signal` aborts; gives the Lease up then, so
 * that the next one need not wait.
 */
export async function runAsLeader(
  options: LeaderElectionOptions,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const candidate = new Candidate(options);
  await candidate.acquire(signal);
  if (signal.aborted) return;
  const lost = new AbortController();
  const ended = AbortSignal.any([signal, lost.signal]);
  const renewing = candidate.renew(ended).then((isLost) => {
    if (isLost) lost.abort(new Error("the leadership was lost"));
  });
  try {
    await lead(ended);
  } finally {
    lost.abort(new Error("the leader has ended"));
    await renewing;
    await candidate.release();
  }
}

class Candidate {
  readonly #options: LeaderElectionOptions;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  /** The record as it was last seen, and when it last changed by our own clock: others' clocks are not trusted. */
  #seen: { readonly record: string; readonly atMs: number } | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2000;
  }

  /** Resolves when the Lease is ours, or the signal aborts. */
  async acquire(signal: AbortSignal): Promise<void> {
    const { clock, logger, name } = this.#options;
    while (!signal.aborted) {
      if (await this.#tryHold(signal)) {
        logger.info("Became leader", { lease: name });
        return;
      }
      await clock.sleep(this.#retryPeriodMs * (1 + 0.2 * Math.random()), signal).catch(() => {});
    }
  }

  /** Resolves true when the Lease could not be renewed in time, false when the signal aborts. */
  async renew(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#options;
    let renewedMs = clock.now();
    while (!signal.aborted) {
      await clock.sleep(this.#retryPeriodMs, signal).catch(() => {});
      if (signal.aborted) return false;
      if (await this.#tryHold(signal)) renewedMs = clock.now();
      else if (clock.now() - renewedMs >= this.#renewDeadlineMs) return true;
    }
    return false;
  }

  /** Lets the next one in at once. Never throws: it would get in anyway, later. */
  async release(): Promise<void> {
    const { client, namespace, name, identity, clock } = this.#options;
    try {
      const lease = await client.get<Lease>({ resource: leases, namespace, name });
      if (lease.spec?.holderIdentity !== identity) return;
      const renewTime = formatMicroTime(clock.now());
      const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime };
      await client.update({ resource: leases, namespace, name }, { ...lease, spec });
    } catch {
      // The server is gone, or somebody else has it.
    }
  }

  async #tryHold(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, logger } = this.#options;
    try {
      const lease = await findObject<Lease>(client, { resource: leases, namespace, name }, { signal });
      if (lease === undefined) {
        const created = {
          apiVersion: "coordination.k8s.io/v1",
          kind: "Lease",
          metadata: { name, namespace },
          spec: this.#spec(undefined),
        };
        await client.create({ resource: leases, namespace }, created, { signal });
        return true;
      }
      if (!this.#mayTake(lease)) return false;
      await client.update({ resource: leases, namespace, name }, { ...lease, spec: this.#spec(lease) }, { signal });
      return true;
    } catch (error) {
      if (!hasReason(error, "Conflict") && !hasReason(error, "AlreadyExists") && !signal.aborted) {
        logger.debug("Lease could not be written", { lease: name, error: String(error) });
      }
      return false;
    }
  }

  /** Ours, nobody's, or of somebody who has been silent for too long. */
  #mayTake(lease: Lease): boolean {
    const { clock, identity } = this.#options;
    const holder = lease.spec?.holderIdentity ?? "";
    const record = JSON.stringify([holder, lease.spec?.renewTime]);
    if (this.#seen?.record !== record) this.#seen = { record, atMs: clock.now() };
    if (holder === identity || holder === "") return true;
    return clock.now() - this.#seen.atMs >= this.#leaseDurationMs;
  }

  #spec(lease: Lease | undefined): NonNullable<Lease["spec"]> {
    const { identity, clock } = this.#options;
    const now = formatMicroTime(clock.now());
    const isOurs = lease?.spec?.holderIdentity === identity;
    const transitions = lease?.spec?.leaseTransitions ?? 0;
    return {
      ...lease?.spec,
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1000),
      acquireTime: isOurs ? (lease.spec?.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: lease === undefined || isOurs ? transitions : transitions + 1,
    };
  }
}

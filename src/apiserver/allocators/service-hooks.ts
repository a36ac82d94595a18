/**
 * Gives Services their cluster IPs and node ports, in the same store write as the Service: with each address an IPAddress object is written that nobody else may have. Rules, order and words as
 * pkg/registry/core/service/storage/alloc.go; one IPv4 range.
 */
import { type FieldError, invalid, invalidObject } from "#apimachinery/field-error.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { internalError } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { WriteOperation } from "#store/store.ts";
import { ensureIpFields, isHeadless, needsClusterIp, normalizeClusterIps } from "./ip-fields.ts";
import { formatIpv4, type Ipv4Range, parseIpv4 } from "./ipv4-range.ts";
import { carryNodePorts, NodePortPlan, nodePortsOf } from "./node-ports.ts";
import { NumberPool } from "./number-pool.ts";
import type { Reservation, WriteHooks } from "#apiserver/registry/write-hooks.ts";

/** Where Services and their IPAddresses are looked up and written. */
export interface ServiceAddressBook {
  /** All Services, as they are now. */
  services(): Promise<Iterable<KubeObject>>;
  /** True when an IPAddress of this name exists. */
  hasAddress(ip: string): Promise<boolean>;
  /** The store operation that makes the IPAddress, or (without service) removes it; undefined where IPAddresses are not served. */
  operation(
    ip: string,
    service: { readonly namespace: string; readonly name: string } | undefined,
  ): WriteOperation | undefined;
}

/** Ranges of a cluster. */
export type ServiceRanges = {
  readonly clusterIps: Ipv4Range;
  readonly nodePorts: { readonly first: number; readonly last: number };
};

type Options = { readonly dryRun: boolean };

/** The write hooks of Services. */
export class ServiceHooks implements WriteHooks {
  readonly #book: ServiceAddressBook;
  readonly #ips: NumberPool;
  readonly #ports: NumberPool;
  #loading: Promise<void> | undefined;

  constructor(ranges: ServiceRanges, book: ServiceAddressBook) {
    const { clusterIps, nodePorts } = ranges;
    this.#book = book;
    this.#ips = new NumberPool({
      ...clusterIps,
      staticBand: staticBandOf(clusterIps.last - clusterIps.first + 3, 256),
    });
    this.#ports = new NumberPool({ ...nodePorts, staticBand: staticBandOf(nodePorts.last - nodePorts.first + 1, 128) });
  }

  async beforeCreate(draft: Draft, options: Options): Promise<Reservation> {
    await this.#load();
    const spec = draft["spec"] as Draft;
    normalizeClusterIps(spec, undefined);
    const errors = ensureIpFields(spec, undefined);
    if (errors.length > 0) throw refused(draft, errors);
    return this.#reserve(draft, undefined, options);
  }

  async beforeUpdate(draft: Draft, old: KubeObject, options: Options): Promise<Reservation> {
    await this.#load();
    const spec = draft["spec"] as Draft;
    const before = ((old as Draft)["spec"] ?? {}) as Draft;
    normalizeClusterIps(spec, before);
    carryNodePorts(spec, before);
    const errors = ensureIpFields(spec, before);
    if (errors.length > 0) throw refused(draft, errors);
    return this.#reserve(draft, before, options);
  }

  beforeDelete(object: KubeObject): readonly WriteOperation[] {
    return clusterIpsOf(((object as Draft)["spec"] ?? {}) as Draft).flatMap(
      (ip) => this.#book.operation(ip, undefined) ?? [],
    );
  }

  afterDelete(object: KubeObject): void {
    const spec = ((object as Draft)["spec"] ?? {}) as Draft;
    for (const ip of clusterIpsOf(spec)) this.#releaseIp(ip);
    for (const port of nodePortsOf(spec)) this.#ports.release(port);
  }

  async #reserve(draft: Draft, before: Draft | undefined, { dryRun }: Options): Promise<Reservation> {
    const spec = draft["spec"] as Draft;
    const asked = structuredClone(spec);
    const taken: number[] = [];
    const plan = new NodePortPlan(this.#ports);
    const kept = before === undefined ? [] : clusterIpsOf(before);
    try {
      await this.#allocateIps(draft, kept, taken);
      const errors = plan.allocate(spec, before);
      if (errors.length > 0) throw refused(draft, errors);
    } catch (error) {
      for (const ip of taken) this.#ips.release(ip);
      plan.revert();
      throw error;
    }
    const now = clusterIpsOf(spec);
    const dropped = kept.filter((ip) => !now.includes(ip));
    const { namespace = "", name = "" } = draft["metadata"] as { namespace?: string; name?: string };
    const release = (): void => {
      for (const ip of taken) this.#ips.release(ip);
      plan.revert();
      // Whoever tries again asks for what was asked for, not for what was given and lost.
      if (!dryRun) draft["spec"] = asked;
    };
    return {
      operations: [
        ...taken.flatMap((ip) => this.#book.operation(formatIpv4(ip), { namespace, name }) ?? []),
        ...dropped.flatMap((ip) => this.#book.operation(ip, undefined) ?? []),
      ],
      commit: () => {
        if (dryRun) return release();
        for (const ip of dropped) this.#releaseIp(ip);
        plan.commit();
      },
      release,
    };
  }

  async #allocateIps(draft: Draft, kept: readonly string[], taken: number[]): Promise<void> {
    const spec = draft["spec"] as Draft;
    if (!needsClusterIp(spec) || isHeadless(spec)) return;
    const [asked] = (spec["clusterIPs"] ?? []) as string[];
    if (asked !== undefined && asked !== "" && kept.includes(asked)) return;
    const ip = asked ? await this.#takeIp(draft, asked) : await this.#takeAnyIp();
    taken.push(ip);
    spec["clusterIP"] = formatIpv4(ip);
    spec["clusterIPs"] = [formatIpv4(ip)];
  }

  async #takeIp(draft: Draft, asked: string): Promise<number> {
    const refuse = (why: string): Error => {
      const value = (draft["spec"] as Draft)["clusterIPs"] as unknown;
      return refused(draft, [invalid("spec.clusterIPs", value, `failed to allocate IP ${asked}: ${why}`)]);
    };
    const ip = parseIpv4(asked);
    if (ip === undefined || !this.#ips.isInRange(ip)) {
      throw refuse("the provided network does not match the current range");
    }
    if (!this.#ips.take(ip)) throw refuse("provided IP is already allocated");
    if (!(await this.#book.hasAddress(asked))) return ip;
    this.#ips.release(ip);
    throw refuse("provided IP is already allocated");
  }

  async #takeAnyIp(): Promise<number> {
    for (;;) {
      const ip = this.#ips.takeAny();
      if (ip === undefined) throw internalError(new Error("failed to allocate a serviceIP: range is full"));
      // Somebody made an IPAddress by hand: it stays taken.
      if (!(await this.#book.hasAddress(formatIpv4(ip)))) return ip;
    }
  }

  // What is given out already stands in the Services.
  #load(): Promise<void> {
    this.#loading ??= this.#read();
    return this.#loading;
  }

  async #read(): Promise<void> {
    for (const service of await this.#book.services()) {
      const spec = ((service as Draft)["spec"] ?? {}) as Draft;
      for (const ip of clusterIpsOf(spec)) this.#ips.take(parseIpv4(ip) ?? -1);
      for (const port of nodePortsOf(spec)) this.#ports.take(port);
    }
  }

  #releaseIp(ip: string): void {
    const value = parseIpv4(ip);
    if (value !== undefined) this.#ips.release(value);
  }
}

function clusterIpsOf(spec: Draft): readonly string[] {
  return ((spec["clusterIPs"] ?? []) as string[]).filter((ip) => parseIpv4(ip) !== undefined);
}

function refused(draft: Draft, errors: readonly FieldError[]): Error {
  const { name = "" } = (draft["metadata"] ?? {}) as { readonly name?: string };
  return invalidObject({ group: "", kind: "Service", name }, errors);
}

// As upstream: a sixteenth (thirty-second for ports) of the range, between 16 and `max`; none of small ranges.
function staticBandOf(size: number, max: number): number {
  if (size < 16) return 0;
  const share = Math.floor(size / (max === 256 ? 16 : 32));
  return Math.max(16, Math.min(max, share));
}

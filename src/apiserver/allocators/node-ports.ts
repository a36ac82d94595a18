/**
 * Node ports of one Service: those that it asks for, those that it keeps, and new ones. The same number may serve several protocols of one port.
 */
import { type FieldError, invalid } from "#apimachinery/field-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { NumberPool } from "./number-pool.ts";

/** True for types that listen on every node. */
export function needsNodePorts(spec: Draft): boolean {
  return spec["type"] === "NodePort" || spec["type"] === "LoadBalancer";
}

/** All node ports that a Service has. */
export function nodePortsOf(spec: Draft): ReadonlySet<number> {
  const ports = portsOf(spec).map((port) => Number(port["nodePort"] ?? 0));
  return new Set([...ports, Number(spec["healthCheckNodePort"] ?? 0)].filter((port) => port > 0));
}

/** Ports that an update names without their node port keep the one they had. As upstream's patchAllocatedValues. */
export function carryNodePorts(spec: Draft, before: Draft): void {
  if (!needsNodePorts(spec) || !needsNodePorts(before)) return;
  const now = new Set(portsOf(spec).map((port) => port["nodePort"] as unknown));
  const old = new Map(portsOf(before).map((port) => [port["name"] ?? "", port["nodePort"] as number | undefined]));
  for (const port of portsOf(spec)) {
    const was = old.get(port["name"] ?? "");
    if (!port["nodePort"] && was !== undefined && !now.has(was)) port["nodePort"] = was;
  }
  if (needsHealthCheck(spec) && needsHealthCheck(before)) spec["healthCheckNodePort"] ??= before["healthCheckNodePort"];
}

/** What one write takes and gives back. */
export class NodePortPlan {
  readonly #pool: NumberPool;
  readonly #taken: number[] = [];
  #dropped: number[] = [];

  constructor(pool: NumberPool) {
    this.#pool = pool;
  }

  /** Fills in the Service's node ports. */
  allocate(spec: Draft, before: Draft | undefined): readonly FieldError[] {
    const kept = before === undefined ? new Set<number>() : nodePortsOf(before);
    const errors = needsNodePorts(spec) ? this.#allocatePorts(spec, kept) : [];
    if (errors.length === 0 && needsHealthCheck(spec)) errors.push(...this.#allocateHealthCheck(spec, kept));
    const now = nodePortsOf(spec);
    this.#dropped = [...kept].filter((port) => !now.has(port));
    return errors;
  }

  commit(): void {
    for (const port of this.#dropped) this.#pool.release(port);
    this.#taken.length = 0;
  }

  revert(): void {
    for (const port of this.#taken) this.#pool.release(port);
    this.#taken.length = 0;
  }

  #allocatePorts(spec: Draft, kept: ReadonlySet<number>): FieldError[] {
    const errors: FieldError[] = [];
    const byPort = new Map<number, number>();
    const isAutomatic = spec["type"] === "NodePort" || spec["allocateLoadBalancerNodePorts"] !== false;
    portsOf(spec).forEach((port, index) => {
      const asked = Number(port["nodePort"] ?? 0);
      if (asked === 0 && !isAutomatic) return;
      const number = Number(port["port"]);
      const shared = byPort.get(number);
      const wanted = asked || shared || requestedFor(spec, number);
      if (shared !== undefined && wanted === shared) port["nodePort"] = shared;
      else if (wanted > 0) {
        const problem = this.#take(wanted, kept);
        if (problem !== undefined) errors.push(invalid(`spec.ports[${index}].nodePort`, wanted, problem));
        port["nodePort"] = wanted;
      } else port["nodePort"] = this.#takeAny();
      byPort.set(number, port["nodePort"] as number);
    });
    return errors;
  }

  #allocateHealthCheck(spec: Draft, kept: ReadonlySet<number>): FieldError[] {
    const asked = Number(spec["healthCheckNodePort"] ?? 0);
    if (asked === 0) spec["healthCheckNodePort"] = this.#takeAny();
    else {
      const problem = this.#take(asked, kept);
      if (problem !== undefined) return [invalid("spec.healthCheckNodePort", asked, problem)];
    }
    return [];
  }

  #take(port: number, kept: ReadonlySet<number>): string | undefined {
    if (kept.has(port) || this.#taken.includes(port)) return undefined;
    if (!this.#pool.isInRange(port)) {
      const { first, last } = this.#pool;
      return `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
    }
    if (!this.#pool.take(port)) return "provided port is already allocated";
    this.#taken.push(port);
    return undefined;
  }

  #takeAny(): number {
    const port = this.#pool.takeAny();
    if (port === undefined) throw new Error("failed to allocate a nodePort: range is full");
    this.#taken.push(port);
    return port;
  }
}

function requestedFor(spec: Draft, number: number): number {
  const found = portsOf(spec).find((port) => Number(port["port"]) === number && Number(port["nodePort"] ?? 0) > 0);
  return Number(found?.["nodePort"] ?? 0);
}

function needsHealthCheck(spec: Draft): boolean {
  return spec["type"] === "LoadBalancer" && spec["externalTrafficPolicy"] === "Local";
}

function portsOf(spec: Draft): Draft[] {
  return (spec["ports"] ?? []) as Draft[];
}

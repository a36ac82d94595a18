/**
 * The node's heartbeat: a Lease in kube-node-lease of 40 s, renewed every 10 s. One small update each, nothing read. As component-helpers' lease controller.
 */
import type { Lease } from "#api/generated/types/coordination-v1.ts";
import type { Node } from "#api/generated/types/core-v1.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { findObject } from "#client/find-object.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";

const durationSeconds = 40;
const renewEveryMs = 10_000;
const retryEveryMs = 1_000;
const namespace = "kube-node-lease";

export type NodeLeaseOptions = {
  readonly client: Client;
  readonly nodeName: string;
  /** The registered Node, owner of the lease. */
  readonly node: () => Node | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Renews the lease until stopped. A failed renewal is tried again every second. */
export class NodeLease implements Service {
  readonly #options: NodeLeaseOptions;
  #lease: Lease | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: NodeLeaseOptions) {
    this.#options = options;
  }

  async start(_signal: AbortSignal): Promise<void> {
    await this.#beat();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.clear();
  }

  async #beat(): Promise<void> {
    let delayMs = renewEveryMs;
    try {
      this.#lease = await this.#renew();
    } catch (error) {
      // Somebody else wrote it, or it is gone: read again next time.
      this.#lease = undefined;
      delayMs = retryEveryMs;
      this.#options.logger.warn("Could not renew node lease", { node: this.#options.nodeName, error });
    }
    if (!this.#stopped) this.#timer = this.#options.clock.setTimer(delayMs, () => void this.#beat()); // #beat never rejects
  }

  async #renew(): Promise<Lease> {
    const { client, nodeName } = this.#options;
    const known = this.#lease ?? (await findObject<Lease>(client, leaseRef(nodeName)));
    if (known) return client.update<Lease>(leaseRef(nodeName), this.#renewed(known));
    return client.create<Lease>({ resource: leaseRef("").resource, namespace }, this.#renewed(undefined));
  }

  #renewed(known: Lease | undefined): Lease {
    const { nodeName, clock, node } = this.#options;
    const uid = node()?.metadata?.uid;
    const owner = uid === undefined ? [] : [{ apiVersion: "v1", kind: "Node", name: nodeName, uid }];
    const renewTime = new Date(clock.now()).toISOString().replace("Z", "000Z");
    return {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { ...known?.metadata, name: nodeName, namespace, ownerReferences: owner },
      spec: { ...known?.spec, holderIdentity: nodeName, leaseDurationSeconds: durationSeconds, renewTime },
    };
  }
}

function leaseRef(name: string): ResourceRef {
  const resource = { group: "coordination.k8s.io", version: "v1", resource: "leases" };
  return { resource, namespace, name };
}

/**
 * What a node stands on: where its pods run and how packets and names find them. With root that is the kernel (`rooted-ground.ts`), without it processes and loopback addresses
 * (`rootless-ground.ts`).
 */
import type { EventRecorder } from "#client/event-recorder.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Cluster, MachineContext } from "#cmd/machine/clusters.ts";
import type { NodePlan } from "#cmd/machine/node-plan.ts";
import type { ProcessSpec } from "#cmd/machine/processes.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageService, ImageVolumes } from "#kubelet/container-runtime.ts";
import type { KubeletOptions } from "#kubelet/kubelet.ts";
import type { RuntimeClasses } from "#providers/runtime-classes.ts";

/** Where DNS answers without root when the usual port is not to be had. */
export const highDnsPort = 10_053;

/** What a ground is made with. */
export type GroundOptions = {
  readonly cluster: Cluster;
  readonly context: MachineContext;
  readonly plan: NodePlan;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Where pods run. The runtime is not started. */
export type GroundPlace = {
  readonly runtime: RuntimeClasses;
  readonly images: ImageService;
  readonly imageVolumes?: ImageVolumes;
  /** Kills what would not notice that it is to stop. */
  readonly stopDeaf: () => Promise<void>;
};

/** The parts of a node that depend on what it may do on its machine. */
export interface NodeGround {
  /** Prepares the machine's network. May be called again. */
  prepareNetwork(): Promise<void>;
  /** Makes the place where pods run; called once. */
  createPlace(): Promise<GroundPlace>;
  /** Cluster DNS. It begins before the informers, which are started by the caller, know anything. */
  createDns(informers: InformerFactory): Promise<Service>;
  /** The service proxy, and what else has to do with Services. */
  networkParts(informers: InformerFactory, events: EventRecorder): readonly Service[];
  /** What the kubelet has to be told beside what it always is. */
  readonly kubelet: Pick<KubeletOptions, "usage" | "taints" | "labels">;
  /** How a control plane that died is started from here. */
  readonly controlPlaneSpec: Pick<ProcessSpec, "prefix" | "inherit">;
}

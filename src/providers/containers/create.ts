/**
 * Makes the containers provider of a node from its settings.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { ImageStore } from "#images/image-store.ts";
import { ImagePuller } from "#images/pull.ts";
import type { RegistrySettings } from "#images/registry-client.ts";
import type { ContainerRuntime, ImageService, ImageVolumes } from "#kubelet/container-runtime.ts";
import { loadLibc } from "#linux/libc.ts";
import { AddressPool } from "#runtime/addresses.ts";
import type { MachineCapabilities } from "#runtime/machine.ts";
import { createImageVolumes } from "./image-volumes.ts";
import { ContainersRuntime } from "./containers-runtime.ts";
import { ImagesService } from "./images-service.ts";

/** Where a node's containers live and what they may use. */
export type ContainersProviderOptions = {
  /** This node's own, on disk: "<data>/nodes/NODE/runtime". */
  readonly stateFolder: string;
  /** This node's own, gone after a reboot, and short: "/run/nodeless/NAME/NODE". */
  readonly runFolder: string;
  /** Shared by all nodes and clusters of the machine: "/var/lib/nodeless/images". */
  readonly imagesFolder: string;
  /** How registries are reached. Default: HTTPS with the system's authorities and /etc/containers/certs.d. */
  readonly registries?: RegistrySettings | (() => Promise<RegistrySettings>);
  readonly podCidr: string;
  readonly nodeAddress?: string | undefined;
  /** Control group of all of this node's pods: "/nodeless-NAME-NODE". */
  readonly cgroupParent: string;
  /** Begins the names of pods' devices on this node, at most 11 characters. */
  readonly linkPrefix: string;
  readonly mtu?: number | undefined;
  /** Default: crun where it works, else runc. */
  readonly ociRuntime?: "crun" | "runc" | undefined;
  readonly searchPath: string;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A runtime and its images. Start the runtime before either is used. */
export type ContainersProvider = {
  readonly runtime: ContainerRuntime &
    Service & { readonly machine: MachineCapabilities } & Pick<ContainersRuntime, "stopDeaf">;
  readonly images: ImageService;
  readonly imageVolumes: ImageVolumes;
  /** For loading images from files and for collecting garbage. */
  readonly imageStore: ImageStore;
  /** The node's, for its other runtimes. */
  readonly addresses: AddressPool;
};

/** Loads what is needed and joins it; nothing runs yet. */
export async function createContainersProvider(options: ContainersProviderOptions): Promise<ContainersProvider> {
  const { imagesFolder, clock } = options;
  const libc = await loadLibc();
  const imageStore = new ImageStore({ folder: imagesFolder, clock, specialFiles: libc });
  const addresses = new AddressPool(options.podCidr);
  const runtime = new ContainersRuntime({ ...options, images: imageStore, addresses });
  const settings = options.registries ?? { certificateFolders: ["/etc/containers/certs.d", "/etc/docker/certs.d"] };
  const puller = new ImagePuller({ store: imageStore, settings });
  const images = new ImagesService({ store: imageStore, puller });
  return {
    runtime,
    images,
    imageVolumes: createImageVolumes({ store: imageStore, libc }),
    imageStore,
    addresses,
  };
}

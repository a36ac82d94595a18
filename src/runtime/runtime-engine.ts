/**
 * Puts the room together: machine, images, addresses, sandboxes, containers. What is handed out are the parts; who uses them speaks to each.
 */
import { closeSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageStore } from "#images/image-store.ts";
import { openCgroups } from "#linux/cgroups/open-cgroups.ts";
import { linkMtu } from "#linux/ip.ts";
import { type Libc, loadLibc } from "#linux/libc.ts";
import { loadPrograms } from "#linux/programs.ts";
import { readBootId } from "#linux/processes.ts";
import { AddressPool } from "./addresses.ts";
import type { ContainerRecord } from "./container-record.ts";
import { Containers } from "./containers.ts";

import { detectCapabilities, type MachineCapabilities } from "./machine.ts";
import { OciMaker } from "./oci-maker.ts";
import { RecordFolder } from "./records.ts";
import { SandboxNetworks } from "./sandbox-network.ts";
import { type SandboxRecord, Sandboxes } from "./sandboxes.ts";

/** Where things are and what they may use. Folders are absolute and this node's alone, but the image store. */
export type RuntimeOptions = {
  /** Survives reboots: records and root file systems. */
  readonly stateFolder: string;
  /** Need not survive them: pins, sockets, exit codes. Short, for the names of sockets are bounded. */
  readonly runFolder: string;
  /** Addresses for sandboxes: "10.42.0.0/24". */
  readonly podCidr: string;
  /** Source address of the node's own connections to its sandboxes. */
  readonly nodeAddress?: string | undefined;
  /** At most 11 characters; different for every node of a machine that shares a network. */
  readonly linkPrefix: string;
  /** Largest packet. Default: that of the device which the default route leaves by. */
  readonly mtu?: number | undefined;
  /** Default: crun where it works, else runc. */
  readonly ociRuntime?: "crun" | "runc" | undefined;
  /** Where programs are looked for. */
  readonly searchPath: string;
  /** Shared by all engines of one node. Default: this engine has the range for itself. */
  readonly addresses?: AddressPool | undefined;
  /** What the machine can do, where another engine has found it out. Default: this one looks, and says what is missing. */
  readonly machine?: MachineCapabilities | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** What every engine has, whatever cages its processes. */
export type CagingEngine = {
  readonly libc: Libc;
  readonly machine: Pick<MachineCapabilities, "sysResource">;
  readonly networks: Pick<SandboxNetworks, "insideNetwork">;
  readonly sandboxes: CagingSandboxes;
  readonly containers: Containers;
  /** Where a sandbox's own sockets listen, and are reached from the node inside of its network. */
  readonly ownAddress: (sandbox: SandboxRecord) => OwnAddress;
  /** Stops watching. All that runs, runs on. */
  close(): void;
};

/** Sandboxes, however they are made. */
export type CagingSandboxes = Omit<Sandboxes, "open" | "namespacePaths" | "shmFolder">;

/** Addresses of a sandbox as seen from within its network. */
export type OwnAddress = { readonly listen: string; readonly connect: string };

/** The parts, opened. */
export type RuntimeEngine = CagingEngine & {
  readonly machine: MachineCapabilities;
  readonly networks: SandboxNetworks;
  readonly sandboxes: Sandboxes;
  readonly runtimeRoot: string;
};

/** Opens everything and takes over what runs from before. */
export async function openRuntime(options: RuntimeOptions, images: ImageStore): Promise<RuntimeEngine> {
  const { clock, logger, stateFolder, runFolder } = options;
  // Containers inherit it, and the roots that are made for them must be open to users of theirs.
  process.umask(0o022);
  const [libc, programs, machine] = await Promise.all([
    loadLibc(),
    loadPrograms(),
    options.machine ?? lookAround(options),
  ]);
  const [pins, runtimeRoot, exitFolder] = ["ns", "oci", "exits"].map((name) => join(runFolder, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [stateFolder, pins, runtimeRoot, exitFolder])
    mkdirSync(folder, { recursive: true, mode: 0o700 });

  const bootId = readBootId();
  const cgroups = openCgroups();
  const addresses = options.addresses ?? new AddressPool(options.podCidr);
  const networks = new SandboxNetworks({
    libc,
    folder: pins,
    nodeAddress: options.nodeAddress,
    mtu: options.mtu ?? findMtu(libc),
    linkPrefix: options.linkPrefix,
  });
  const sandboxRecords = new RecordFolder<SandboxRecord>(join(stateFolder, "sandboxes"));
  const containerRecords = new RecordFolder<ContainerRecord>(join(stateFolder, "containers"));
  sandboxRecords.open();
  containerRecords.open();
  networks.open();
  const common = { libc, clock, logger, machine, cgroups, bootId, runtimeRoot };
  const sandboxes = new Sandboxes({ ...common, networks, addresses, records: sandboxRecords });
  const findProcess = (id: string): number => containers.runningProcess(id).pid;
  const maker = new OciMaker({ libc, programs, machine, images, sandboxes, runtimeRoot, findProcess, logger });
  const containers: Containers = new Containers({
    ...common,
    maker,
    images,
    sandboxes,
    records: containerRecords,
    exitFolder,
  });
  sandboxes.open();
  await containers.open();
  return {
    libc,
    machine,
    networks,
    sandboxes,
    containers,
    runtimeRoot,
    // The network is the sandbox's alone.
    ownAddress: () => ({ listen: "0.0.0.0", connect: "127.0.0.1" }),
    close() {
      containers.close();
      sandboxes.close();
      networks.close();
    },
  };
}

async function lookAround({ searchPath, ociRuntime, logger }: RuntimeOptions): Promise<MachineCapabilities> {
  const machine = await detectCapabilities(searchPath, { wanted: ociRuntime });
  for (const note of machine.notes) logger.warn("Found a limit of this machine", { note });
  return machine;
}

const usualMtu = 1500;

// A sandbox with larger packets than the way out would depend on everybody's routers saying so.
function findMtu(libc: Libc): number {
  const line = readFileSync("/proc/net/route", "utf8")
    .split("\n")
    .find((candidate) => candidate.split("\t")[1] === "00000000");
  const device = line?.split("\t")[0];
  if (device === undefined) return usualMtu;
  const socket = libc.openNetlink();
  try {
    return Math.min(usualMtu, linkMtu(libc, socket, device));
  } finally {
    closeSync(socket);
  }
}

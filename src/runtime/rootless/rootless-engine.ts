/**
 * Puts the parts together that cage processes without root: the same accounts of sandboxes and containers, with other walls.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ImageStore } from "#images/image-store.ts";
import { loadLibc } from "#linux/libc.ts";
import { readBootId } from "#linux/processes.ts";
import { compileFilter } from "#linux/seccomp-filter.ts";
import type { AddressPool } from "#runtime/addresses.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import { Containers } from "#runtime/containers.ts";
import { RecordFolder } from "#runtime/records.ts";
import type { CagingEngine } from "#runtime/runtime-engine.ts";
import type { SandboxRecord } from "#runtime/sandboxes.ts";
import { defaultSeccomp, type SeccompRule } from "#runtime/seccomp.ts";
import { AddressSandboxes } from "./address-sandboxes.ts";
import { ProcessBounds } from "./process-bounds.ts";
import { RootlessMaker } from "./rootless-maker.ts";
import type { NamespaceSupport } from "./user-namespaces.ts";

/** Where things are. Folders are absolute and this node's alone, but the image store. */
export type RootlessEngineOptions = {
  /** Survives reboots. */
  readonly stateFolder: string;
  /** Need not survive them. */
  readonly runFolder: string;
  readonly images: ImageStore;
  /** Addresses for sandboxes, out of 127.0.0.0/8. */
  readonly addresses: AddressPool;
  readonly namespaces: NamespaceSupport;
  readonly searchPath: string;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** What processes that have no wall around their sight may not do to each other. */
const refusedWithoutNamespaces = new Set(
  "ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd pidfd_send_signal kcmp kill tkill".split(" "),
);

/** Opens everything and takes over what runs from before. */
export async function openRootlessEngine(options: RootlessEngineOptions): Promise<CagingEngine> {
  const { clock, logger, images, addresses, stateFolder, runFolder, namespaces, searchPath } = options;
  const exitFolder = join(runFolder, "exits");
  const filterFile = join(runFolder, "filter");
  for (const folder of [stateFolder, exitFolder]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(filterFile, compileFilter(rulesFor(namespaces)), { mode: 0o600 });
  const libc = await loadLibc();
  const bootId = readBootId();
  const records = new RecordFolder<ContainerRecord>(join(stateFolder, "containers"));
  const sandboxRecords = new RecordFolder<SandboxRecord>(join(stateFolder, "sandboxes"));
  records.open();
  sandboxRecords.open();
  const bounds = new ProcessBounds({ clock, processes: () => running(containers) });
  const sandboxes = new AddressSandboxes({ clock, bounds, records: sandboxRecords, addresses, bootId });
  const maker = new RootlessMaker({ libc, logger, namespaces, filterFile, searchPath });
  const containers: Containers = new Containers({
    clock,
    logger,
    maker,
    cgroups: bounds,
    images,
    sandboxes,
    records,
    bootId,
    exitFolder,
  });
  sandboxes.open();
  await containers.open();
  return {
    libc,
    machine: { sysResource: false },
    networks: { insideNetwork: (_key, inside) => inside() },
    sandboxes,
    containers,
    // The network is everybody's: a sandbox is its address.
    ownAddress: ({ namespaces: { address = "127.0.0.1" } }) => ({ listen: address, connect: address }),
    close() {
      containers.close();
      sandboxes.close();
      bounds.close();
    },
  };
}

function running(containers: Containers) {
  return containers
    .list()
    .flatMap(({ phase, cgroupPath, container }) =>
      phase === "running" && container ? [{ cgroupPath, process: container }] : [],
    );
}

function rulesFor(namespaces: NamespaceSupport): readonly SeccompRule[] {
  const { syscalls } = defaultSeccomp(new Set()) as { readonly syscalls: readonly SeccompRule[] };
  if ("prefix" in namespaces) return syscalls;
  return syscalls.map((rule) => ({ ...rule, names: rule.names.filter((name) => !refusedWithoutNamespaces.has(name)) }));
}

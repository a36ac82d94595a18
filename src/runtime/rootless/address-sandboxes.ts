/**
 * Sandboxes without root: an address of the machine's loopback range, and a record. The network is the machine's own; all other walls stand around each process.
 */
import { rmSync } from "node:fs";
import type { Clock } from "#component-base/clock.ts";
import type { Cgroups } from "#linux/cgroups/cgroups.ts";
import type { AddressPool } from "#runtime/addresses.ts";
import type { RecordFolder } from "#runtime/records.ts";
import type { CagingSandboxes } from "#runtime/runtime-engine.ts";
import type { SandboxRecord } from "#runtime/sandboxes.ts";
import { RuntimeFailure, type SandboxSettings } from "#runtime/settings.ts";

/** What they are made of. */
export type AddressSandboxParts = {
  readonly clock: Clock;
  readonly bounds: Cgroups;
  readonly records: RecordFolder<SandboxRecord>;
  readonly addresses: AddressPool;
  readonly bootId: string;
};

/** All sandboxes of this node. */
export class AddressSandboxes implements CagingSandboxes {
  readonly #parts: AddressSandboxParts;
  readonly #known = new Map<string, SandboxRecord>();

  constructor(parts: AddressSandboxParts) {
    this.#parts = parts;
  }

  /** Reads the records. Those of another boot stay known as not ready until they are removed. */
  open(): void {
    const { records, addresses, bootId } = this.#parts;
    for (const { id, record } of records.list()) {
      if (!record) {
        rmSync(records.path(id), { recursive: true, force: true });
        continue;
      }
      this.#known.set(id, { ...record, isReady: record.isReady && record.bootId === bootId });
      if (record.namespaces.address) addresses.note(record.namespaces.address);
    }
  }

  close(): void {
    this.#parts.records.flush();
  }

  find(id: string): SandboxRecord | undefined {
    return this.#known.get(id);
  }

  list(): readonly SandboxRecord[] {
    return [...this.#known.values()];
  }

  folder(id: string): string {
    return this.#parts.records.path(id);
  }

  async ensure(settings: SandboxSettings): Promise<SandboxRecord> {
    const present = this.#known.get(settings.id);
    if (present?.isReady) return present;
    if (present) throw new RuntimeFailure("sandbox", `sandbox ${settings.id} is not ready and must be removed first`);
    const { addresses, clock, bootId } = this.#parts;
    const address = takeAddress(addresses);
    const namespaces = { key: address, types: [], address };
    return this.#write({ settings, bootId, createdMs: clock.now(), namespaces, isReady: true });
  }

  assign(
    id: string,
    settings: Pick<SandboxSettings, "hostname" | "domainname" | "sysctls" | "limits" | "attachment">,
  ): SandboxRecord {
    const record = this.#known.get(id);
    if (!record?.isReady) throw new RuntimeFailure("sandbox", `sandbox ${id} is not ready`);
    const [sysctl] = Object.keys(settings.sysctls);
    if (sysctl !== undefined) throw new RuntimeFailure("sandbox", `${sysctl} cannot be set without root`);
    const createdMs = this.#parts.clock.now();
    return this.#write({ ...record, createdMs, settings: { ...record.settings, ...settings } });
  }

  setLimits(id: string, limits: SandboxSettings["limits"]): void {
    const record = this.#known.get(id);
    if (record) this.#parts.bounds.setLimits(record.settings.cgroupPath, limits);
  }

  updateLimits(id: string, limits: SandboxSettings["limits"]): void {
    const record = this.#known.get(id);
    if (!record) return;
    this.#parts.bounds.setLimits(record.settings.cgroupPath, limits);
    this.#write({ ...record, settings: { ...record.settings, limits: { ...record.settings.limits, ...limits } } });
  }

  retire(id: string): void {
    const record = this.#known.get(id);
    if (record) this.#known.set(id, { ...record, isReady: false });
  }

  async remove(id: string): Promise<void> {
    const record = this.#known.get(id);
    if (!record) return;
    const { bounds, addresses, records } = this.#parts;
    bounds.remove(record.settings.cgroupPath);
    await records.remove(id);
    this.#known.delete(id);
    if (record.namespaces.address) addresses.giveBack(record.namespaces.address);
  }

  #write(record: SandboxRecord): SandboxRecord {
    this.#parts.records.write(record.settings.id, record);
    this.#known.set(record.settings.id, record);
    return record;
  }
}

function takeAddress(addresses: AddressPool): string {
  try {
    return addresses.take();
  } catch (cause) {
    throw new RuntimeFailure("sandbox", (cause as Error).message, { cause });
  }
}

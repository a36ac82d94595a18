/**
 * What is known of all containers: their records, in memory and written down.
 */
import { join } from "node:path";
import type { Logger } from "#component-base/logger.ts";
import { isRunning, type ProcessIdentity } from "#linux/processes.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { RecordFolder } from "./records.ts";
import { RuntimeFailure } from "./settings.ts";

/** Records by the container's id. Each write is done when it returns, but for {@link writeSoon}. */
export class ContainerTable {
  readonly #records: RecordFolder<ContainerRecord>;
  readonly #logger: Logger;
  readonly #known = new Map<string, ContainerRecord>();

  constructor(records: RecordFolder<ContainerRecord>, logger: Logger) {
    this.#records = records;
    this.#logger = logger;
  }

  /** Reads what a process before has written; a record that is damaged is none. */
  read(): readonly { readonly id: string; readonly record: ContainerRecord | undefined }[] {
    const found = this.#records.list();
    for (const { id, record } of found) if (record) this.#known.set(id, record);
    return found;
  }

  find(id: string): ContainerRecord | undefined {
    return this.#known.get(id);
  }

  /** One that runs: its record and its first process. Throws {@link RuntimeFailure}. */
  running(id: string): { readonly record: ContainerRecord; readonly process: ProcessIdentity } {
    const record = this.#known.get(id);
    if (record?.phase !== "running" || !record.container || !isRunning(record.container))
      throw new RuntimeFailure("start", `container ${id} is not running`);
    return { record, process: record.container };
  }

  list(): readonly ContainerRecord[] {
    return [...this.#known.values()];
  }

  /** Folder with the container's record, bundle and root file system. */
  folder(id: string): string {
    return this.#records.path(id);
  }

  /** Folder with what the container changed in its root file system. */
  writtenFolder(id: string): string {
    return join(this.folder(id), "upper");
  }

  write(record: ContainerRecord): ContainerRecord {
    this.#records.write(record.id, record);
    this.#known.set(record.id, record);
    return record;
  }

  /** Writes it down in the next turn: an agent that dies before finds what was written last. */
  writeSoon(record: ContainerRecord): ContainerRecord {
    this.#records.writeSoon(record.id, record, (error) => {
      this.#logger.warn("Could not write the record of a container", { container: record.id, error });
    });
    this.#known.set(record.id, record);
    return record;
  }

  /** With all that is in its folder. */
  async remove(id: string): Promise<void> {
    await this.#records.remove(id);
    this.#known.delete(id);
  }

  /** Writes what {@link writeSoon} has left. */
  flush(): void {
    this.#records.flush();
  }
}

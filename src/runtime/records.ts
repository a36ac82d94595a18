/**
 * Records on disk: one JSON file per folder, written whole or not at all. Read by whoever comes after a crash. A damaged one (power lost while writing) counts as none.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

/** Records of type T, each in a folder of its own that may hold more of what belongs to it. */
export class RecordFolder<T> {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  open(): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
  }

  path(id: string): string {
    return join(this.folder, id);
  }

  write(id: string, record: T): void {
    const folder = this.path(id);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, "record.part"), JSON.stringify(record), { mode: 0o600 });
    renameSync(join(folder, "record.part"), join(folder, "record.json"));
  }

  /** All ids, also those whose record is missing or damaged. */
  list(): readonly { readonly id: string; readonly record: T | undefined }[] {
    return readdirSync(this.folder).map((id) => ({ id, record: this.#read(id) }));
  }

  /** Removes the record and all in its folder. Unknown is success. */
  async remove(id: string): Promise<void> {
    await rm(this.path(id), { recursive: true, force: true });
  }

  #read(id: string): T | undefined {
    try {
      return JSON.parse(readFileSync(join(this.path(id), "record.json"), "utf8")) as T;
    } catch {
      return undefined;
    }
  }
}

/**
 * Records on disk: one JSON file per folder, written whole or not at all. Read by whoever comes after a crash. A damaged one (power lost while writing) counts as none.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

/** Records of type T, each in a folder of its own that may hold more of what belongs to it. */
export class RecordFolder<T> {
  readonly folder: string;
  /** Records that are still to be written, and who hears when that fails. */
  readonly #due = new Map<string, { readonly record: T; readonly onFailure: (error: unknown) => void }>();
  #writing: NodeJS.Immediate | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  open(): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
  }

  path(id: string): string {
    return join(this.folder, id);
  }

  /** Writes when this turn of the event loop is over: for what is worth nothing if the agent dies before, so that it can be told first. */
  writeSoon(id: string, record: T, onFailure: (error: unknown) => void): void {
    this.#due.set(id, { record, onFailure });
    this.#writing ??= setImmediate(() => this.flush());
  }

  /** Writes what is due now. */
  flush(): void {
    clearImmediate(this.#writing);
    this.#writing = undefined;
    for (const [id, { record, onFailure }] of this.#due) {
      try {
        this.write(id, record);
      } catch (error) {
        onFailure(error);
      }
    }
  }

  write(id: string, record: T): void {
    this.#due.delete(id);
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
    this.#due.delete(id);
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

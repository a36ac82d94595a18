/**
 * Records on disk: one JSON file per folder, written whole or not at all. Read by whoever comes after a crash. A damaged one (power lost while writing) counts as none.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "#component-base/missing-file.ts";

type Due<T> = { readonly record: T; readonly onFailure: (error: unknown) => void };

/** Records of type T, each in a folder of its own that may hold more of what belongs to it. */
export class RecordFolder<T> {
  readonly folder: string;
  /** Records that are still to be written, and who hears when that fails. */
  readonly #due = new Map<string, Due<T>>();
  #soon: NodeJS.Immediate | undefined;
  /** The record that is being written beside other work. */
  #underWay: (Due<T> & { readonly id: string; readonly done: Promise<void> }) | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  open(): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
  }

  path(id: string): string {
    return join(this.folder, id);
  }

  /**
   * Writes when this turn of the event loop is over, and without holding up the next ones: to replace a file on a busy disk may take longer than the start of a pod. For what is worth nothing if the agent dies
   * before, so that it can be told first.
   */
  writeSoon(id: string, record: T, onFailure: (error: unknown) => void): void {
    this.#due.set(id, { record, onFailure });
    if (this.#underWay === undefined) this.#soon ??= setImmediate(() => void this.#writeDue()); // never rejects
  }

  /** Writes what is due now, and what is under way: nobody may be there to see the end of that. */
  flush(): void {
    clearImmediate(this.#soon);
    this.#soon = undefined;
    const current = this.#underWay;
    if (current !== undefined && !this.#due.has(current.id)) this.#due.set(current.id, current);
    // What is written meanwhile may be due again.
    const due = [...this.#due];
    for (const [id, { record, onFailure }] of due) {
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
    // The one that is under way is older, and may come to stand over this one.
    if (this.#underWay?.id === id) this.#due.set(id, { record, onFailure: () => {} });
  }

  /** One after the other: a newer one of the same folder comes after an older one. */
  async #writeDue(): Promise<void> {
    this.#soon = undefined;
    for (;;) {
      const [next] = this.#due;
      if (next === undefined) break;
      const [id, { record, onFailure }] = next;
      this.#due.delete(id);
      const done = this.#writeBeside(id, record).catch(onFailure);
      this.#underWay = { id, record, onFailure, done };
      await done;
    }
    this.#underWay = undefined;
  }

  async #writeBeside(id: string, record: T): Promise<void> {
    const folder = this.path(id);
    // A new file takes less than a trip through the thread pool; it is the rename that may wait for the disk.
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, "record.next"), JSON.stringify(record), { mode: 0o600 });
    await rename(join(folder, "record.next"), join(folder, "record.json"));
  }

  /** All ids, also those whose record is missing or damaged. Throws where one cannot be read: it may be of something that runs. */
  list(): readonly { readonly id: string; readonly record: T | undefined }[] {
    return readdirSync(this.folder).map((id) => ({ id, record: this.#read(id) }));
  }

  /** Removes the record and all in its folder. Unknown is success. */
  async remove(id: string): Promise<void> {
    this.#due.delete(id);
    if (this.#underWay?.id === id) await this.#underWay.done;
    await rm(this.path(id), { recursive: true, force: true });
  }

  #read(id: string): T | undefined {
    try {
      return JSON.parse(readFileSync(join(this.path(id), "record.json"), "utf8")) as T;
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }
}

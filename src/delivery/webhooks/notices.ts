/**
 * Branches that are to be fetched because a host told of them: a file beside the repository, written before the host is answered, so that what was taken is not lost with this process.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "#delivery/push/records.ts";
import type { PushNotice } from "./push-notice.ts";

const fileName = "notices.json";

/** Of one repository. */
export class Notices {
  readonly #path: string;
  #writing: Promise<unknown> = Promise.resolve();

  /** `folder` is the repository's. */
  constructor(folder: string) {
    this.#path = join(folder, fileName);
  }

  async list(): Promise<readonly PushNotice[]> {
    const text = await readFile(this.#path, "utf8").catch(() => "[]");
    return JSON.parse(text) as readonly PushNotice[];
  }

  /** Is on the disk when it resolves. */
  async add(notice: PushNotice): Promise<void> {
    await this.#change((all) => [...all.filter(({ branch }) => branch !== notice.branch), notice]);
  }

  async remove({ branch }: PushNotice): Promise<void> {
    await this.#change((all) => all.filter((one) => one.branch !== branch));
  }

  async #change(how: (all: readonly PushNotice[]) => readonly PushNotice[]): Promise<void> {
    const writing = this.#writing.then(async () => writeDurably(this.#path, JSON.stringify(how(await this.list()))));
    this.#writing = writing.catch(() => {}); // told below
    await writing;
  }
}

/**
 * Objects that were made ready for new clusters, in the form in which a store keeps them: they are validated, have their owners of fields, and definitions among them are established already. Written in one
 * transaction before anything is served, they cost a start next to nothing. Who makes sure of such objects at each start finds them, and mends what it must.
 */
import { randomUUID } from "node:crypto";
import { formatTime } from "#apimachinery/time.ts";
import { REGISTRY_PREFIX } from "#apiserver/storage/stored-resource.ts";
import type { Store } from "#store/store.ts";

/** Revision of a store that nobody has written to. */
const newStore = 1;
const time = /"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"/g;
const uid = /"uid":"[-0-9a-f]{36}"/;
const timeMark = '"@time@"';
const uidMark = '"uid":"@uid@"';

/** The objects of a store under keys that `isWanted`, a line each, without uids and times. None may be kept encrypted. */
export async function packFirstObjects(store: Store, isWanted: (key: string) => boolean): Promise<string> {
  const { entries } = await store.range({ prefix: REGISTRY_PREFIX });
  const lines = entries
    .filter(({ key }) => isWanted(key))
    .map(({ key, value }) => {
      const text = Buffer.from(value).toString().replaceAll(time, timeMark).replace(uid, uidMark);
      return `${key} ${text}\n`;
    });
  return lines.join("");
}

/** The keys of what {@link packFirstObjects} gave. */
export function keysOfFirstObjects(packed: string): readonly string[] {
  return linesOf(packed).map((line) => line.slice(0, line.indexOf(" ")));
}

/** Writes what {@link packFirstObjects} gave, if the store is new; false if it is not. */
export async function writeFirstObjects(store: Store, packed: () => Promise<string>, nowMs: number): Promise<boolean> {
  if (store.currentRevision() !== newStore) return false;
  const now = JSON.stringify(formatTime(nowMs));
  const operations = linesOf(await packed()).map((line) => {
    const end = line.indexOf(" ");
    const text = line
      .slice(end + 1)
      .replaceAll(timeMark, now)
      .replace(uidMark, `"uid":"${randomUUID()}"`);
    return { key: line.slice(0, end), value: Buffer.from(text), expectedRevision: 0 };
  });
  return operations.length > 0 && (await store.write(operations)).ok;
}

function linesOf(packed: string): readonly string[] {
  return packed.split("\n").filter((line) => line !== "");
}

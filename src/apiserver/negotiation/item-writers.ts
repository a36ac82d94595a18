/**
 * Items of lists, written into a piece of memory out of what lies ready with each stored object: its JSON, its metadata, its row of a Table.
 */
import { AGES_LATER, withAges } from "#api/printers/cells.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Draft, TablePrinter } from "#api/strategy.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { PartialReader } from "#apiserver/storage/partial-reader.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import type { TableOptions } from "./table.ts";

/** Writes items of one form, one after another: first asks for the room that one needs at most, then writes it. */
export type ItemWriter = {
  readonly room: (object: StoredObject) => number;
  /** Gives the offset behind what was written. */
  readonly write: (object: StoredObject, target: Buffer, offset: number) => number;
};

/** Objects of a list. Those of built-in kinds are without kind and apiVersion, which the list says: as Go's typed lists. */
export function jsonItems(resource: ServedResource): ItemWriter {
  return objectItems(resource.isCustom ? resource.head : METADATA);
}

const METADATA = Buffer.from('{"metadata":{');

/** Objects, beginning with this head. */
function objectItems(head: Buffer): ItemWriter {
  return {
    room: (object) => object.maxJsonLength(head),
    write: (object, target, offset) => object.writeJson(target, offset, head),
  };
}

/** Metadata alone. */
export function metadataItems(version: string): ItemWriter {
  const head = metadataHead(version);
  return {
    room: (object) => head.length + object.metadataLength + 2,
    write: (object, target, offset) => writeMetadata(object, head, { target, offset }),
  };
}

/** Rows of a Table. Cells are printed once, with the times that ages are reckoned from. */
export function rowItems(
  resource: ServedResource,
  printer: TablePrinter,
  row: { readonly includeObject: TableOptions["includeObject"]; readonly version: string; readonly nowMs: number },
): ItemWriter {
  const objects = row.includeObject === "Object" ? objectItems(resource.head) : metadataItems(row.version);
  const hasObject = row.includeObject !== "None";
  const parsed = parserOf(resource, printer);
  let text = "";
  return {
    room: (object) => {
      text = withAges(
        object.rowOf(printer, () => rowText(printer, parsed(object))),
        row.nowMs,
      );
      return text.length * 3 + OBJECT.length + 1 + (hasObject ? objects.room(object) : 0);
    },
    write: (object, target, offset) => {
      let at = offset + target.write(text, offset);
      if (hasObject) {
        at += OBJECT.copy(target, at);
        at = objects.write(object, target, at);
      }
      target[at] = 0x7d;
      return at + 1;
    },
  };
}

const OBJECT = Buffer.from(',"object":');

/** As little as the printer needs. */
function parserOf({ isCustom }: ServedResource, { unread }: TablePrinter): (object: StoredObject) => KubeObject {
  if (isCustom) return (object) => object.passing;
  if (unread === undefined) return (object) => object.lean;
  const reader = new PartialReader(unread);
  return (object) => object.partial(reader);
}

/** `{"cells":[…],"conditions":[…]`, without the closing brace. */
function rowText(printer: TablePrinter, object: KubeObject): string {
  const conditions = printer.conditions?.(object as Draft) ?? [];
  const cells = JSON.stringify(printer.row(object as Draft, AGES_LATER));
  return `{"cells":${cells}${conditions.length === 0 ? "" : `,"conditions":${JSON.stringify(conditions)}`}`;
}

function metadataHead(version: string): Buffer {
  return Buffer.from(`{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/${version}","metadata":{`);
}

function writeMetadata(
  object: StoredObject,
  head: Buffer,
  place: { readonly target: Buffer; readonly offset: number },
): number {
  const { target, offset } = place;
  target.set(head, offset);
  const at = object.writeMetadata(target, offset + head.length);
  target[at] = 0x7d;
  target[at + 1] = 0x7d;
  return at + 2;
}

/**
 * What `kubectl explain` says of kinds and fields: upstream's words, which a bundle carries in a file that tools/words.ts makes from a dependency. Without the file,
 * as when sources run as they are, there are only those of descriptions.ts.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";

/** Words by name of the struct ("PodSpec" under its version, as "V1PodSpec") and of the field; "" is the struct itself. */
export type WordsByClass = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Finds words. */
export class Words {
  readonly #byClass: ReadonlyMap<string, ReadonlyMap<string, string>>;

  constructor(byClass: WordsByClass) {
    this.#byClass = new Map(Object.entries(byClass).map(([name, fields]) => [name, new Map(Object.entries(fields))]));
  }

  /** How many structs there are words for. */
  get size(): number {
    return this.#byClass.size;
  }

  /** Words for a field of a struct such as "io.k8s.api.core.v1.PodSpec", or with "" for the struct. */
  find(structName: string, fieldName: string): string | undefined {
    const [group = "", version = "", name = ""] = structName.split(".").slice(-3);
    const plain = `${capital(version)}${name}`;
    // Structs of one name in several groups bear their group's.
    const fields = this.#byClass.get(`${capital(group)}${plain}`) ?? this.#byClass.get(plain);
    return fields?.get(fieldName);
  }
}

/** The words of the bundle that runs; none elsewhere. Asked for once, with the first OpenAPI document. */
export async function loadWords(): Promise<Words> {
  const here = import.meta.dirname;
  const path = [join(here, "words.json.br"), join(here, "../words.json.br")].find((file) => existsSync(file));
  if (path === undefined) return new Words({});
  const text = await promisify(brotliDecompress)(await readFile(path));
  return new Words(JSON.parse(text.toString()) as WordsByClass);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

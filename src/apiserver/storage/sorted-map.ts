/**
 * A map in the order of its keys whose snapshots are nearly free: the heart of the watch cache. Keys stand in chunks of a few hundred; a snapshot copies the list of chunks, and
 * a later write copies only the chunk that it touches. So a list of 100,000 objects can be written out in slices, at one revision, while writes go on.
 */

const MAX_CHUNK = 512;

type Chunk<V> = { readonly keys: string[]; readonly values: V[]; epoch: number };

/** A map's content at one moment. Never changes. */
export class SortedSnapshot<V> {
  readonly size: number;
  readonly #chunks: readonly Chunk<V>[];

  constructor(chunks: readonly Chunk<V>[], size: number) {
    this.#chunks = chunks;
    this.size = size;
  }

  /** Values of keys that begin with `prefix`, from `startKey` (inclusive) on, in order. */
  *from(prefix: string, startKey: string = prefix): Generator<V, void, undefined> {
    const first = startKey > prefix ? startKey : prefix;
    let chunkIndex = findChunk(this.#chunks, first);
    let index = chunkIndex < 0 ? 0 : lowerBound((this.#chunks[chunkIndex] as Chunk<V>).keys, first);
    if (chunkIndex < 0) chunkIndex = 0;
    for (; chunkIndex < this.#chunks.length; chunkIndex++, index = 0) {
      const { keys, values } = this.#chunks[chunkIndex] as Chunk<V>;
      for (; index < keys.length; index++) {
        if (!(keys[index] as string).startsWith(prefix)) return;
        yield values[index] as V;
      }
    }
  }

  /** How many keys begin with `prefix`, from `startKey` (inclusive) on. */
  count(prefix: string, startKey: string = prefix): number {
    const first = startKey > prefix ? startKey : prefix;
    return this.#rank(`${prefix}\uffff`) - this.#rank(first);
  }

  // How many keys stand before `key`.
  #rank(key: string): number {
    const chunkIndex = findChunk(this.#chunks, key);
    if (chunkIndex < 0) return 0;
    let rank = lowerBound((this.#chunks[chunkIndex] as Chunk<V>).keys, key);
    for (let i = 0; i < chunkIndex; i++) rank += (this.#chunks[i] as Chunk<V>).keys.length;
    return rank;
  }
}

/** Keys in order with values. */
export class SortedMap<V> {
  readonly #byKey = new Map<string, V>();
  #chunks: Chunk<V>[] = [];
  #epoch = 0;

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): V | undefined {
    return this.#byKey.get(key);
  }

  set(key: string, value: V): void {
    const isNew = !this.#byKey.has(key);
    this.#byKey.set(key, value);
    if (this.#chunks.length === 0) {
      this.#chunks.push({ keys: [key], values: [value], epoch: this.#epoch });
      return;
    }
    const chunkIndex = Math.max(0, findChunk(this.#chunks, key));
    const chunk = this.#writable(chunkIndex);
    const index = lowerBound(chunk.keys, key);
    if (!isNew) {
      chunk.values[index] = value;
      return;
    }
    chunk.keys.splice(index, 0, key);
    chunk.values.splice(index, 0, value);
    if (chunk.keys.length > MAX_CHUNK) this.#split(chunkIndex);
  }

  delete(key: string): boolean {
    if (!this.#byKey.delete(key)) return false;
    const chunkIndex = Math.max(0, findChunk(this.#chunks, key));
    const chunk = this.#writable(chunkIndex);
    const index = lowerBound(chunk.keys, key);
    chunk.keys.splice(index, 1);
    chunk.values.splice(index, 1);
    if (chunk.keys.length === 0) this.#chunks.splice(chunkIndex, 1);
    return true;
  }

  /** The content as it is now; later writes do not show in it. */
  snapshot(): SortedSnapshot<V> {
    this.#epoch++;
    return new SortedSnapshot([...this.#chunks], this.#byKey.size);
  }

  // A chunk of an earlier epoch may be part of a snapshot: it is copied before it is changed.
  #writable(chunkIndex: number): Chunk<V> {
    const chunk = this.#chunks[chunkIndex] as Chunk<V>;
    if (chunk.epoch === this.#epoch) return chunk;
    const copy = { keys: [...chunk.keys], values: [...chunk.values], epoch: this.#epoch };
    this.#chunks[chunkIndex] = copy;
    return copy;
  }

  #split(chunkIndex: number): void {
    const chunk = this.#chunks[chunkIndex] as Chunk<V>;
    // Names that rise (generated in order) only ever add at the end: a full chunk is then kept full.
    const isLast = chunkIndex === this.#chunks.length - 1;
    const middle = isLast ? MAX_CHUNK : MAX_CHUNK >> 1;
    const upper = { keys: chunk.keys.splice(middle), values: chunk.values.splice(middle), epoch: this.#epoch };
    this.#chunks.splice(chunkIndex + 1, 0, upper);
  }
}

// The last chunk whose first key is not after `key`; -1 when all are after it.
function findChunk<V>(chunks: readonly Chunk<V>[], key: string): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (((chunks[middle] as Chunk<V>).keys[0] as string) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

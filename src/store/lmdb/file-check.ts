/**
 * Checks the structure of an LMDB file by reading it as bytes: every page that the newest commit reaches, its nodes, order and counts, and that no free
 * page is in use. LMDB itself assumes all of it, and would end the process, or write over live pages, where it is not so.
 * Layout: mdb.c of lmdb-js 3.5 (data version 2), 64 bit, little-endian.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** One tree as a meta page or a node describes it. */
type Tree = {
  readonly name: string;
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
  readonly root: number;
};

/** One of the two pages that a file begins with; the newer one counts. */
type Meta = {
  readonly pageSize: number;
  readonly free: Tree;
  readonly main: Tree;
  readonly lastPage: number;
  readonly transaction: number;
};

/** One key with what belongs to it. */
type Node = { readonly key: Buffer; readonly flags: number; readonly size: number; readonly data: Buffer };

/** What walking a tree has found so far. */
type Counts = { branchPages: number; leafPages: number; overflowPages: number; entries: number };

/** What may stand in a page: keys from `low` on and below `high`. */
type Bounds = { readonly low: Buffer | undefined; readonly high: Buffer | undefined };

const PAGE_HEADER = 24;
const NODE_HEADER = 8;
const TREE_BYTES = 48;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
const META = 0x08;
const BIG_DATA = 0x01;
const SUB_TREE = 0x02;

class Damage extends Error {}

/** Says what is damaged, or nothing. Reads the file, changes nothing. */
export function findFileDamage(path: string): string | undefined {
  const file = openSync(path, "r");
  try {
    new FileCheck(file).run();
    return undefined;
  } catch (error) {
    if (error instanceof Damage) return error.message;
    throw error;
  } finally {
    closeSync(file);
  }
}

class FileCheck {
  readonly #file: number;
  readonly #size: number;
  readonly #meta: Meta;
  /** Which pages are reached; by page number. */
  readonly #used: Uint8Array;
  #freeBeyondEnd = 0;

  constructor(file: number) {
    this.#file = file;
    this.#size = fstatSync(file).size;
    this.#meta = this.#newestMeta();
    this.#used = new Uint8Array(Math.ceil(this.#size / this.#meta.pageSize));
    this.#used.fill(1, 0, 2);
  }

  run(): void {
    const { main, free } = this.#meta;
    const trees: Tree[] = [];
    this.#walkTree(main, Buffer.compare, (node) => {
      if (node.flags & SUB_TREE) trees.push(readTree(`table ${node.key.toString().replace("\0", "")}`, node.data, 0));
    });
    for (const tree of trees) this.#walkTree(tree, Buffer.compare, () => {});
    const freeLists: Node[] = [];
    this.#walkTree(free, compareNumbers, (node) => freeLists.push(node));
    for (const node of freeLists) this.#checkFreeList(node);
    // The last pages need not be in the file while they are free.
    const missing = this.#meta.lastPage + 1 - this.#used.length;
    if (missing > this.#freeBeyondEnd) throw new Damage(`the file ends ${missing} pages before its last page`);
  }

  #newestMeta(): Meta {
    const head = this.#bytes(0, 4096, "the first page");
    const pageSize = head.readUInt32LE(PAGE_HEADER + 24);
    if (![4096, 8192, 16384, 32768, 65536].includes(pageSize)) throw new Damage(`the page size is ${pageSize}`);
    const metas = [0, 1].map((number) => readMeta(number, this.#bytes(number * pageSize, pageSize, `page ${number}`)));
    const [even, odd] = metas as [Meta, Meta];
    if (even.pageSize !== odd.pageSize) throw new Damage("the two meta pages have different page sizes");
    // Commits write them in turn.
    if (Math.abs(even.transaction - odd.transaction) !== 1 || even.transaction % 2 !== 0) {
      throw new Damage(`the meta pages are of transactions ${even.transaction} and ${odd.transaction}`);
    }
    const newest = even.transaction > odd.transaction ? even : odd;
    return newest;
  }

  #walkTree(tree: Tree, compare: (a: Buffer, b: Buffer) => number, visit: (node: Node) => void): void {
    const counts: Counts = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
    if (tree.root >= 0) {
      const walk: Walk = { tree, compare, visit, counts };
      this.#walkPage(walk, tree.root, 1, { low: undefined, high: undefined });
    }
    for (const what of ["branchPages", "leafPages", "overflowPages", "entries"] as const) {
      if (counts[what] === tree[what]) continue;
      throw new Damage(`${tree.name} should have ${tree[what]} ${what}, but has ${counts[what]}`);
    }
  }

  #walkPage(walk: Walk, number: number, level: number, bounds: Bounds): void {
    const where = `page ${number} of ${walk.tree.name}`;
    const isLeaf = level === walk.tree.depth;
    const page = this.#page(number, isLeaf ? LEAF : BRANCH, where);
    const nodes = readNodes(page, isLeaf, where);
    checkOrder(nodes, bounds, walk.compare, isLeaf, where);
    if (isLeaf) {
      walk.counts.leafPages++;
      for (const node of nodes) this.#checkLeafNode(walk, node, where);
      return;
    }
    walk.counts.branchPages++;
    for (const [i, node] of nodes.entries()) {
      const low = i === 0 ? bounds.low : node.key;
      this.#walkPage(walk, node.size, level + 1, { low, high: nodes[i + 1]?.key ?? bounds.high });
    }
  }

  #checkLeafNode(walk: Walk, node: Node, where: string): void {
    walk.counts.entries++;
    const isMain = walk.tree.name === "the table of tables";
    if (node.flags !== 0 && node.flags !== BIG_DATA && !(isMain && node.flags === SUB_TREE)) {
      throw new Damage(`a node in ${where} has flags ${node.flags}`);
    }
    if (node.flags !== BIG_DATA) return walk.visit(node);
    const data = this.#overflow(walk, node, where);
    walk.visit({ ...node, data });
  }

  #overflow({ counts }: Walk, node: Node, where: string): Buffer {
    const first = pageNumber(node.data, 0, where);
    const pages = Number(node.data.readBigUInt64LE(16));
    const { pageSize } = this.#meta;
    if (pages !== Math.floor((PAGE_HEADER - 1 + node.size) / pageSize) + 1) {
      throw new Damage(`a value in ${where} of ${node.size} bytes claims ${pages} pages`);
    }
    const page = this.#page(first, OVERFLOW, `overflow page ${first}`);
    if (page.readUInt32LE(20) !== pages)
      throw new Damage(`overflow page ${first} does not have the length that ${where} says`);
    for (let next = first + 1; next < first + pages; next++) this.#use(next, `overflow page ${next}`);
    counts.overflowPages += pages;
    return this.#bytes(first * pageSize + PAGE_HEADER, node.size, `overflow page ${first}`);
  }

  /** A list of free pages: its length, then page numbers; a negative number is the length of the block that begins with the next. */
  #checkFreeList({ key, data }: Node): void {
    const where = `the list of free pages ${key.readBigUInt64LE()}`;
    const length = data.length >= 8 ? data.readBigUInt64LE() : -1n;
    if (length < 0n || length * 8n + 8n > BigInt(data.length)) throw new Damage(`${where} has a wrong length`);
    for (let i = 1; i <= Number(length); i++) {
      const entry = data.readBigInt64LE(i * 8);
      if (entry === 0n) continue;
      if (entry > 0n) this.#checkFree(Number(entry), 1, where);
      else this.#checkFree(Number(data.readBigInt64LE(++i * 8)), Number(-entry), where);
    }
  }

  #checkFree(first: number, count: number, where: string): void {
    if (first < 2 || first + count - 1 > this.#meta.lastPage)
      throw new Damage(`${where} has page ${first}, which is not in the file`);
    this.#freeBeyondEnd += Math.max(0, first + count - Math.max(first, this.#used.length));
    for (let page = first; page < Math.min(first + count, this.#used.length); page++) {
      if (this.#used[page]) throw new Damage(`${where} has page ${page}, which is in use`);
    }
  }

  #page(number: number, kind: number, where: string): Buffer {
    this.#use(number, where);
    const page = this.#bytes(number * this.#meta.pageSize, this.#meta.pageSize, where);
    const flags = page.readUInt16LE(18);
    if (page.readBigUInt64LE(0) !== BigInt(number))
      throw new Damage(`${where} says that it is page ${page.readBigUInt64LE(0)}`);
    if (flags !== kind) throw new Damage(`${where} has flags ${flags}`);
    // LMDB takes a page of a later transaction for one that it may change in place.
    if (page.readBigUInt64LE(8) > BigInt(this.#meta.transaction)) throw new Damage(`${where} is from the future`);
    return page;
  }

  #use(number: number, where: string): void {
    if (number < 2 || number > this.#meta.lastPage || number >= this.#used.length)
      throw new Damage(`${where} is not in the file`);
    if (this.#used[number]) throw new Damage(`${where} is used twice`);
    this.#used[number] = 1;
  }

  #bytes(position: number, length: number, where: string): Buffer {
    if (position + length > this.#size) throw new Damage(`${where} is cut off`);
    const bytes = Buffer.allocUnsafe(length);
    if (readSync(this.#file, bytes, 0, length, position) !== length) throw new Damage(`${where} is cut off`);
    return bytes;
  }
}

type Walk = {
  readonly tree: Tree;
  readonly compare: (a: Buffer, b: Buffer) => number;
  readonly visit: (node: Node) => void;
  readonly counts: Counts;
};

function readMeta(number: number, page: Buffer): Meta {
  if ((page.readUInt16LE(18) & META) === 0) throw new Damage(`page ${number} is not a meta page`);
  const at = PAGE_HEADER;
  if (page.readUInt32LE(at) !== MAGIC) throw new Damage(`meta page ${number} does not begin as LMDB's do`);
  if ((page.readUInt32LE(at + 4) & 0xffff) !== DATA_VERSION)
    throw new Damage(`meta page ${number} is of an unknown version`);
  return {
    pageSize: page.readUInt32LE(at + 24),
    free: readTree("the table of free pages", page, at + 24),
    main: readTree("the table of tables", page, at + 24 + TREE_BYTES),
    lastPage: Number(page.readBigUInt64LE(at + 120)),
    transaction: Number(page.readBigUInt64LE(at + 128)),
  };
}

function readTree(name: string, bytes: Buffer, at: number): Tree {
  if (bytes.length < at + TREE_BYTES) throw new Damage(`${name} is not described`);
  const root = bytes.readBigUInt64LE(at + 40);
  return {
    name,
    depth: bytes.readUInt16LE(at + 6),
    branchPages: Number(bytes.readBigUInt64LE(at + 8)),
    leafPages: Number(bytes.readBigUInt64LE(at + 16)),
    overflowPages: Number(bytes.readBigUInt64LE(at + 24)),
    entries: Number(bytes.readBigUInt64LE(at + 32)),
    root: root === NO_PAGE ? -1 : Number(root),
  };
}

/** The nodes of a page. Of branch nodes `size` is the page that they point to. */
function readNodes(page: Buffer, isLeaf: boolean, where: string): readonly Node[] {
  const [lower, upper] = [page.readUInt16LE(20), page.readUInt16LE(22)];
  const body = page.length - PAGE_HEADER;
  if (lower % 2 !== 0 || lower > upper || upper > body) throw new Damage(`${where} has its bounds wrong`);
  const count = lower >> 1;
  if (count < (isLeaf ? 1 : 2)) throw new Damage(`${where} has ${count} nodes`);
  const nodes: Node[] = [];
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const start = page.readUInt16LE(PAGE_HEADER + 2 * i) + PAGE_HEADER;
    if (start < upper + PAGE_HEADER || start + NODE_HEADER > page.length)
      throw new Damage(`node ${i} of ${where} is outside of it`);
    const { node, end } = readNode(page, start, isLeaf);
    if (end > page.length) throw new Damage(`node ${i} of ${where} is longer than it`);
    nodes.push(node);
    bytes += (end - start + 1) & ~1;
  }
  if (bytes !== body - upper) throw new Damage(`the nodes of ${where} fill ${bytes} bytes, not ${body - upper}`);
  return nodes;
}

function readNode(page: Buffer, start: number, isLeaf: boolean): { readonly node: Node; readonly end: number } {
  const low = page.readUInt32LE(start);
  const flags = page.readUInt16LE(start + 4);
  const keyEnd = start + NODE_HEADER + page.readUInt16LE(start + 6);
  const key = page.subarray(start + NODE_HEADER, keyEnd);
  if (!isLeaf) return { node: { key, flags: 0, size: low + flags * 2 ** 32, data: Buffer.of() }, end: keyEnd };
  const end = keyEnd + (flags & BIG_DATA ? 24 : low);
  return { node: { key, flags, size: low, data: page.subarray(keyEnd, end) }, end };
}

/** Keys ascend, and lie within what the pages above say. The first key of a branch page means nothing. */
function checkOrder(
  nodes: readonly Node[],
  { low, high }: Bounds,
  compare: (a: Buffer, b: Buffer) => number,
  isLeaf: boolean,
  where: string,
): void {
  let previous = isLeaf ? undefined : nodes[0]?.key;
  for (const { key } of isLeaf ? nodes : nodes.slice(1)) {
    const isFirst = previous === undefined || (!isLeaf && previous === nodes[0]?.key);
    if (!isFirst && compare(previous!, key) >= 0) throw new Damage(`the keys of ${where} are out of order`);
    if (low && compare(low, key) > 0) throw new Damage(`${where} has a key that belongs before it`);
    if (high && compare(key, high) >= 0) throw new Damage(`${where} has a key that belongs after it`);
    previous = key;
  }
}

function pageNumber(bytes: Buffer, at: number, where: string): number {
  const number = bytes.readBigUInt64LE(at);
  if (number > 2n ** 40n) throw new Damage(`${where} points outside of the file`);
  return Number(number);
}

function compareNumbers(a: Buffer, b: Buffer): number {
  if (a.length !== 8 || b.length !== 8) throw new Damage("a list of free pages has no number");
  const [left, right] = [a.readBigUInt64LE(), b.readBigUInt64LE()];
  return left < right ? -1 : Number(left > right);
}

/**
 * The files of a commit: their list first, so that what is too much is refused before a byte of it is written; then the files themselves, in a folder of ours. Links and submodules are left out.
 */
import { mkdir, open, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Git, GitView } from "./git.ts";

/** One file. `path` is relative to the folder that is deployed. */
export type TreeFile = {
  readonly path: string;
  readonly object: string;
  readonly sizeBytes: number;
  readonly isExecutable: boolean;
};

/** `leftOut` are paths, each with a word on why. */
export type Tree = { readonly files: readonly TreeFile[]; readonly leftOut: readonly string[] };

/** The tree cannot be deployed, whatever is in its files. */
export class TreeRefused extends Error {
  readonly kind = "TreeRefused";
}

const mostFiles = 20_000;
const mostTreeBytes = 128 << 20;
const longestPath = 1024;
const mostDepth = 64;

/** What a commit has below a folder. Throws {@link TreeRefused}. */
export async function listTree(git: Git, commit: string, folder: string, view: GitView = {}): Promise<Tree> {
  const prefix = folder.replaceAll(/^(\.\/)+|\/+$/g, "").replace(/^\.$/, "");
  const spec = prefix === "" ? [] : ["--", `${prefix}/`];
  const text = await git.run(["ls-tree", "-r", "-z", "-l", "--full-tree", commit, ...spec], { environment: view });
  const files: TreeFile[] = [];
  const leftOut: string[] = [];
  let sizeBytes = 0;
  for (const line of text.split("\0").filter(Boolean)) {
    const tab = line.indexOf("\t");
    const [mode = "", type = "", object = "", size = ""] = line.slice(0, tab).split(/ +/);
    const whole = line.slice(tab + 1);
    const path = prefix === "" ? whole : whole.slice(prefix.length + 1);
    if (type !== "blob" || mode === "120000") {
      leftOut.push(`${path}: it is a ${type === "blob" ? "symbolic link" : "submodule"}`);
      continue;
    }
    refusePath(path);
    files.push({ path, object, sizeBytes: Number(size), isExecutable: mode === "100755" });
    sizeBytes += Number(size);
    if (files.length > mostFiles) throw new TreeRefused(`it has more than ${mostFiles} files`);
    if (sizeBytes > mostTreeBytes) throw new TreeRefused(`its files are more than ${mostTreeBytes >> 20} MiB`);
  }
  if (files.length === 0) {
    const where = prefix === "" ? "" : ` in ${JSON.stringify(folder)}`;
    const first = leftOut[0] === undefined ? "" : `; left out: ${leftOut[0]}`;
    throw new TreeRefused(`it has no files${where}${first}`);
  }
  return { files, leftOut };
}

/** Git refuses most of these when they are pushed; what is older, or came otherwise, does not get out either. */
function refusePath(path: string): void {
  const parts = path.split("/");
  const isWrong =
    path.length > longestPath ||
    parts.length > mostDepth ||
    parts.some((part) => part === "" || part === "." || part === ".." || /^\.git$/i.test(part) || part.includes("\0"));
  if (isWrong) throw new TreeRefused(`it has a path that leads elsewhere or is too long: ${JSON.stringify(path)}`);
}

/** Writes the files into a folder that is there and empty. */
export async function checkOut(
  git: Git,
  files: readonly TreeFile[],
  { folder, view = {}, signal }: { readonly folder: string; readonly view?: GitView; readonly signal: AbortSignal },
): Promise<void> {
  const folders = new Set(files.map(({ path }) => dirname(join(folder, path))));
  for (const one of folders) await mkdir(one, { recursive: true });
  const writer = new BatchWriter(files, folder);
  try {
    await git.run(["cat-file", "--batch"], {
      input: `${files.map(({ object }) => object).join("\n")}\n`,
      environment: view,
      onData: (chunk) => writer.take(chunk),
      signal,
    });
    writer.end();
  } finally {
    await writer.close();
  }
}

/** Takes apart what `cat-file --batch` prints: a line with the size, as many bytes, and an end of line, for each file in turn. */
class BatchWriter {
  readonly #files: readonly TreeFile[];
  readonly #folder: string;
  #index = 0;
  #header = "";
  /** Bytes of the current file that are still to come, its last end of line included; undefined in a header. */
  #left: number | undefined;
  #handle: FileHandle | undefined;

  constructor(files: readonly TreeFile[], folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  async take(chunk: Buffer): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) rest = this.#left === undefined ? await this.#takeHeader(rest) : await this.#takeBody(rest);
  }

  /** Throws when something is missing. */
  end(): void {
    if (this.#index !== this.#files.length) throw new TreeRefused("some of its files could not be read");
  }

  async close(): Promise<void> {
    await this.#handle?.close();
  }

  async #takeHeader(bytes: Buffer): Promise<Buffer> {
    const end = bytes.indexOf(10);
    this.#header += bytes.subarray(0, end < 0 ? bytes.length : end).toString("latin1");
    if (end < 0) return Buffer.alloc(0);
    const [, object = "", size] = /^([0-9a-f]+) blob (\d+)$/.exec(this.#header) ?? [];
    const file = this.#files[this.#index];
    if (file === undefined || file.object !== object) throw new TreeRefused("some of its files could not be read");
    this.#header = "";
    this.#left = Number(size) + 1;
    this.#handle = await open(join(this.#folder, file.path), "wx", file.isExecutable ? 0o755 : 0o644);
    return bytes.subarray(end + 1);
  }

  async #takeBody(bytes: Buffer): Promise<Buffer> {
    const left = this.#left ?? 0;
    const mine = bytes.subarray(0, Math.min(left, bytes.length));
    const content = left === mine.length ? mine.subarray(0, -1) : mine;
    // All of it or an error: `write` may stop in the middle where the disk is full.
    if (content.length > 0) await this.#handle?.appendFile(content);
    this.#left = left - mine.length;
    if (this.#left === 0) {
      await this.#handle?.close();
      this.#handle = undefined;
      this.#left = undefined;
      this.#index++;
    }
    return bytes.subarray(mine.length);
  }
}

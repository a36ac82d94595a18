/**
 * Puts a cluster's context into the user's kubeconfig and takes it out again. Everything else in the file, comments included, stays as it is; the file is replaced
 * atomically, under the same lock file that kubectl uses.
 */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { type Document, isMap, isSeq, parseDocument, type YAMLMap, type YAMLSeq } from "yaml";
import { UserError } from "./command.ts";

/** What a context needs. Certificates and key are PEM. */
export type KubeconfigEntry = {
  /** Name of context, cluster and user. */
  readonly name: string;
  readonly server: string;
  readonly certificateAuthority: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
};

/** The file that kubectl would write to: the first of $KUBECONFIG that exists, else its last, else ~/.kube/config. */
export function defaultKubeconfigPath(environment: NodeJS.ProcessEnv): string {
  const paths = (environment["KUBECONFIG"] ?? "").split(delimiter).filter((path) => path !== "");
  return (
    paths.find((path) => existsSync(path)) ?? paths.at(-1) ?? join(environment["HOME"] ?? homedir(), ".kube", "config")
  );
}

/** Adds or replaces the entry. It becomes the current context only when there is none. Gives whether it is current now. */
export function mergeKubeconfig(path: string, entry: KubeconfigEntry): { readonly isCurrent: boolean } {
  return edit(path, (document) => {
    const encode = (pem: string) => Buffer.from(pem).toString("base64");
    put(document, "clusters", entry.name, {
      cluster: { "certificate-authority-data": encode(entry.certificateAuthority), server: entry.server },
    });
    put(document, "users", entry.name, {
      user: { "client-certificate-data": encode(entry.clientCertificate), "client-key-data": encode(entry.clientKey) },
    });
    put(document, "contexts", entry.name, { context: { cluster: entry.name, user: entry.name } });
    const current = document.get("current-context");
    if (typeof current !== "string" || current === "") document.set("current-context", entry.name);
    return { isCurrent: document.get("current-context") === entry.name };
  });
}

/** Takes the entry out. A file without it is left alone. */
export function removeFromKubeconfig(path: string, name: string): void {
  if (!existsSync(path)) return;
  edit(path, (document) => {
    for (const section of ["clusters", "users", "contexts"]) remove(document, section, name);
    if (document.get("current-context") === name) document.delete("current-context");
  });
}

/** Throws UserError for a file that a context could not be put into: one that is no kubeconfig, or that may not be written. */
export function checkKubeconfig(path: string): void {
  let place = path;
  while (!existsSync(place)) place = dirname(place);
  try {
    if (place === path) parse(path, readFileSync(path, "utf8"));
    if (place !== path && !statSync(place).isDirectory()) throw new Error("it is no folder");
    for (const one of place === path ? [path, dirname(path)] : [place]) accessSync(one, constants.W_OK);
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const why = `the context cannot be put into ${path}: ${place}: ${(cause as Error).message}`;
    throw new UserError(`${why}. Pass --kubeconfig FILE`, { cause });
  }
}

/** Whether the file has this context. */
export function hasContext(path: string, name: string): boolean {
  if (!existsSync(path)) return false;
  const contexts = parse(path, readFileSync(path, "utf8")).get("contexts");
  return isSeq(contexts) && contexts.items.some((item) => isMap(item) && item.get("name") === name);
}

function edit<T>(path: string, change: (document: Document) => T): T {
  mkdirSync(dirname(path), { recursive: true });
  const unlock = lock(`${path}.lock`);
  try {
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    const document = parse(path, text);
    const result = change(document);
    const next = document.toString({ lineWidth: 0 });
    if (next !== text) replace(path, next);
    return result;
  } finally {
    unlock();
  }
}

function parse(path: string, text: string): Document {
  const document = parseDocument(text.trim() === "" ? "apiVersion: v1\nkind: Config\npreferences: {}\n" : text);
  if (document.errors.length > 0 || !isMap(document.contents)) {
    // The rest shows the place, over several lines.
    const why = document.errors[0]?.message.split(":\n")[0] ?? "it is not a map";
    throw new UserError(
      `${path} is no kubeconfig: ${why}. Nothing was changed in it; repair it or pass --kubeconfig FILE.`,
    );
  }
  return document;
}

function put(document: Document, section: string, name: string, value: object): void {
  if (!isSeq(document.get(section))) document.set(section, document.createNode([]));
  const entries = document.get(section) as YAMLSeq<YAMLMap>;
  const node = document.createNode({ name, ...value }) as YAMLMap;
  const index = entries.items.findIndex((item) => item.get("name") === name);
  if (index >= 0) entries.items[index] = node;
  else entries.add(node);
  entries.flow = false;
}

function remove(document: Document, section: string, name: string): void {
  const entries = document.get(section);
  if (!isSeq(entries)) return;
  entries.items = entries.items.filter((item) => !(isMap(item) && item.get("name") === name));
}

function replace(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  const mode = existsSync(path) ? statSync(path).mode & 0o777 : 0o600;
  writeFileSync(temporary, text, { mode });
  renameSync(temporary, path);
}

/** kubectl locks a kubeconfig by creating FILE.lock; one that is older than a minute was left behind. */
function lock(path: string): () => void {
  const deadlineMs = Date.now() + 5_000;
  for (;;) {
    try {
      closeSync(openSync(path, "wx"));
      return () => unlinkSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const ageMs = existsSync(path) ? Date.now() - statSync(path).mtimeMs : 0;
      if (ageMs > 60_000) unlinkSync(path);
      else if (Date.now() > deadlineMs)
        throw new UserError(`${path} is held by another program; remove it if none runs`, { cause: error });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}

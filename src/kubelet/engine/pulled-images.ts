/**
 * Who may use images that are here already: an image that a secret opened is for pods that have that secret (or the same credentials); others must show theirs to the
 * registry. Images that came by other means than a pull of this node are for everybody. As pkg/kubelet/images/pullmanager with the policy NeverVerifyPreloadedImages, v1.36.
 *
 *     pulled/HASH.json     by image: which repositories it was pulled from, and what opened them
 *     pulling/HASH.json    pulls that are under way: after a crash nobody knows what opened the registry
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "#component-base/logger.ts";
import type { ImageInfo, RegistryCredential } from "#kubelet/container-runtime.ts";

type SecretAccess = {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly credentialHash: string;
};

/** Who may use an image from one repository. */
type Access = { readonly nodePodsAccessible: boolean; readonly kubernetesSecrets: readonly SecretAccess[] };

type PulledRecord = { readonly imageId: string; readonly repositories: Readonly<Record<string, Access>> };

/** More are not remembered of one image: a pod with yet another secret pulls. */
const mostSecrets = 100;

/** Remembers on disk. A node whose records cannot be written goes on; its pods then pull more often than they must. */
export class PulledImages {
  readonly #folder: string;
  readonly #logger: Logger;
  readonly #records = new Map<string, PulledRecord>();
  /** References that are being pulled, or were when the agent died, and how often. */
  readonly #pulling = new Map<string, number>();

  /** `folder` is the node's own. */
  constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
  }

  /** Reads what was remembered; `present` are the images that are still here. */
  open(present: ReadonlySet<string>): void {
    for (const kind of ["pulled", "pulling"]) mkdirSync(join(this.#folder, kind), { recursive: true, mode: 0o700 });
    for (const record of this.#readAll<PulledRecord>("pulled")) {
      if (present.has(record.imageId)) this.#records.set(record.imageId, record);
      else this.#remove("pulled", record.imageId);
    }
    for (const { reference } of this.#readAll<{ readonly reference: string }>("pulling"))
      this.#pulling.set(reference, 0);
  }

  /** Whether the pod must pull an image that is here, to show that it may. `credentials` are the pod's, asked only if need be. */
  async mustPull(
    reference: string,
    image: ImageInfo,
    credentials: () => Promise<readonly RegistryCredential[]>,
  ): Promise<boolean> {
    // What somebody loaded by hand is for all.
    if (image.isLoaded) return false;
    const record = this.#records.get(image.id);
    if (record === undefined) return this.#pulling.has(reference);
    const access = record.repositories[repositoryOf(reference)];
    if (access === undefined) return true;
    if (access.nodePodsAccessible) return false;
    const match = (await credentials()).find((credential) => opens(access, credential));
    if (match === undefined) return true;
    this.#note(reference, image.id, match); // its secret or its password may be new
    return false;
  }

  /** A pull begins; {@link PulledImages.ended} must follow. */
  begun(reference: string): void {
    const count = this.#pulling.get(reference) ?? 0;
    this.#pulling.set(reference, count + 1);
    if (count === 0) this.#write("pulling", reference, { reference });
  }

  /** The pull has ended: with the image and what opened the registry, or without. */
  ended(reference: string, image?: ImageInfo & { readonly credential?: RegistryCredential }): void {
    if (image) this.#note(reference, image.id, image.credential);
    const count = (this.#pulling.get(reference) ?? 1) - 1;
    if (count > 0) return void this.#pulling.set(reference, count);
    this.#pulling.delete(reference);
    this.#remove("pulling", reference);
  }

  #note(reference: string, imageId: string, credential: RegistryCredential | undefined): void {
    const repository = repositoryOf(reference);
    const record = this.#records.get(imageId) ?? { imageId, repositories: {} };
    const before = record.repositories[repository] ?? { nodePodsAccessible: false, kubernetesSecrets: [] };
    const access = withCredential(before, credential);
    if (access === before) return;
    const after = { imageId, repositories: { ...record.repositories, [repository]: access } };
    this.#records.set(imageId, after);
    this.#write("pulled", imageId, after);
  }

  #readAll<T>(kind: string): T[] {
    const folder = join(this.#folder, kind);
    return readdirSync(folder).flatMap((name): T[] => {
      try {
        return name.endsWith(".json") ? [JSON.parse(readFileSync(join(folder, name), "utf8")) as T] : [];
      } catch (error) {
        this.#logger.warn("Could not read record of pulled image", { file: name, error });
        return [];
      }
    });
  }

  #write(kind: string, key: string, value: object): void {
    const path = this.#path(kind, key);
    try {
      writeFileSync(`${path}.new`, JSON.stringify(value), { mode: 0o600 });
      renameSync(`${path}.new`, path);
    } catch (error) {
      this.#logger.warn("Could not write record of pulled image", { key, error });
    }
  }

  #remove(kind: string, key: string): void {
    rmSync(this.#path(kind, key), { force: true });
  }

  #path(kind: string, key: string): string {
    return join(this.#folder, kind, `${createHash("sha256").update(key).digest("hex")}.json`);
  }
}

/** "reg.example.com:5000/team/app" of "reg.example.com:5000/team/app:v1@sha256:…". */
function repositoryOf(reference: string): string {
  const [name = ""] = reference.split("@");
  const colon = name.indexOf(":", name.lastIndexOf("/") + 1);
  return colon < 0 ? name : name.slice(0, colon);
}

function opens({ kubernetesSecrets }: Access, credential: RegistryCredential): boolean {
  const { secret } = credential;
  if (!secret) return false;
  const hash = hashOf(credential);
  return kubernetesSecrets.some((it) => it.credentialHash === hash || isSameSecret(it, secret));
}

/** The same object where nothing is new. What is no secret's is the node's own, and so everybody's. */
function withCredential(access: Access, credential: RegistryCredential | undefined): Access {
  if (access.nodePodsAccessible) return access;
  if (!credential?.secret) return { nodePodsAccessible: true, kubernetesSecrets: [] };
  const own: SecretAccess = { ...credential.secret, credentialHash: hashOf(credential) };
  const isKnown = access.kubernetesSecrets.some(
    (it) => isSameSecret(it, own) && it.credentialHash === own.credentialHash,
  );
  if (isKnown || access.kubernetesSecrets.length >= mostSecrets) return access;
  const others = access.kubernetesSecrets.filter((it) => !isSameSecret(it, own));
  return { ...access, kubernetesSecrets: [...others, own] };
}

function isSameSecret(a: Omit<SecretAccess, "credentialHash">, b: Omit<SecretAccess, "credentialHash">): boolean {
  return a.uid === b.uid && a.namespace === b.namespace && a.name === b.name;
}

function hashOf({ username, password, identityToken }: RegistryCredential): string {
  return createHash("sha256")
    .update(JSON.stringify([username, password, identityToken]))
    .digest("hex");
}

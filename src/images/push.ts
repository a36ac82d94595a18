/**
 * Pushes an image whose blobs are in the store to a registry. What the registry has already is not sent again; what is interrupted is tried again.
 */
import type { Readable } from "node:stream";
import type { BlobStore } from "./blobs.ts";
import { type Credential, matchCredentials } from "./credentials.ts";
import { type Descriptor, isIndex, mediaTypeOf, parseDocument } from "./oci.ts";
import { type ImageReference, parseReference } from "./reference.ts";
import { makeAgent, RegistryClient, RegistryError, type RegistrySettings, registryUrl } from "./registry-client.ts";

/** What is pushed, and to where. */
export type ImagePush = {
  /** Where the blobs are: an image store's. */
  readonly blobs: BlobStore;
  /** Of the manifest, or of an index all of whose images are here. */
  readonly digest: string;
  /** "localhost:5000/shop/api:v2"; without a tag it becomes "latest", with a digest (which must be the image's) it gets no tag. */
  readonly name: string;
  /** Those that fit the name are tried, the most exact first. */
  readonly credentials?: readonly Credential[];
  /** Default: HTTPS with the system's authorities, and plain HTTP for this machine's own addresses. */
  readonly settings?: RegistrySettings;
};

/** Where it is now. */
export type PushedImage = {
  readonly digest: string;
  /** With its tag, if it has one: "localhost:5000/shop/api:v2". */
  readonly name: string;
  /** Always names this image: "localhost:5000/shop/api@sha256:…". */
  readonly pinned: string;
};

const parallelBlobs = 3;
const mostAttempts = 3;

/** Pushes it. Throws {@link RegistryError} and InvalidReference. Twice is success. */
export async function pushImage(push: ImagePush, signal: AbortSignal): Promise<PushedImage> {
  const { settings = {} } = push;
  const reference = parseReference(push.name);
  const base = registryUrl(reference.registry, settings);
  const fitting = [...(push.credentials ?? []), ...(settings.credentials ?? [])];
  const credentials = matchCredentials(reference, fitting);
  let failure: unknown;
  for (const credential of credentials.length > 0 ? credentials : [undefined]) {
    const agent = await makeAgent(base, settings);
    const { repository } = reference;
    const client = new RegistryClient({ base, repository, credential, agent, actions: "pull,push" });
    try {
      await new Pusher(push.blobs, client, reference).push(push.digest, signal);
      return namesOf(reference, push.digest);
    } catch (error) {
      if (!(error instanceof RegistryError) || error.reason !== "unauthorized") throw error;
      failure = error;
    } finally {
      await client.close();
    }
  }
  throw failure;
}

/** What an image is called after it was pushed under this reference. */
export function namesOf({ registry, repository, tag, digest: named }: ImageReference, digest: string): PushedImage {
  const pinned = `${registry}/${repository}@${digest}`;
  return { digest, pinned, name: named === undefined ? `${registry}/${repository}:${tag}` : pinned };
}

/** One push to one repository. */
class Pusher {
  readonly #blobs: BlobStore;
  readonly #client: RegistryClient;
  readonly #reference: ImageReference;

  constructor(blobs: BlobStore, client: RegistryClient, reference: ImageReference) {
    this.#blobs = blobs;
    this.#client = client;
    this.#reference = reference;
  }

  async push(digest: string, signal: AbortSignal): Promise<void> {
    const { digest: named, tag } = this.#reference;
    if (named !== undefined && named !== digest)
      throw new RegistryError("protocol", `${digest} cannot be pushed as ${named}`);
    await this.#pushDocument(digest, named ?? tag ?? "latest", signal);
  }

  async #pushDocument(digest: string, as: string, signal: AbortSignal): Promise<void> {
    const bytes = await this.#blobs.read(digest);
    const document = parseDocument(bytes, digest);
    if (isIndex(document))
      for (const inner of document.manifests) await this.#pushDocument(inner.digest, inner.digest, signal);
    else await this.#pushBlobs([document.config, ...document.layers], signal);
    const headers = { "content-type": mediaTypeOf(document) };
    const path = `${this.#path}/manifests/${as}`;
    await this.#retrying(signal, () =>
      this.#ask({ method: "PUT", path, headers, body: () => bytes, expected: [201] }, signal),
    );
  }

  async #pushBlobs(blobs: readonly Descriptor[], signal: AbortSignal): Promise<void> {
    const queue = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const work = async (): Promise<void> => {
      for (let blob = queue.shift(); blob; blob = queue.shift()) {
        const { digest } = blob;
        await this.#retrying(either, () => this.#pushBlob(digest, either));
      }
    };
    const workers = Array.from({ length: parallelBlobs }, work);
    try {
      await Promise.all(workers);
    } catch (error) {
      stop.abort(error);
      await Promise.allSettled(workers);
      throw error;
    }
  }

  async #pushBlob(digest: string, signal: AbortSignal): Promise<void> {
    const path = `${this.#path}/blobs/${digest}`;
    const { statusCode } = await this.#ask({ method: "HEAD", path, expected: [200, 404] }, signal);
    if (statusCode === 200) return;
    const size = await this.#blobs.find(digest);
    if (size === undefined) throw new RegistryError("notFound", `${digest} is not on this machine`);
    const begun = await this.#ask({ method: "POST", path: `${this.#path}/blobs/uploads/`, expected: [202] }, signal);
    const target = new URL(begun.location);
    target.searchParams.set("digest", digest);
    const headers = { "content-type": "application/octet-stream", "content-length": String(size) };
    const body = (): Readable => this.#blobs.open(digest);
    await this.#ask({ method: "PUT", path: target.href, headers, body, expected: [201] }, signal);
  }

  async #ask(
    request: Parameters<RegistryClient["exchange"]>[0],
    signal: AbortSignal,
  ): Promise<{ readonly statusCode: number; readonly location: string }> {
    const { statusCode, headers, body } = await this.#client.exchange(request, signal);
    await body.dump();
    return { statusCode, location: new URL(String(headers["location"] ?? ""), this.#client.base).href };
  }

  async #retrying<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        const mayPass = error instanceof RegistryError && error.reason === "unavailable";
        if (signal.aborted || !mayPass || attempt === mostAttempts) throw error;
      }
    }
  }

  get #path(): string {
    return `/v2/${this.#reference.repository}`;
  }
}

/**
 * Pulls an image: manifest for this machine's platform, configuration and layers that are not here yet, several at once. What is interrupted goes on where it stopped; what
 * is given up leaves nothing behind.
 */
import { Readable } from "node:stream";
import { digestOf, wrongDigest } from "./blobs.ts";
import { type Credential, matchCredentials } from "./credentials.ts";
import type { ImageSource } from "./image-source.ts";
import type { ImageStore, StoredImage } from "./image-store.ts";
import {
  choosePlatform,
  type Descriptor,
  hostPlatform,
  InvalidImage,
  type ImageManifest,
  isIndex,
  parseDocument,
  parseImageConfig,
} from "./oci.ts";
import { isOwnHost } from "./registry/hosts.ts";
import { formatReference, type ImageReference, parseReference } from "./reference.ts";
import {
  makeAgent,
  registryAddresses,
  RegistryClient,
  RegistryError,
  type RegistrySettings,
} from "./registry-client.ts";

/** An image, and what opened the registry, as it was given; absent where the registry asked for nothing. */
export type PulledImage = StoredImage & { readonly credential?: Credential };

/** Pulls into a store. */
export class ImagePuller {
  readonly #store: ImageStore;
  readonly #settings: () => Promise<RegistrySettings>;
  /** By reference and credentials: pulls that are under way. */
  readonly #running = new Map<string, SharedPull>();

  /** `settings` may be a function, which is asked before each pull. */
  constructor(options: {
    readonly store: ImageStore;
    readonly settings: RegistrySettings | (() => Promise<RegistrySettings>);
  }) {
    this.#store = options.store;
    const { settings } = options;
    this.#settings = typeof settings === "function" ? settings : async () => settings;
  }

  /** Throws {@link RegistryError}, {@link InvalidImage} or InvalidReference. Callers that want the same at the same time share one pull, which ends when none of them is left. */
  async pull(name: string, credentials: readonly Credential[], signal: AbortSignal): Promise<PulledImage> {
    signal.throwIfAborted();
    const reference = parseReference(name);
    const fitting = matchCredentials(reference, credentials);
    const key = JSON.stringify([formatReference(reference), fitting]);
    const shared = this.#running.get(key) ?? this.#begin(key, reference, fitting);
    return shared.join(signal);
  }

  #begin(key: string, reference: ImageReference, credentials: readonly Credential[]): SharedPull {
    const shared = new SharedPull((signal) => this.#pullAnyhow(reference, credentials, signal));
    this.#running.set(key, shared);
    const forget = () => this.#running.delete(key);
    shared.result.then(forget, forget);
    return shared;
  }

  // All addresses with all credentials, until one works. What is said in the end is what the registry itself said last.
  async #pullAnyhow(
    reference: ImageReference,
    credentials: readonly Credential[],
    signal: AbortSignal,
  ): Promise<PulledImage> {
    const here = await this.#pullHere(reference, signal);
    if (here && "id" in here) return here;
    const settings = await this.#settings();
    let failure: unknown = here;
    for (const base of registryAddresses(reference.registry, settings)) {
      const there = { ...reference, registry: new URL(base).host };
      const own = [reference, there].flatMap((it) => matchCredentials(it, settings.credentials ?? []));
      const all = [...new Set([...credentials, ...own])];
      for (const credential of all.length > 0 ? all : [undefined]) {
        try {
          return await this.#pullFrom(base, reference, { credential, settings, signal });
        } catch (error) {
          if (signal.aborted || !(error instanceof RegistryError)) throw error;
          // Nobody serves the machine's own registry: that it has no such image is what matters.
          failure = here !== undefined && error.reason === "unavailable" ? here : error;
        }
      }
    }
    throw failure;
  }

  // From the machine's own registry, if the name means it; what it says when it has no such image.
  async #pullHere(reference: ImageReference, signal: AbortSignal): Promise<PulledImage | RegistryError | undefined> {
    if (!(await isOwnHost(this.#store.folder, reference.registry))) return undefined;
    const { EmbeddedSource } = await import("./registry/embedded-source.ts");
    try {
      return await this.#pullThrough(new EmbeddedSource(this.#store, reference.repository), reference, signal);
    } catch (error) {
      if (error instanceof RegistryError && error.reason === "notFound") return error;
      throw error;
    }
  }

  async #pullFrom(
    base: string,
    reference: ImageReference,
    {
      credential,
      settings,
      signal,
    }: {
      readonly credential: Credential | undefined;
      readonly settings: RegistrySettings;
      readonly signal: AbortSignal;
    },
  ): Promise<PulledImage> {
    const agent = await makeAgent(base, settings);
    const client = new RegistryClient({ base, repository: reference.repository, credential, agent });
    try {
      const image = await this.#pullThrough(client, reference, signal);
      return credential && client.hasShownCredential ? { ...image, credential } : image;
    } finally {
      await client.close();
    }
  }

  async #pullThrough(source: ImageSource, reference: ImageReference, signal: AbortSignal): Promise<StoredImage> {
    const { top, digest, manifest } = await this.#resolve(source, reference, signal);
    await fetchBlobs(this.#store, source, manifest, signal);
    const names = {
      ...(reference.tag !== undefined && reference.digest === undefined && { tag: formatReference(reference) }),
      digest: `${reference.registry}/${reference.repository}@${top}`,
    };
    return this.#store.add(digest, names, signal);
  }

  // `top` is what the reference names, perhaps an index; `digest` the manifest for this platform.
  async #resolve(
    source: ImageSource,
    reference: ImageReference,
    signal: AbortSignal,
  ): Promise<{ readonly top: string; readonly digest: string; readonly manifest: ImageManifest }> {
    const name = formatReference(reference);
    const wanted = reference.digest ?? reference.tag ?? "latest";
    const bytes = await fetchDocument(source, wanted, signal).catch((error: unknown) => {
      throw notResolved(name, error);
    });
    const top = reference.digest ?? digestOf(bytes);
    const document = parseDocument(bytes, top);
    if (!isIndex(document)) {
      await fetchBlob(this.#store, source, document.config, signal);
      checkPlatform(await this.#store.blobs.read(document.config.digest), document.config.digest, top);
      await this.#store.blobs.writeBytes(top, bytes);
      return { top, digest: top, manifest: document };
    }
    const chosen = choosePlatform(document, hostPlatform());
    if (!chosen) throw noMatch(top);
    const inner = await fetchDocument(source, chosen.digest, signal);
    const manifest = parseDocument(inner, chosen.digest);
    if (isIndex(manifest)) throw new InvalidImage(`${chosen.digest} is an index inside of an index`);
    await this.#store.blobs.writeBytes(chosen.digest, inner);
    return { top, digest: chosen.digest, manifest };
  }
}

const parallelBlobs = 3;
const mostAttempts = 5;

/** A pull that several callers wait for. */
class SharedPull {
  readonly result: Promise<PulledImage>;
  readonly #stop = new AbortController();
  #waiting = 0;

  constructor(work: (signal: AbortSignal) => Promise<PulledImage>) {
    this.result = work(this.#stop.signal);
    this.result.catch(() => {}); // told to those who join
  }

  async join(signal: AbortSignal): Promise<PulledImage> {
    this.#waiting++;
    const { promise: left, reject } = Promise.withResolvers<never>();
    const leave = () => reject(signal.reason as Error);
    signal.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([this.result, left]);
    } finally {
      signal.removeEventListener("abort", leave);
      if (--this.#waiting === 0) this.#stop.abort(signal.reason);
      // Who leaves last waits until everything is cleaned up.
      if (signal.aborted && this.#waiting === 0) await this.result.catch(() => {}); // told to those who join
    }
  }
}

async function fetchDocument(source: ImageSource, reference: string, signal: AbortSignal): Promise<Buffer> {
  const bytes = await source.manifest(reference, signal);
  if (reference.startsWith("sha256:") && digestOf(bytes) !== reference)
    throw wrongDigest("manifest", reference, digestOf(bytes));
  return bytes;
}

/** The registry could not say what the reference means; the words are containerd's. */
function notResolved(name: string, error: unknown): unknown {
  if (!(error instanceof RegistryError)) return error;
  const why = {
    notFound: `${name}: not found`,
    unauthorized: `pull access denied, repository does not exist or may require authorization: ${error.message}`,
    unavailable: error.message,
    protocol: error.message,
  }[error.reason];
  return new RegistryError(error.reason, `failed to resolve reference "${name}": ${why}`, { cause: error });
}

function noMatch(digest: string): RegistryError {
  return new RegistryError("notFound", `no match for platform in manifest ${digest}: not found`);
}

/** A manifest that comes without an index says its platform in its configuration, if at all. */
function checkPlatform(config: Buffer, configDigest: string, manifestDigest: string): void {
  const { os, architecture } = parseImageConfig(config, configDigest);
  const host = hostPlatform();
  const isOther = (theirs: string | undefined, ours: string) =>
    theirs !== undefined && theirs !== "" && theirs !== ours;
  if (isOther(os, host.os) || isOther(architecture, host.architecture)) throw noMatch(manifestDigest);
}

async function fetchBlobs(
  store: ImageStore,
  source: ImageSource,
  manifest: ImageManifest,
  signal: AbortSignal,
): Promise<void> {
  const wanted = new Map([manifest.config, ...manifest.layers].map((blob) => [blob.digest, blob]));
  const queue = [...wanted.values()];
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const work = async (): Promise<void> => {
    for (let blob = queue.shift(); blob; blob = queue.shift()) await fetchBlob(store, source, blob, either);
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

async function fetchBlob(store: ImageStore, source: ImageSource, blob: Descriptor, signal: AbortSignal): Promise<void> {
  if ((await store.blobs.touch(blob.digest)) || (await source.bringBlob?.(blob.digest))) return;
  const bytes = Readable.from(resumingBytes(source, blob, signal), { objectMode: false, highWaterMark: 1 << 18 });
  await store.blobs.write(blob.digest, bytes, { size: blob.size, signal, name: blobName(blob) });
}

function blobName({ mediaType }: Descriptor): string {
  return /config|container\.image/.test(mediaType) ? "config" : "layer";
}

// Goes on after a broken connection, where it broke.
async function* resumingBytes(source: ImageSource, blob: Descriptor, signal: AbortSignal): AsyncGenerator<Buffer> {
  let received = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      const { body, start } = await source.blob(blob.digest, received, signal);
      let skip = received - start;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        const fresh = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - fresh.length;
        received += fresh.length;
        if (fresh.length > 0) yield fresh;
      }
      return;
    } catch (error) {
      const isFinal = error instanceof RegistryError && error.reason !== "unavailable";
      if (signal.aborted || isFinal || attempt === mostAttempts) throw asCopyError(error);
    }
  }
}

function asCopyError(error: unknown): unknown {
  if (error instanceof InvalidImage) return error;
  const reason = error instanceof RegistryError ? error.reason : "unavailable";
  const why = error instanceof RegistryError ? `failed open: ${error.message}` : (error as Error).message;
  return new RegistryError(reason, `failed to copy: httpReadSeeker: ${why}`, { cause: error });
}

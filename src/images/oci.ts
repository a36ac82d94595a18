/**
 * The documents of an OCI image: index, manifest, configuration. Docker's older media types have the same fields and are read alike.
 */

/** What names a blob: its digest, size and what it is. */
export type Descriptor = {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly annotations?: Readonly<Record<string, string>>;
  readonly artifactType?: string;
};

export type ImageIndex = {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly manifests: readonly Descriptor[];
  readonly artifactType?: string;
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
};

export type ImageManifest = {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly artifactType?: string;
  /** What it is about, if it is about something else: a signature's image. */
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
};

/** What a container of the image gets by default. */
export type ImageConfig = {
  readonly architecture?: string;
  readonly os?: string;
  readonly created?: string;
  readonly config?: {
    readonly User?: string;
    readonly Env?: readonly string[] | null;
    readonly Entrypoint?: readonly string[] | null;
    readonly Cmd?: readonly string[] | null;
    readonly WorkingDir?: string;
    readonly StopSignal?: string;
    readonly Volumes?: Readonly<Record<string, unknown>> | null;
    readonly Labels?: Readonly<Record<string, string>> | null;
    /** "8080/tcp". */
    readonly ExposedPorts?: Readonly<Record<string, unknown>> | null;
  };
  readonly history?: readonly {
    readonly created?: string;
    readonly created_by?: string;
    readonly empty_layer?: boolean;
  }[];
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly string[] };
};

/** An image's parts are missing, damaged or not what they claim to be. */
export class InvalidImage extends Error {
  readonly kind = "InvalidImage";
}

/** What documents and blobs are called on the wire. */
export const mediaTypes: Readonly<
  Record<
    "index" | "manifest" | "config" | "layer" | "layerGzip" | "layerZstd" | "dockerIndex" | "dockerManifest",
    string
  >
> = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  layerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  layerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
};

/** This machine's platform in OCI's words. */
export function hostPlatform(): { readonly os: string; readonly architecture: string } {
  const architectures: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
  return { os: "linux", architecture: architectures[process.arch] ?? process.arch };
}

/** Whether a document is an index: by its media type, or by its fields where it has none. */
export function isIndex(document: ImageIndex | ImageManifest): document is ImageIndex {
  return "manifests" in document;
}

/** What a document is called on the wire, by its own word or by its fields. */
export function mediaTypeOf(document: ImageIndex | ImageManifest): string {
  return document.mediaType ?? (isIndex(document) ? mediaTypes.index : mediaTypes.manifest);
}

/** The manifest for a platform. Entries without a platform fit any; attestations ("unknown/unknown") never do. */
export function choosePlatform(
  index: ImageIndex,
  platform: { readonly os: string; readonly architecture: string },
): Descriptor | undefined {
  const exact = index.manifests.find(
    (entry) => entry.platform?.os === platform.os && entry.platform.architecture === platform.architecture,
  );
  return exact ?? index.manifests.find((entry) => entry.platform === undefined);
}

/** Parses an index or a manifest and checks that what must be there is there. Throws {@link InvalidImage}. */
export function parseDocument(bytes: Uint8Array, about: string): ImageIndex | ImageManifest {
  const document = parseJson<Partial<ImageIndex & ImageManifest>>(bytes, about);
  const descriptors =
    document.manifests ?? (document.config && document.layers && [document.config, ...document.layers]);
  if (!Array.isArray(descriptors)) throw new InvalidImage(`${about} is neither an image index nor an image manifest`);
  for (const entry of descriptors) {
    if (typeof entry?.digest !== "string" || !/^sha(256|512):[0-9a-f]+$/.test(entry.digest))
      throw new InvalidImage(`${about} names a blob without a digest that can be checked`);
  }
  return document as ImageIndex | ImageManifest;
}

/** Parses an image's configuration. Throws {@link InvalidImage}. */
export function parseImageConfig(bytes: Uint8Array, about: string): ImageConfig {
  const config = parseJson<Partial<ImageConfig>>(bytes, about);
  const layers = config.rootfs?.diff_ids;
  if (!Array.isArray(layers) || !layers.every((id) => typeof id === "string" && /^sha256:[0-9a-f]{64}$/.test(id)))
    throw new InvalidImage(`the image configuration ${about} does not list its layers`);
  return config as ImageConfig;
}

function parseJson<T>(bytes: Uint8Array, about: string): T {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return value as T;
  } catch (error) {
    throw new InvalidImage(`${about} is not JSON`, { cause: error });
  }
  throw new InvalidImage(`${about} is not a JSON object`);
}

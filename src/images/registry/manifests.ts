/**
 * Manifests and indexes as clients push them: what must be true of one before it is kept, and what others see of it when they ask what refers to an image.
 */
import { type Descriptor, mediaTypes } from "#images/oci.ts";
import { isDigest } from "./names.ts";
import { RegistryFault } from "./registry-fault.ts";

/** Largest manifest that is taken, in bytes: what the specification asks registries to take. */
export const largestManifest: number = 4 << 20;

/** A manifest that was understood. */
export type PushedManifest = {
  readonly mediaType: string;
  /** What it is made of, and must be in the repository. */
  readonly blobs: readonly string[];
  readonly manifests: readonly string[];
  /** Digest of what it is about. */
  readonly subject: string | undefined;
  /** What kind of thing it is, for those who ask for one kind. */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
};

type Fields = {
  readonly schemaVersion?: unknown;
  readonly mediaType?: unknown;
  readonly config?: unknown;
  readonly layers?: unknown;
  readonly manifests?: unknown;
  readonly subject?: unknown;
  readonly artifactType?: unknown;
  readonly annotations?: unknown;
};

/** Understands it; `sentAs` is the media type that the client gave. Throws {@link RegistryFault} for what is no manifest of an image, nor an index. */
export function parseManifest(bytes: Uint8Array, sentAs?: string): PushedManifest {
  const fields = parseObject(bytes);
  if (sentAs !== undefined && fields.mediaType !== undefined && fields.mediaType !== sentAs)
    throw invalid(`the manifest was sent as ${sentAs} and calls itself ${JSON.stringify(fields.mediaType)}`);
  if (fields.schemaVersion !== 2) throw invalid("only manifests of schema version 2 are taken");
  const isIndex = fields.manifests !== undefined;
  const config = isIndex ? undefined : descriptorOf(fields.config, "config");
  const layers = isIndex ? [] : descriptorsOf(fields.layers ?? [], "layers");
  const children = isIndex ? descriptorsOf(fields.manifests, "manifests") : [];
  const subject = fields.subject === undefined ? undefined : descriptorOf(fields.subject, "subject");
  // Layers with addresses of their own are fetched from there.
  const here = layers.filter((layer) => !("urls" in layer));
  return {
    mediaType: textOf(fields.mediaType, "mediaType") ?? (isIndex ? mediaTypes.index : mediaTypes.manifest),
    blobs: [...(config ? [config] : []), ...here].map(({ digest }) => digest),
    manifests: children.map(({ digest }) => digest),
    subject: subject?.digest,
    artifactType: textOf(fields.artifactType, "artifactType") || config?.mediaType,
    annotations: annotationsOf(fields.annotations),
  };
}

/** How it appears in the list of what refers to its subject. */
export function referrerOf(manifest: PushedManifest, digest: string, size: number): Descriptor {
  const { mediaType, artifactType, annotations } = manifest;
  return { mediaType, digest, size, ...(artifactType && { artifactType }), ...(annotations && { annotations }) };
}

function parseObject(bytes: Uint8Array): Fields {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // said below
  }
  throw invalid("the manifest is no JSON object");
}

function descriptorsOf(value: unknown, where: string): Descriptor[] {
  if (!Array.isArray(value)) throw invalid(`${where} must be a list`);
  return value.map((entry: unknown, index) => descriptorOf(entry, `${where}[${index}]`));
}

function descriptorOf(value: unknown, where: string): Descriptor {
  const { mediaType, digest, size } = (value ?? {}) as Partial<Descriptor>;
  const isRight =
    typeof mediaType === "string" && typeof digest === "string" && isDigest(digest) && Number.isSafeInteger(size);
  if (!isRight) throw invalid(`${where} must have a media type, a digest and a size`);
  return value as Descriptor;
}

function textOf(value: unknown, where: string): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw invalid(`${where} must be a text`);
}

function annotationsOf(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  const isRight =
    typeof value === "object" && !Array.isArray(value) && Object.values(value).every((one) => typeof one === "string");
  if (!isRight) throw invalid("annotations must be texts by name");
  return value as Readonly<Record<string, string>>;
}

function invalid(message: string): RegistryFault {
  return new RegistryFault("MANIFEST_INVALID", message);
}

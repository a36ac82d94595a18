/**
 * A function's source as an OCI artifact: one layer, a packed folder, in any registry that images go to.
 */
import type { Readable } from "node:stream";
import { type BlobStore, digestOf } from "#images/blobs.ts";
import { isIndex, InvalidImage, mediaTypes, parseDocument } from "#images/oci.ts";
import { parseReference } from "#images/reference.ts";
import { makeAgent, RegistryClient, registryAddresses } from "#images/registry-client.ts";

const artifactType = "application/vnd.nodeless.function.source.v1";
const emptyType = "application/vnd.oci.empty.v1+json";

/** Makes an artifact of an archive, in a blob store; gives its digest. The same archive gives the same. */
export async function sourceArtifact(blobs: BlobStore, archive: Uint8Array): Promise<string> {
  const add = async (mediaType: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    await blobs.writeBytes(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType,
    config: await add(emptyType, Buffer.from("{}")),
    layers: [await add(mediaTypes.layerGzip, archive)],
  };
  return (await add(mediaTypes.manifest, Buffer.from(JSON.stringify(manifest)))).digest;
}

/** The archive of an artifact, or of an image of one layer. Throws RegistryError, {@link InvalidImage}, InvalidReference. The registry is let go when the stream ends. */
export async function openArtifact(name: string, signal: AbortSignal): Promise<Readable> {
  const reference = parseReference(name);
  const [base = ""] = registryAddresses(reference.registry, {});
  const agent = await makeAgent(base, {});
  const client = new RegistryClient({ base, repository: reference.repository, credential: undefined, agent });
  try {
    const bytes = await client.manifest(reference.digest ?? reference.tag ?? "latest", signal);
    const { body } = await client.blob(artifactLayer(bytes, name), 0, signal);
    body.once("close", () => void client.close());
    return body;
  } catch (error) {
    await client.close();
    throw error;
  }
}

/** Digest of the one layer of an artifact, of which this is the manifest. Throws {@link InvalidImage}. */
export function artifactLayer(manifest: Uint8Array, name: string): string {
  const document = parseDocument(manifest, name);
  const [layer, ...more] = isIndex(document) ? [] : document.layers;
  if (layer === undefined || more.length > 0) throw new InvalidImage(`${name} is not an artifact of one layer`);
  return layer.digest;
}

/**
 * A function's source as an OCI artifact: one layer, a packed folder, in any registry that images go to.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { BlobStore, digestOf } from "#images/blobs.ts";
import { isIndex, InvalidImage, mediaTypes, parseDocument } from "#images/oci.ts";
import { pushImage } from "#images/push.ts";
import { parseReference } from "#images/reference.ts";
import { makeAgent, RegistryClient, registryAddresses } from "#images/registry-client.ts";

const artifactType = "application/vnd.nodeless.function.source.v1";
const emptyType = "application/vnd.oci.empty.v1+json";

/** Pushes an archive as `name`; gives the name that always means it: "localhost:5000/functions/default/hello/source@sha256:…". Throws RegistryError. */
export async function pushArtifact(name: string, archive: Uint8Array, signal: AbortSignal): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "nodeless-source-"));
  try {
    const blobs = new BlobStore({ folder, temporary: folder });
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
    const { digest } = await add(mediaTypes.manifest, Buffer.from(JSON.stringify(manifest)));
    return (await pushImage({ blobs, digest, name }, signal)).pinned;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The archive of an artifact, or of an image of one layer. Throws RegistryError, {@link InvalidImage}, InvalidReference. The registry is let go when the stream ends. */
export async function openArtifact(name: string, signal: AbortSignal): Promise<Readable> {
  const reference = parseReference(name);
  const [base = ""] = registryAddresses(reference.registry, {});
  const agent = await makeAgent(base, {});
  const client = new RegistryClient({ base, repository: reference.repository, credential: undefined, agent });
  try {
    const document = parseDocument(await client.manifest(reference.digest ?? reference.tag ?? "latest", signal), name);
    const [layer, ...more] = isIndex(document) ? [] : document.layers;
    if (layer === undefined || more.length > 0) throw new InvalidImage(`${name} is not an artifact of one layer`);
    const { body } = await client.blob(layer.digest, 0, signal);
    body.once("close", () => void client.close());
    return body;
  } catch (error) {
    await client.close();
    throw error;
  }
}

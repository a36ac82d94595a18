/**
 * Lets a build begin with what was brought to this machine by hand: `FROM docker.io/library/python:3-slim` is the image that `nodeless image load` left here, as it is for pods. While the
 * build runs, a registry at a port of loopback gives such images out, and the builder asks it before their own. Nothing else is behind it: what was pulled with somebody's secret is not for everybody.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import type { ImageStore, StoredImage } from "#images/image-store.ts";
import { mediaTypeOf, parseDocument } from "#images/oci.ts";
import { parseReference } from "#images/reference.ts";
import { ownHosts } from "#images/registry/hosts.ts";

/** Repositories of images that are on this machine, and where a builder finds them. */
export type LoadedBases = {
  /** Host and path, in front of the repository's full name: "127.0.0.1:40001/SECRET". */
  readonly mirror: string;
  /** Full names: "docker.io/library/python". Not those of the machine's own registry, which has the newest itself. */
  readonly repositories: readonly string[];
};

/** Has `work` done while they are served; nothing listens where nothing was loaded. */
export async function withLoadedBases<T>(store: ImageStore, work: (bases: LoadedBases) => Promise<T>): Promise<T> {
  const own = await ownHosts(store.folder);
  const repositories = new Set((await loadedImages(store)).flatMap(({ tags }) => tags.map(repositoryOf)));
  for (const name of repositories) if (own.includes(name.split("/", 1)[0] ?? "")) repositories.delete(name);
  if (repositories.size === 0) return await work({ mirror: "", repositories: [] });
  // Everybody on the machine can connect; who is not told does not find it.
  const secret = randomBytes(12).toString("hex");
  const server = createServer((request, response) => {
    answer(store, secret, request, response).catch(() => response.destroy());
  }).listen(0, "127.0.0.1");
  try {
    await once(server, "listening");
    const mirror = `127.0.0.1:${(server.address() as AddressInfo).port}/${secret}`;
    return await work({ mirror, repositories: [...repositories].sort() });
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

async function answer(
  store: ImageStore,
  secret: string,
  { url = "", method }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (url === "/v2/") return void response.writeHead(200).end();
  const [, name = "", kind, reference = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)$/.exec(url) ?? [];
  const repository = name.startsWith(`${secret}/`) ? name.slice(secret.length + 1) : "";
  const ofRepository = (await loadedImages(store)).filter(({ tags }) => tags.map(repositoryOf).includes(repository));
  const isHead = method === "HEAD";
  if (kind === "manifests") {
    const named = reference.includes(":") ? `${repository}@${reference}` : `${repository}:${reference}`;
    const image = ofRepository.find(
      ({ tags, digests, manifestDigest }) =>
        tags.includes(named) || digests.includes(named) || manifestDigest === reference,
    );
    if (image) return await sendManifest(store, image, response, isHead);
  } else if (kind === "blobs" && ofRepository.some(({ blobs }) => blobs.includes(reference))) {
    const size = await store.blobs.find(reference);
    if (size !== undefined) {
      response.writeHead(200, { "content-type": "application/octet-stream", "content-length": size });
      return isHead ? void response.end() : await pipeline(store.blobs.open(reference), response);
    }
  }
  const errors = [{ code: kind === "blobs" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN", message: "not on this machine" }];
  response.writeHead(404, { "content-type": "application/json" }).end(JSON.stringify({ errors }));
}

async function sendManifest(
  store: ImageStore,
  { manifestDigest }: StoredImage,
  response: ServerResponse,
  isHead: boolean,
): Promise<void> {
  const bytes = await store.blobs.read(manifestDigest);
  response.writeHead(200, {
    "content-type": mediaTypeOf(parseDocument(bytes, manifestDigest)),
    "content-length": bytes.length,
    "docker-content-digest": manifestDigest,
  });
  response.end(isHead ? undefined : bytes);
}

async function loadedImages(store: ImageStore): Promise<readonly StoredImage[]> {
  return (await store.list()).filter(({ isLoaded }) => isLoaded === true);
}

function repositoryOf(tag: string): string {
  const { registry, repository } = parseReference(tag);
  return `${registry}/${repository}`;
}

/**
 * Requests about blobs: reading whole ones and parts, deleting, and pushing in one piece, in several, or by mounting.
 */
import { createReadStream } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { EmbeddedRegistry } from "./embedded-registry.ts";
import { checkDigest } from "./names.ts";
import { RegistryFault } from "./registry-fault.ts";
import type { Repository } from "./repository.ts";
import { parsePiece, parseRange } from "./request.ts";

/** One request, and what it is about. */
export type Exchange = {
  readonly registry: EmbeddedRegistry;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
};

/** GET and HEAD. */
export async function readBlob(exchange: Exchange, repository: Repository, digest: string): Promise<void> {
  const { request, response } = exchange;
  const size = await repository.findBlob(checkDigest(digest));
  if (size === undefined) throw new RegistryFault("BLOB_UNKNOWN", `${repository.name} has no blob ${digest}`);
  const headers = {
    "content-type": "application/octet-stream",
    "docker-content-digest": digest,
    "accept-ranges": "bytes",
    etag: `"${digest}"`,
  };
  if (request.method === "HEAD") {
    // Who asks whether it must be pushed is going to name it in a manifest.
    await repository.touchBlob(digest);
    response.writeHead(200, { ...headers, "content-length": size }).end();
    return;
  }
  const range = parseRange(request.headers.range, size);
  const length = range ? range.end - range.start + 1 : size;
  const parts = range && { "content-range": `bytes ${range.start}-${range.end}/${size}` };
  response.writeHead(range ? 206 : 200, { ...headers, ...parts, "content-length": length });
  await pipeline(createReadStream(repository.blobPath(digest), { ...range, highWaterMark: 1 << 18 }), response);
}

/** DELETE. */
export async function deleteBlob({ response }: Exchange, repository: Repository, digest: string): Promise<void> {
  if (!(await repository.removeBlob(checkDigest(digest))))
    throw new RegistryFault("BLOB_UNKNOWN", `${repository.name} has no blob ${digest}`);
  response.writeHead(202, { "content-length": 0 }).end();
}

/** POST: begins an upload, takes a whole blob, or mounts one of another repository. */
export async function beginUpload(exchange: Exchange, repository: Repository): Promise<void> {
  const { registry, query, request } = exchange;
  const mount = query.get("mount");
  const from = query.get("from");
  if (
    mount !== null &&
    from !== null &&
    (await registry.mountBlob(repository, checkDigest(mount), registry.repository(from)))
  )
    return created(exchange, repository, mount);
  const digest = query.get("digest");
  const algorithm = query.get("digest-algorithm") === "sha512" ? "sha512" : "sha256";
  if (digest !== null) checkDigest(digest);
  const id = await registry.uploads.begin(repository, algorithm);
  if (digest === null) return progress(exchange, repository, { id, received: 0, status: 202 });
  try {
    await registry.uploads.append(repository, id, bodyOf(request));
    await finish(exchange, repository, id, digest);
  } catch (error) {
    await registry.uploads.cancel(repository, id).catch(() => {}); // a wrong digest ended it already
    throw error;
  }
}

/** GET: how far it is. */
export async function readUpload(exchange: Exchange, repository: Repository, id: string): Promise<void> {
  const received = await exchange.registry.uploads.received(repository, id);
  progress(exchange, repository, { id, received, status: 204 });
}

/** PATCH: the next piece. */
export async function continueUpload(exchange: Exchange, repository: Repository, id: string): Promise<void> {
  const received = await append(exchange, repository, id);
  progress(exchange, repository, { id, received, status: 202 });
}

/** PUT: the last piece, if there is one, and the digest of it all. */
export async function endUpload(exchange: Exchange, repository: Repository, id: string): Promise<void> {
  const digest = checkDigest(exchange.query.get("digest") ?? "");
  await append(exchange, repository, id);
  await finish(exchange, repository, id, digest);
}

/** DELETE. */
export async function cancelUpload(
  { registry, response }: Exchange,
  repository: Repository,
  id: string,
): Promise<void> {
  await registry.uploads.cancel(repository, id);
  response.writeHead(204).end();
}

// A piece that does not begin where the last one ended is told where that is.
async function append({ registry, request }: Exchange, repository: Repository, id: string): Promise<number> {
  const header = request.headers["content-range"];
  try {
    return await registry.uploads.append(
      repository,
      id,
      bodyOf(request),
      header === undefined ? undefined : parsePiece(header),
    );
  } catch (error) {
    if (!(error instanceof RegistryFault) || error.status !== 416) throw error;
    const received = await registry.uploads.received(repository, id);
    throw new RegistryFault(error.code, error.message, {
      status: error.status,
      headers: uploadHeaders(repository, id, received),
    });
  }
}

// The connection is to live on when reading ends early, so that the client gets an answer.
function bodyOf(request: IncomingMessage): AsyncIterable<Buffer> {
  return request.iterator({ destroyOnReturn: false });
}

async function finish(exchange: Exchange, repository: Repository, id: string, digest: string): Promise<void> {
  const { registry } = exchange;
  await registry.uploads.commit(repository, id, digest, (file) => registry.keepBlob(repository, digest, file));
  created(exchange, repository, digest);
}

function created({ response }: Exchange, repository: Repository, digest: string): void {
  const location = `/v2/${repository.name}/blobs/${digest}`;
  response.writeHead(201, { location, "docker-content-digest": digest, "content-length": 0 }).end();
}

function progress(
  { response }: Exchange,
  repository: Repository,
  { id, received, status }: { readonly id: string; readonly received: number; readonly status: 202 | 204 },
): void {
  const length = status === 204 ? {} : { "content-length": 0 };
  response.writeHead(status, { ...uploadHeaders(repository, id, received), ...length }).end();
}

function uploadHeaders(repository: Repository, id: string, received: number): Record<string, string> {
  return {
    location: `/v2/${repository.name}/blobs/uploads/${id}`,
    // Both ends belong to it: of nothing this says that a byte is there, and clients know.
    range: `0-${Math.max(0, received - 1)}`,
    "docker-upload-uuid": id,
  };
}

/**
 * Requests about manifests, tags, and what refers to a manifest.
 */
import type { Exchange } from "./blob-requests.ts";
import { manifestDigest } from "./embedded-registry.ts";
import { largestManifest } from "./manifests.ts";
import { checkDigest, checkTag, looksLikeDigest } from "./names.ts";
import { RegistryFault } from "./registry-fault.ts";
import type { Repository } from "./repository.ts";
import { mediaTypes } from "#images/oci.ts";

/** GET and HEAD. */
export async function readManifest(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
  const { registry, request, response } = exchange;
  checkDigestOf(reference);
  const found = await registry.findManifest(repository, reference);
  if (!found) throw new RegistryFault("MANIFEST_UNKNOWN", `${repository.name} has no manifest ${reference}`);
  const { bytes, digest, mediaType } = found;
  response.writeHead(200, {
    "content-type": mediaType,
    "content-length": bytes.length,
    "docker-content-digest": digest,
    etag: `"${digest}"`,
  });
  response.end(request.method === "HEAD" ? undefined : bytes);
}

/** PUT. */
export async function writeManifest(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
  const { registry, request, response } = exchange;
  if (!checkDigestOf(reference)) checkTag(reference);
  const bytes = await readBody(request);
  const digest = manifestDigest(reference, bytes);
  const mediaType = request.headers["content-type"]?.split(";")[0]?.trim();
  const tag = looksLikeDigest(reference) ? undefined : reference;
  const manifest = await registry.putManifest(repository, { digest, bytes, tag, mediaType });
  response.writeHead(201, {
    location: `/v2/${repository.name}/manifests/${digest}`,
    "docker-content-digest": digest,
    ...(manifest.subject === undefined ? {} : { "oci-subject": manifest.subject }),
    "content-length": 0,
  });
  response.end();
}

/** DELETE. */
export async function deleteManifest(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
  checkDigestOf(reference);
  if (!(await exchange.registry.removeManifest(repository, reference)))
    throw new RegistryFault("MANIFEST_UNKNOWN", `${repository.name} has no manifest ${reference}`);
  exchange.response.writeHead(202, { "content-length": 0 }).end();
}

/** GET: the repository's tags, all or a page of them. */
export async function listTags(exchange: Exchange, repository: Repository): Promise<void> {
  if (!(await repository.exists()))
    throw new RegistryFault("NAME_UNKNOWN", `there is no repository ${repository.name}`);
  const { page, link } = pageOf(await repository.tags(), exchange.query, `/v2/${repository.name}/tags/list`);
  sendJson(exchange, { name: repository.name, tags: page }, link);
}

/** GET: names of all repositories. */
export async function listCatalog(exchange: Exchange): Promise<void> {
  const { page, link } = pageOf(await exchange.registry.catalog(), exchange.query, "/v2/_catalog");
  sendJson(exchange, { repositories: page }, link);
}

/** GET: what refers to a manifest, of all kinds or of one. */
export async function listReferrers(exchange: Exchange, repository: Repository, digest: string): Promise<void> {
  const wanted = exchange.query.get("artifactType");
  const all = await exchange.registry.referrers(repository, checkDigest(digest));
  const manifests = wanted === null ? all : all.filter(({ artifactType }) => artifactType === wanted);
  const headers = wanted === null ? {} : { "oci-filters-applied": "artifactType" };
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
  sendJson(exchange, index, { ...headers, "content-type": mediaTypes.index });
}

// A tag that cannot be one is not there: that is what clients expect to hear.
function checkDigestOf(reference: string): boolean {
  const isDigest = looksLikeDigest(reference);
  if (isDigest) checkDigest(reference);
  return isDigest;
}

async function readBody(request: Exchange["request"]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > largestManifest)
      throw new RegistryFault("MANIFEST_INVALID", `manifests may have ${largestManifest} bytes`, { status: 413 });
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function pageOf(
  all: readonly string[],
  query: URLSearchParams,
  path: string,
): { readonly page: readonly string[]; readonly link: Readonly<Record<string, string>> } {
  const last = query.get("last");
  const after = last === null ? all : all.filter((name) => name > last);
  const wanted = query.get("n");
  if (wanted === null || !/^\d+$/.test(wanted)) return { page: after, link: {} };
  const page = after.slice(0, Number(wanted));
  const end = page.at(-1);
  if (end === undefined || page.length === after.length) return { page, link: {} };
  return { page, link: { link: `<${path}?n=${wanted}&last=${encodeURIComponent(end)}>; rel="next"` } };
}

function sendJson({ response, request }: Exchange, value: unknown, headers: Readonly<Record<string, string>>): void {
  const text = JSON.stringify(value);
  response.writeHead(200, {
    "content-type": "application/json",
    ...headers,
    "content-length": Buffer.byteLength(text),
  });
  response.end(request.method === "HEAD" ? undefined : text);
}

/**
 * What a tag means at its registry now, without fetching anything: a HEAD for its manifest. As go-containerregistry's remote.Head, whose messages these are.
 */
import type { Dispatcher } from "undici";
import { digestOf } from "./blobs.ts";
import { statusLine } from "./connection-errors.ts";
import { type Credential, matchCredentials } from "./credentials.ts";
import { isDigest, type ImageReference, parseReference } from "./reference.ts";
import {
  makeAgent,
  manifestTypes,
  registryAddresses,
  RegistryClient,
  RegistryError,
  type RegistrySettings,
} from "./registry-client.ts";

/** Statuses that say something about the image, or about who asks. */
const answers: readonly number[] = [200, 400, 401, 403, 404, 405, 429, 500, 502, 503, 504];

/** The digest of `name`'s manifest or index. Throws {@link RegistryError}, or InvalidReference. All addresses are asked with all credentials that fit, until one answers. */
export async function remoteDigest(
  name: string,
  credentials: readonly Credential[],
  { settings, signal }: { readonly settings: RegistrySettings; readonly signal: AbortSignal },
): Promise<string> {
  const reference = parseReference(name);
  if (reference.digest !== undefined) return reference.digest;
  const fitting = matchCredentials(reference, [...credentials, ...(settings.credentials ?? [])]);
  let failure: unknown;
  for (const base of registryAddresses(reference.registry, settings)) {
    const agent = await makeAgent(base, settings);
    try {
      for (const credential of fitting.length > 0 ? fitting : [undefined]) {
        const client = new RegistryClient({ base, repository: reference.repository, credential, agent });
        try {
          return await ask(client, reference, signal);
        } catch (error) {
          if (!(error instanceof RegistryError) || signal.aborted) throw timedOut(client, reference, error, signal);
          failure = error;
        }
      }
    } finally {
      await agent.destroy();
    }
  }
  throw failure;
}

async function ask(client: RegistryClient, reference: ImageReference, signal: AbortSignal): Promise<string> {
  const { tag = "latest" } = reference;
  const path = pathOf(reference);
  const accept = { accept: manifestTypes };
  const response = await client.exchange({ method: "HEAD", path, headers: accept, expected: answers }, signal);
  await response.body.dump();
  const said = headerOf(response, "docker-content-digest");
  if (response.statusCode === 200 && said !== undefined && isDigest(said)) return said;
  // Some registries do not know HEAD, or do not say the digest: then it is counted.
  if (response.statusCode === 200 || response.statusCode === 405) return digestOf(await client.manifest(tag, signal));
  const why = `unexpected status code ${statusLine(response.statusCode)} (HEAD responses have no body, use GET for details)`;
  throw new RegistryError(reasonOf(response.statusCode), `HEAD ${client.base}${path}: ${why}`);
}

/** The words of Go's context for a time that is over. */
function timedOut(client: RegistryClient, reference: ImageReference, cause: unknown, signal: AbortSignal): unknown {
  if (!signal.aborted) return cause;
  const message = `Head "${client.base}${pathOf(reference)}": context deadline exceeded`;
  return new RegistryError("unavailable", message, { cause });
}

function pathOf({ repository, tag = "latest" }: ImageReference): string {
  return `/v2/${repository}/manifests/${tag}`;
}

function headerOf({ headers }: Dispatcher.ResponseData, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

function reasonOf(status: number): RegistryError["reason"] {
  if (status === 404) return "notFound";
  if (status === 401 || status === 403) return "unauthorized";
  return status === 429 || status >= 500 ? "unavailable" : "protocol";
}

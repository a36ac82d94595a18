/**
 * `nodeless image push`: an image of this machine goes into a registry. The machine's own is a folder beside it, and nothing is sent; any other is spoken to as for pulls, with the credentials of
 * registries.yaml and those that `docker login` left.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "#cli/command.ts";
import { registrySettings } from "#cmd/node/registry-settings.ts";
import { ifThere } from "#component-base/missing-file.ts";
import type { Credential } from "#images/credentials.ts";
import { namesOf, pushImage, type PushedImage } from "#images/push.ts";
import { type ImageReference, InvalidReference, parseReference } from "#images/reference.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { isOwnHost } from "#images/registry/hosts.ts";
import { parseDockerSecret } from "#kubelet/engine/pull-credentials.ts";
import type { MachineContext } from "./clusters.ts";
import { getImage, openStore } from "./images.ts";

/** Pushes `reference` as `target`. Throws UserError. */
export async function pushStoredImage(
  context: MachineContext,
  reference: string,
  target: string,
): Promise<{ readonly name: string; readonly digest: string }> {
  const to = checkedTarget(target);
  const store = await openStore(context);
  const { manifestDigest: digest } = await getImage(store, reference);
  try {
    if (await isOwnHost(store.folder, to.registry)) {
      await new EmbeddedRegistry({ store }).publish(to, digest);
      return namesOf(to, digest);
    }
    return await pushElsewhere(context, { blobs: store.blobs, digest, name: target });
  } catch (cause) {
    throw new UserError(`${reference} was not pushed to ${target}: ${(cause as Error).message}`, { cause });
  }
}

async function pushElsewhere(
  { environment }: MachineContext,
  push: Pick<Parameters<typeof pushImage>[0], "blobs" | "digest" | "name">,
): Promise<PushedImage> {
  const settings = await registrySettings(environment);
  const credentials = await dockerCredentials(environment);
  return await pushImage({ ...push, settings, credentials }, new AbortController().signal);
}

/** What `docker login`, `podman login --compat-auth-file` and CI jobs leave. Helpers that keep passwords elsewhere are not asked. */
async function dockerCredentials(environment: NodeJS.ProcessEnv): Promise<readonly Credential[]> {
  const folder = environment["DOCKER_CONFIG"] ?? join(environment["HOME"] ?? "/root", ".docker");
  const bytes = await ifThere(readFile(join(folder, "config.json")), undefined);
  return bytes === undefined ? [] : parseDockerSecret({ ".dockerconfigjson": bytes.toString("base64") });
}

function checkedTarget(target: string): ImageReference {
  try {
    const reference = parseReference(target);
    if (reference.digest === undefined) return reference;
    throw new InvalidReference("its digest is what it is");
  } catch (cause) {
    if (!(cause instanceof InvalidReference)) throw cause;
    throw new UserError(`"${target}" cannot name an image: ${cause.message}`, { exitCode: 2, cause });
  }
}

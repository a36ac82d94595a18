/**
 * Installs CustomResourceDefinitions: creates what is missing, brings what is older up to date, and waits until all are served. Doing it again costs one read of each.
 */
import { createHash } from "node:crypto";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Client } from "./client.ts";
import { findObject } from "./find-object.ts";

const definitions: GroupVersionResource = {
  group: "apiextensions.k8s.io",
  version: "v1",
  resource: "customresourcedefinitions",
};

/** Tells which edition of a definition is installed. */
const hashAnnotation = "nodeless.dev/definition-hash";
const servedTimeoutMs = 30_000;
const lookAgainMs = 10;

type Definition = KubeObject & {
  readonly spec?: object;
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
};

/** Resolves when the API server serves all kinds of the definitions. */
export async function installDefinitions(
  client: Client,
  definitionsOfKinds: readonly KubeObject[],
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const wanted = definitionsOfKinds.map(withHash);
  await Promise.all(wanted.map((definition) => ensure(client, definition, options.signal)));
  await Promise.all(wanted.map((definition) => waitUntilServed(client, definition, options)));
}

function withHash(definition: KubeObject): KubeObject {
  const hash = createHash("sha256").update(JSON.stringify(definition)).digest("hex").slice(0, 16);
  return { ...definition, metadata: { ...definition.metadata, annotations: { [hashAnnotation]: hash } } };
}

async function ensure(client: Client, wanted: Definition, signal: AbortSignal): Promise<void> {
  const ref = { resource: definitions, name: wanted.metadata?.name ?? "" };
  const found = await findObject<Definition>(client, ref, { signal });
  if (found === undefined) {
    await client.create({ resource: definitions }, wanted, { signal });
    return;
  }
  const hash = (object: Definition) => object.metadata?.annotations?.[hashAnnotation];
  if (hash(found) === hash(wanted)) return;
  const body = {
    metadata: { annotations: wanted.metadata?.annotations, labels: wanted.metadata?.labels },
    spec: wanted.spec,
  };
  await client.patch(ref, { type: "merge", body }, { signal });
}

async function waitUntilServed(
  client: Client,
  { metadata }: Definition,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const until = clock.now() + servedTimeoutMs;
  for (;;) {
    const found = await client.get<Definition>({ resource: definitions, name: metadata?.name ?? "" }, { signal });
    const isServed = (found.status?.conditions ?? []).some(
      ({ type, status }) => type === "Established" && status === "True",
    );
    if (isServed) return;
    if (clock.now() > until) throw new Error(`${metadata?.name} was not established within ${servedTimeoutMs} ms`);
    await clock.sleep(lookAgainMs, signal);
  }
}

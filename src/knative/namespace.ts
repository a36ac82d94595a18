/**
 * The namespace in which a part of Knative keeps its ConfigMaps.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";

/** Makes the namespace when it is missing. */
export async function ensureNamespace(
  client: Client,
  { name, labels }: { readonly name: string; readonly labels?: Readonly<Record<string, string>> },
  signal: AbortSignal,
): Promise<void> {
  const resource = { group: "", version: "v1", resource: "namespaces" };
  const metadata = { name, ...(labels === undefined ? {} : { labels }) };
  const namespace: KubeObject = { apiVersion: "v1", kind: "Namespace", metadata };
  try {
    await client.get({ resource, name }, { signal });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
    await client.create({ resource }, namespace, { signal }).catch((problem: unknown) => {
      // Another part made it meanwhile.
      if (!hasReason(problem, "AlreadyExists")) throw problem;
    });
  }
}

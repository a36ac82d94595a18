/**
 * Finds the resource that a person means ("po", "deploy", "pods.v1", "Deployment") by asking the server's discovery.
 */
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import type { Transport } from "#client/transport.ts";
import { UserError } from "./command.ts";

/** A resource as discovery shows it. */
export type FoundResource = GroupVersionResource & { readonly kind: string; readonly isNamespaced: boolean };

/** A resource with the words that people call it by, and the groups of resources that it is in: "all". */
export type KnownResource = FoundResource & {
  readonly names: readonly string[];
  readonly categories: readonly string[];
};

type Discovery = {
  readonly items: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions: readonly { readonly version: string; readonly resources?: readonly DiscoveredResource[] }[];
  }[];
};

type DiscoveredResource = {
  readonly resource: string;
  readonly singularResource: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly responseKind?: { readonly kind: string };
  readonly scope: "Namespaced" | "Cluster";
};

/** All resources that the server has, preferred versions first. */
export async function discoverResources(transport: Transport): Promise<readonly KnownResource[]> {
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const documents = await Promise.all(
    ["/api", "/apis"].map((path) => transport.request({ method: "GET", path, accept })),
  );
  return documents
    .flatMap(({ body }) => (body as unknown as Discovery).items)
    .flatMap(({ metadata, versions }) =>
      versions.flatMap(({ version, resources }) =>
        (resources ?? []).map((found) => ({
          group: metadata?.name ?? "",
          version,
          resource: found.resource,
          kind: found.responseKind?.kind ?? "",
          isNamespaced: found.scope === "Namespaced",
          categories: found.categories ?? [],
          names: [
            found.resource,
            found.singularResource,
            ...(found.shortNames ?? []),
            (found.responseKind?.kind ?? "").toLowerCase(),
          ],
        })),
      ),
    );
}

/** Whether the word means this resource: "deploy", "Deployment", and narrower "deployments.apps" and "deployments.v1.apps". */
export function matchesWord({ names, group, version }: KnownResource, word: string): boolean {
  const [name = "", ...rest] = word.toLowerCase().split(".");
  const suffix = rest.join(".");
  return names.includes(name) && ["", group, `${version}.${group}`, version].includes(suffix);
}

/** The resource that holds objects of this apiVersion and kind. Throws UserError. */
export async function findResourceOfKind(
  transport: Transport,
  apiVersion: string,
  kind: string,
): Promise<FoundResource> {
  const found = (await discoverResources(transport)).find(
    ({ group, version, kind: candidate }) =>
      candidate === kind && (group === "" ? version : `${group}/${version}`) === apiVersion,
  );
  if (!found)
    throw new UserError(
      `no matches for kind "${kind}" in version "${apiVersion}"; is its CustomResourceDefinition installed?`,
    );
  return found;
}

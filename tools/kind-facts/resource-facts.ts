/**
 * Resources of all groups and versions from upstream's published discovery documents, in the lines that `src/api/kind-facts-table.ts` reads:
 *
 *     resource|singular|kind|N or C|verbs|shortNames|categories      below a line `group/version`
 *     >name|group|version|kind|verbs                                a subresource of the line above
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { moduleFolder } from "./go-modules.ts";

type GroupVersionKind = { readonly group: string; readonly version: string; readonly kind: string };
type Resource = {
  readonly resource: string;
  readonly responseKind?: GroupVersionKind;
  readonly scope: string;
  readonly shortNames?: readonly string[];
  readonly singularResource: string;
  readonly categories?: readonly string[];
  readonly verbs: readonly string[];
  readonly subresources?: readonly {
    readonly subresource: string;
    readonly responseKind?: GroupVersionKind;
    readonly verbs: readonly string[];
  }[];
};
type Discovery = {
  readonly items: readonly {
    readonly metadata: { readonly name?: string };
    readonly versions: readonly { readonly version: string; readonly resources: readonly Resource[] }[];
  }[];
};
type LegacyResource = GroupVersionKind & {
  readonly name: string;
  readonly singularName: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
};

/** A group and version with its lines. */
export type GroupVersionFacts = { readonly group: string; readonly version: string; readonly lines: readonly string[] };

/** The core group first, then the others in the order of upstream's aggregated document. */
export function readResourceFacts(): GroupVersionFacts[] {
  const folder = join(moduleFolder("k8s.io/kubernetes"), "api/discovery");
  const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), "utf8"));
  const core = read("api__v1.json") as { readonly resources: readonly LegacyResource[] };
  const facts: GroupVersionFacts[] = [{ group: "", version: "v1", lines: legacyLines(core.resources) }];
  for (const item of (read("aggregated_v2.json") as Discovery).items) {
    const group = item.metadata.name ?? "";
    if (group === "") continue;
    for (const { version, resources } of item.versions)
      facts.push({ group, version, lines: lines(group, version, resources) });
  }
  return facts;
}

function lines(group: string, version: string, resources: readonly Resource[]): string[] {
  return resources.flatMap((resource) => [
    [
      resource.resource,
      resource.singularResource,
      resource.responseKind?.kind ?? "",
      resource.scope === "Namespaced" ? "N" : "C",
      resource.verbs.join(","),
      (resource.shortNames ?? []).join(","),
      (resource.categories ?? []).join(","),
    ].join("|"),
    ...(resource.subresources ?? []).map((sub) =>
      [
        `>${sub.subresource}`,
        sub.responseKind?.version ? sub.responseKind.group : group,
        sub.responseKind?.version || version,
        sub.responseKind?.kind ?? "",
        sub.verbs.join(","),
      ].join("|"),
    ),
  ]);
}

/** The core group's document is of the older form, where subresources are entries of their own: "pods/exec". */
function legacyLines(resources: readonly LegacyResource[]): string[] {
  const mains = resources.filter((entry) => !entry.name.includes("/"));
  return lines(
    "",
    "v1",
    mains.map((main) => ({
      ...main,
      resource: main.name,
      singularResource: main.singularName,
      scope: main.namespaced ? "Namespaced" : "Cluster",
      responseKind: { group: "", version: "", kind: main.kind },
      subresources: resources
        .filter((entry) => entry.name.startsWith(`${main.name}/`))
        .map((entry) => ({
          subresource: entry.name.slice(main.name.length + 1),
          responseKind: { group: entry.group ?? "", version: entry.version ?? "", kind: entry.kind },
          verbs: entry.verbs,
        })),
    })),
  );
}

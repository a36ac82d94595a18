/**
 * CustomResourceDefinitions. As apiextensions-apiserver's defaults and strategy; what is served of them is in the API server's custom-resources.
 */
import type { CustomResourceDefinition } from "#api/generated/types/apiextensions-v1.ts";
import { ensureObject, itemsOf, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";

export const customResourceDefinitionStrategy: KindStrategy<CustomResourceDefinition> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    const names = ensureObject(spec, "names");
    const { kind } = names as { readonly kind?: string };
    if (!names["singular"]) names["singular"] = (kind ?? "").toLowerCase();
    if (!names["listKind"] && kind) names["listKind"] = `${kind}List`;
    setDefault(spec, "conversion", { strategy: "None" });
    const { webhook } = spec["conversion"] as { readonly webhook?: Draft };
    const service = webhook?.["clientConfig"]?.service as Draft | undefined;
    if (service !== undefined && service !== null) setDefault(service, "port", 443);
  },
  prepareForCreate(draft) {
    const stored = storageVersionOf(draft);
    draft["status"] = { ...emptyStatus(), storedVersions: stored === undefined ? [] : [stored] };
  },
  prepareForUpdate(draft) {
    const stored = storageVersionOf(draft);
    const status = draft["status"] as { readonly storedVersions?: readonly string[] } | undefined;
    const versions = status?.storedVersions ?? [];
    if (stored === undefined || versions.includes(stored)) return;
    draft["status"] = { ...emptyStatus(), ...status, storedVersions: [...versions, stored] };
  },
  loadChecks: async () => (await import("./definition-checks.ts")).definitionChecks,
  allowsUnconditionalUpdate: false,
  deletionFinalizers: ["customresourcecleanup.apiextensions.k8s.io"],
};

/** What Go shows of a status that nobody set. */
function emptyStatus(): Draft {
  return { conditions: null, acceptedNames: { plural: "", kind: "" }, storedVersions: [] };
}

function storageVersionOf(draft: Draft): string | undefined {
  const versions = itemsOf((draft["spec"] as Draft | undefined)?.["versions"]);
  return versions.find((version) => version["storage"] === true)?.["name"] as string | undefined;
}

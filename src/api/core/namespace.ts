/**
 * Namespaces: every one carries its name as a label and the finalizer `kubernetes` in its spec; deleting ends it in two steps, which the API server's registry does.
 */
import type { Namespace } from "#api/generated/types/core-v1.ts";
import { ensureObject, setTextDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";

const nameLabel = "kubernetes.io/metadata.name";

export const namespaceStrategy: KindStrategy<Namespace> = {
  nameRule: "dns-label",
  applyDefaults(draft) {
    const metadata = ensureObject(draft, "metadata");
    if (metadata["name"]) ensureObject(metadata, "labels")[nameLabel] = metadata["name"];
    if (draft["status"]) setTextDefault(draft["status"] as Draft, "phase", "Active");
  },
  prepareForCreate(draft) {
    // Generated names are known only now.
    ensureObject(draft["metadata"] as Draft, "labels")[nameLabel] = draft["metadata"].name;
    const spec = ensureObject(draft, "spec");
    const finalizers: readonly string[] = spec["finalizers"] ?? [];
    if (!finalizers.includes("kubernetes")) spec["finalizers"] = [...finalizers, "kubernetes"];
    draft["status"] = { phase: "Active" };
  },
  prepareForUpdate(draft, old) {
    // Only /finalize changes them.
    draft["spec"] = { ...draft["spec"], ...(old.spec?.finalizers ? { finalizers: old.spec.finalizers } : {}) };
  },
  selectableFields: ({ metadata, status }) => ({ name: metadata?.name ?? "", "status.phase": status?.phase ?? "" }),
  hasNoGeneration: true,
};

/**
 * Jobs: the selector and the labels that make a job's pods its own are made with it. As pkg/registry/batch/job/strategy.go.
 */
import type { Job } from "#api/generated/types/batch-v1.ts";
import { ensureObject, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateJob, validateJobStatus, validateJobUpdate } from "./job-validation.ts";
import { applyJobDefaults, applyJobTemplateDefaults } from "./job-spec-defaults.ts";

export const jobStrategy: KindStrategy<Job> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    applyJobTemplateDefaults(spec);
    applyJobDefaults(spec);
    labelAsPods(draft);
  },
  prepareForCreate(draft) {
    draft["status"] = {};
    if (draft["spec"].manualSelector === true) return;
    generateSelector(draft);
    labelAsPods(draft);
  },
  validate: validateJob,
  validateUpdate: validateJobUpdate,
  validateStatusUpdate: validateJobStatus,
  selectableFields: ({ status }) => ({ "status.successful": String(status?.succeeded ?? 0) }),
  // As upstream for batch/v1, from the time before garbage collection; kubectl always says what it wants.
  defaultGarbageCollection: "orphan",
};

// A job without labels has those of its pods, the ones of its selector included: upstream's defaults come again whenever it is read.
function labelAsPods(draft: Draft): void {
  const labels = draft["spec"].template?.metadata?.labels as Draft | undefined;
  const metadata = ensureObject(draft, "metadata");
  if (labels && Object.keys(metadata["labels"] ?? {}).length === 0) metadata["labels"] = { ...labels };
}

function generateSelector(draft: Draft): void {
  const { name, uid } = draft["metadata"] as Draft;
  const spec = draft["spec"] as Draft;
  const labels = ensureObject(ensureObject(ensureObject(spec, "template"), "metadata"), "labels");
  // Labels that the user set stay; validation refuses those that differ.
  for (const key of ["job-name", "batch.kubernetes.io/job-name"]) setDefault(labels, key, name);
  for (const key of ["controller-uid", "batch.kubernetes.io/controller-uid"]) setDefault(labels, key, uid);
  setDefault(ensureObject(ensureObject(spec, "selector"), "matchLabels"), "batch.kubernetes.io/controller-uid", uid);
}

/**
 * CronJobs. As pkg/apis/batch/v1/defaults.go and pkg/registry/batch/cronjob/strategy.go.
 */
import type { CronJob } from "#api/generated/types/batch-v1.ts";
import { ensureObject, setDefault, setTextDefault } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateCronJob, validateCronJobUpdate } from "./job-validation.ts";
import { applyJobTemplateDefaults } from "./job-spec-defaults.ts";

export const cronJobStrategy: KindStrategy<CronJob> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    setTextDefault(spec, "concurrencyPolicy", "Allow");
    setDefault(spec, "suspend", false);
    setDefault(spec, "successfulJobsHistoryLimit", 3);
    setDefault(spec, "failedJobsHistoryLimit", 1);
    if (spec["jobTemplate"]?.spec) applyJobTemplateDefaults(spec["jobTemplate"].spec);
  },
  prepareForCreate(draft) {
    draft["status"] = {};
  },
  validate: validateCronJob,
  validateUpdate: validateCronJobUpdate,
};

/**
 * Defaults of job specs, in jobs and in cron jobs. As pkg/apis/batch/v1/defaults.go.
 */
import { applyPodTemplateDefaults } from "#api/core/pod-spec-defaults.ts";
import { itemsOf, setDefault, setTextDefault } from "#api/defaults.ts";
import type { Draft } from "#api/strategy.ts";

const maxInt32 = 2_147_483_647;

/** Fills in what jobs and templates of jobs have in common. */
export function applyJobTemplateDefaults(spec: Draft): void {
  applyPodTemplateDefaults(spec["template"] as Draft);
  for (const rule of itemsOf(spec["podFailurePolicy"]?.rules)) {
    for (const pattern of itemsOf(rule["onPodConditions"])) setTextDefault(pattern, "status", "True");
  }
}

/** Fills in what only jobs have. */
export function applyJobDefaults(spec: Draft): void {
  // Neither said: one pod that succeeds. Only parallelism said: a work queue, which ends when a pod says so.
  if (spec["completions"] == null && spec["parallelism"] == null) spec["completions"] = 1;
  setDefault(spec, "parallelism", 1);
  setDefault(spec, "backoffLimit", spec["backoffLimitPerIndex"] == null ? 6 : maxInt32);
  setTextDefault(spec, "completionMode", "NonIndexed");
  setDefault(spec, "suspend", false);
  setTextDefault(spec, "podReplacementPolicy", spec["podFailurePolicy"] ? "Failed" : "TerminatingOrFailed");
  setDefault(spec, "manualSelector", false);
}

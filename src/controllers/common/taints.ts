/**
 * Taints of nodes and the tolerations of pods, as far as eviction needs them.
 */
import type { Taint, Toleration } from "#api/generated/types/core-v1.ts";

/** True when the toleration tolerates the taint, whatever for how long. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  const operator = toleration.operator || "Equal";
  if (operator === "Exists") return true;
  if (operator === "Equal") return (toleration.value ?? "") === (taint.value ?? "");
  const [given, wanted] = [Number(taint.value), Number(toleration.value)];
  if (!taint.value || !Number.isSafeInteger(given) || !Number.isSafeInteger(wanted)) return false;
  return operator === "Gt" ? given > wanted : operator === "Lt" && given < wanted;
}

/** The taints with these added and those of `removed` taken away; a taint is the same when key and effect are. */
export function changeTaints(
  taints: readonly Taint[],
  added: readonly Taint[],
  removed: readonly Taint[],
): readonly Taint[] {
  const isSame = (a: Taint, b: Taint) => a.key === b.key && a.effect === b.effect;
  const kept = taints.filter((taint) => !removed.some((one) => isSame(one, taint)));
  return [...kept, ...added.filter((taint) => !kept.some((one) => isSame(one, taint)))];
}

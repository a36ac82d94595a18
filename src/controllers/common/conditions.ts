/**
 * Conditions in status: found, set and removed by type.
 */

/** What conditions of all kinds have. */
export type ConditionLike = { readonly type: string; readonly status: string; readonly reason?: string };

/** The condition of this type, or undefined. */
export function findCondition<C extends ConditionLike>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** The conditions without the one of this type. */
export function withoutCondition<C extends ConditionLike>(
  conditions: readonly C[] | undefined,
  type: string,
): readonly C[] {
  return (conditions ?? []).filter((condition) => condition.type !== type);
}

/** The conditions with this one, at the end; unchanged when the one that stands there has the same status and reason. */
export function withCondition<C extends ConditionLike>(conditions: readonly C[] | undefined, next: C): readonly C[] {
  const current = findCondition(conditions, next.type);
  if (current !== undefined && current.status === next.status && current.reason === next.reason)
    return conditions ?? [];
  return [...withoutCondition(conditions, next.type), next];
}

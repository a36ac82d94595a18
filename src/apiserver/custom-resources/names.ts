/**
 * Which names a CustomResourceDefinition gets: those that no other definition of its group has taken. As apiextensions-apiserver's naming controller.
 */
import { jsonEqual } from "#apimachinery/json.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionCondition,
  CustomResourceDefinitionNames,
} from "#api/generated/types/apiextensions-v1.ts";

type Condition = Omit<CustomResourceDefinitionCondition, "lastTransitionTime">;

/** What a definition is given. `conflict` says which names are taken. */
export type NamesDecision = {
  readonly names: CustomResourceDefinitionNames;
  readonly condition: Condition;
};

/** Decides on a definition's names. `others` are the accepted names of the group's other definitions. */
export function decideNames(
  definition: CustomResourceDefinition,
  others: readonly CustomResourceDefinitionNames[],
): NamesDecision {
  const wanted = definition.spec.names;
  const had: CustomResourceDefinitionNames = definition.status?.acceptedNames ?? { plural: "", kind: "" };
  const resources = new Set(
    others.flatMap(({ plural, singular, shortNames }) => [plural, singular, ...(shortNames ?? [])]),
  );
  const kinds = new Set(others.flatMap(({ kind, listKind }) => [kind, listKind]));
  const isFree = (name: string, before: string, taken: ReadonlySet<string | undefined>): boolean =>
    name === before || !taken.has(name);
  const conflicts: Condition[] = [];
  const refuse = (reason: string, ...names: string[]): void => {
    const message = names.map((name) => `${JSON.stringify(name)} is already in use`);
    conflicts.push({
      type: "NamesAccepted",
      status: "False",
      reason,
      message: message.length === 1 ? (message[0] as string) : `[${message.join(", ")}]`,
    });
  };
  const names: { -readonly [key in keyof CustomResourceDefinitionNames]: CustomResourceDefinitionNames[key] } = {
    ...had,
  };
  const { singular = "", listKind = "" } = wanted;
  if (isFree(wanted.plural, had.plural, resources)) names.plural = wanted.plural;
  else refuse("PluralConflict", wanted.plural);
  if (isFree(singular, had.singular ?? "", resources)) names.singular = singular;
  else refuse("SingularConflict", singular);
  const short = (wanted.shortNames ?? []).filter(
    (name) => !(had.shortNames ?? []).includes(name) && !isFree(name, "", resources),
  );
  if (short.length > 0) refuse("ShortNamesConflict", ...short);
  else if (wanted.shortNames !== undefined) names.shortNames = wanted.shortNames;
  else delete names.shortNames;
  if (isFree(wanted.kind, had.kind, kinds)) names.kind = wanted.kind;
  else refuse("KindConflict", wanted.kind);
  if (isFree(listKind, had.listKind ?? "", kinds)) names.listKind = listKind;
  else refuse("ListKindConflict", listKind);
  if (wanted.categories !== undefined) names.categories = wanted.categories;
  else delete names.categories;
  const accepted: Condition = {
    type: "NamesAccepted",
    status: "True",
    reason: "NoConflicts",
    message: "no conflicts found",
  };
  return { names, condition: conflicts.at(-1) ?? accepted };
}

/** The conditions with one set; its time changes only with its status. The same list when nothing changes. */
export function withCondition(
  conditions: readonly CustomResourceDefinitionCondition[],
  condition: Condition,
  time: string,
): readonly CustomResourceDefinitionCondition[] {
  const old = conditions.find(({ type }) => type === condition.type);
  const lastTransitionTime = old?.status === condition.status ? (old.lastTransitionTime ?? time) : time;
  const made: CustomResourceDefinitionCondition = { ...condition, lastTransitionTime };
  if (old === undefined) return [...conditions, made];
  if (jsonEqual(old, made)) return conditions;
  return conditions.map((each) => (each === old ? made : each));
}

/** True when the condition is there and true. */
export function isTrue(definition: CustomResourceDefinition, type: string): boolean {
  return (definition.status?.conditions ?? []).some((each) => each.type === type && each.status === "True");
}

/** True while a definition and its instances are being deleted. */
export function isEnding(definition: CustomResourceDefinition): boolean {
  return definition.metadata?.deletionTimestamp !== undefined;
}

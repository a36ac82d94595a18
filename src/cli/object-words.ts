/**
 * What objects people mean by words: `pods`, `deploy,svc`, `pod web`, `pod/web`, `all`.
 */
import type { Transport } from "#client/transport.ts";
import { UserError } from "./command.ts";
import { discoverResources, type FoundResource, matchesWord } from "./resource-finder.ts";

/** A resource and the names that are meant of it; none: all objects. */
export type ObjectChoice = { readonly resource: FoundResource; readonly names: readonly string[] };

/** What the words mean, in their order. Throws UserError. */
export async function findObjects(transport: Transport, words: readonly string[]): Promise<readonly ObjectChoice[]> {
  const choices = splitWords(words);
  const known = await discoverResources(transport);
  return choices.flatMap(({ type, names }) => {
    const ofCategory = known.filter(({ categories }) => categories.includes(type));
    const found = known.find((one) => matchesWord(one, type));
    if (found) return [{ resource: found, names }];
    if (ofCategory.length > 0 && names.length === 0) return ofCategory.map((resource) => ({ resource, names }));
    throw new UserError(`the server doesn't have a resource type "${type}"`);
  });
}

type Words = { readonly type: string; readonly names: readonly string[] };

/** The forms that there are: `TYPE[,TYPE…] [NAME…]` and `TYPE/NAME…`. Throws UserError for a mixture. */
export function splitWords(words: readonly string[]): readonly Words[] {
  if (words.some((word) => word.includes("/"))) return words.map(splitPair);
  const [types = "", ...names] = words;
  return types.split(",").map((type) => ({ type: type.toLowerCase(), names }));
}

function splitPair(word: string): Words {
  const [type = "", name = "", ...more] = word.split("/");
  if (type === "" || name === "" || more.length > 0) {
    const why = "objects are named as TYPE NAME… or as TYPE/NAME…, not as both at once";
    throw new UserError(`"${word}" is no TYPE/NAME: ${why}`, { exitCode: 2 });
  }
  return { type: type.toLowerCase(), names: [name] };
}

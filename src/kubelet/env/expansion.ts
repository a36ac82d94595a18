/**
 * `$(NAME)` in commands, arguments and values. `$$` is a dollar sign; a name that nobody knows stays as it is. As third_party/forked/golang/expansion.
 */

/** Replaces references by what `lookup` gives; undefined leaves the reference in the text. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, _, name: string | undefined) => {
    if (name === undefined) return "$";
    return lookup(name) ?? whole;
  });
}

/** Names that {@link expand} would look up. */
export function referencedNames(text: string): readonly string[] {
  const names: string[] = [];
  expand(text, (name) => {
    names.push(name);
    return undefined;
  });
  return names;
}

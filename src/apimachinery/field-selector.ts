/**
 * Field selectors: `status.phase!=Running,spec.nodeName=n1`. Only (in)equality; grammar, escapes and errors as in apimachinery's pkg/fields.
 */

/** One condition on one field. */
export type FieldRequirement = {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
};

/** All requirements must hold; none at all match everything. */
export type FieldSelector = readonly FieldRequirement[];

/** A field selector that cannot be understood. */
export class FieldSelectorError extends Error {
  readonly kind = "FieldSelectorError";
}

/** Parses the string form. An empty text selects everything. Throws {@link FieldSelectorError}. */
export function parseFieldSelector(text: string): FieldSelector {
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text).sort()) {
    if (term !== "") requirements.push(parseTerm(term, text));
  }
  return requirements;
}

/** True when `fields` meet all requirements. A field that the object lacks is the empty string, as upstream. */
export function matchesFields(selector: FieldSelector, fields: Readonly<Record<string, string>>): boolean {
  for (const { field, operator, value } of selector) {
    const actual = Object.hasOwn(fields, field) ? fields[field] : "";
    if ((actual === value) !== (operator === "=")) return false;
  }
  return true;
}

/** The value that `field` must have, when the selector pins it to one. */
export function requiredFieldValue(selector: FieldSelector, field: string): string | undefined {
  return selector.find((requirement) => requirement.field === field && requirement.operator === "=")?.value;
}

/** The canonical string form, values escaped. */
export function formatFieldSelector(selector: FieldSelector): string {
  return selector.map(({ field, operator, value }) => `${field}${operator}${escapeFieldValue(value)}`).join(",");
}

/** Escapes `\`, `,` and `=`. */
export function escapeFieldValue(value: string): string {
  return value.replace(/[\\,=]/g, "\\$&");
}

function parseTerm(term: string, whole: string): FieldRequirement {
  const match = /!=|==|=/.exec(term);
  if (match === null) throw new FieldSelectorError(`invalid selector: '${whole}'; can't understand '${term}'`);
  const value = unescape(term.slice(match.index + match[0].length));
  return { field: term.slice(0, match.index), operator: match[0] === "!=" ? "!=" : "=", value };
}

/** Splits at commas that no backslash escapes. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === ",") {
      terms.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...terms, text.slice(start)];
}

function unescape(text: string): string {
  let value = "";
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (char === "," || char === "=") {
      throw new FieldSelectorError(
        `invalid field selector: unescaped character in value: ${char.codePointAt(0) as number}`,
      );
    }
    if (char !== "\\") {
      value += char;
      continue;
    }
    const escaped = text[++at] ?? "";
    if (escaped === "" || !"\\,=".includes(escaped)) {
      throw new FieldSelectorError(`invalid field selector: invalid escape sequence: \\${escaped}`);
    }
    value += escaped;
  }
  return value;
}

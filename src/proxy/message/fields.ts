/**
 * The fields of a message (headers and trailers), as one flat list: name, value, name, value. Names are in lower case, order is kept, and repeated names stay apart: Set-Cookie cannot be joined.
 */

/** Name, value, name, value … */
export type Fields = readonly string[];

/** The first value of `name`, which is in lower case. */
export function findField(fields: Fields, name: string): string | undefined {
  for (let index = 0; index < fields.length; index += 2) if (fields[index] === name) return fields[index + 1];
  return undefined;
}

/** All values of `name` joined as RFC 9110 5.3 says, with `, `. */
export function joinedField(fields: Fields, name: string): string | undefined {
  let joined: string | undefined;
  for (let index = 0; index < fields.length; index += 2) {
    if (fields[index] !== name) continue;
    joined = joined === undefined ? (fields[index + 1] ?? "") : `${joined}, ${fields[index + 1]}`;
  }
  return joined;
}

/** `fields` without those that `isUnwanted` names. The same list when it names none. */
export function withoutFields(fields: Fields, isUnwanted: (name: string) => boolean): Fields {
  for (let index = 0; index < fields.length; index += 2) {
    if (isUnwanted(fields[index] ?? "")) return copyWithout(fields, isUnwanted);
  }
  return fields;
}

function copyWithout(fields: Fields, isUnwanted: (name: string) => boolean): Fields {
  const rest: string[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? "";
    if (!isUnwanted(name)) rest.push(name, fields[index + 1] ?? "");
  }
  return rest;
}

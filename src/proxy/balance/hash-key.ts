/**
 * What consistent hashing goes by, out of a request.
 */
import type { HashSource } from "#proxy/config/cluster.ts";
import { findField, joinedField } from "#proxy/message/fields.ts";
import type { RequestHead } from "#proxy/message/heads.ts";
import { findQueryValue } from "#proxy/routing/request-path.ts";

export function hashKeyOf(source: HashSource, head: RequestHead, address: string): string | undefined {
  switch (source.kind) {
    case "address":
      return address;
    case "field":
      return source.name === "host" ? head.authority : joinedField(head.fields, source.name);
    case "query": {
      const mark = head.target.indexOf("?");
      return mark < 0 ? undefined : findQueryValue(head.target.slice(mark), source.name);
    }
    default:
      return findCookie(findField(head.fields, "cookie") ?? "", source.name);
  }
}

function findCookie(cookies: string, name: string): string | undefined {
  const found = cookies.split(";").find((pair) => pair.trimStart().startsWith(`${name}=`));
  return found?.slice(found.indexOf("=") + 1).trim();
}

/**
 * The methods that are passed on: IANA's registry of HTTP methods and those in wide use beside it. Others are answered 501: two parsers that disagree on where an unknown method ends
 * disagree on everything behind it, and llhttp, which many upstreams use, refuses them too.
 */
const names =
  "ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE";

export const methods: ReadonlySet<string> = new Set(names.split(" "));

/** Methods that may be sent twice: the outcome is the same (RFC 9110 9.2.2). */
const idempotent: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PUT",
  "DELETE",
  "PROPFIND",
  "SEARCH",
]);

export function isIdempotent(method: string): boolean {
  return idempotent.has(method);
}

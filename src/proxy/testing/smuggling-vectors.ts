/**
 * Requests that servers have read differently: what request smuggling is made of. Each must be refused.
 */

/** A refused request, and why. */
export type Vector = { readonly name: string; readonly bytes: string };

const head = "POST / HTTP/1.1\r\nHost: a\r\n";
const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n`;

function withFields(...lines: string[]): string {
  return `${head}${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
}

const framing: Readonly<Record<string, string>> = {
  "Content-Length and Transfer-Encoding": `${withFields("Content-Length: 4", "Transfer-Encoding: chunked")}0\r\n\r\n`,
  "Transfer-Encoding and Content-Length": `${withFields("Transfer-Encoding: chunked", "Content-Length: 4")}0\r\n\r\n`,
  "two different Content-Length": `${withFields("Content-Length: 4", "Content-Length: 5")}abcde`,
  "two equal Content-Length": `${withFields("Content-Length: 4", "Content-Length: 4")}abcd`,
  "a list of Content-Length": `${withFields("Content-Length: 4, 4")}abcd`,
  "Content-Length with a plus": `${withFields("Content-Length: +4")}abcd`,
  "Content-Length with a minus": `${withFields("Content-Length: -4")}abcd`,
  "Content-Length in hexadecimal": `${withFields("Content-Length: 0x4")}abcd`,
  "Content-Length with a space within": `${withFields("Content-Length: 1 0")}abcdefghij`,
  "an empty Content-Length": withFields("Content-Length:"),
  "Content-Length that is no number": withFields("Content-Length: abc"),
  "Content-Length beyond 64 bits": withFields("Content-Length: 99999999999999999999999"),
  "two Transfer-Encoding": `${withFields("Transfer-Encoding: chunked", "Transfer-Encoding: identity")}0\r\n\r\n`,
  "chunked twice": `${withFields("Transfer-Encoding: chunked, chunked")}0\r\n\r\n`,
  "chunked not last": `${withFields("Transfer-Encoding: chunked, identity")}0\r\n\r\n`,
  identity: withFields("Transfer-Encoding: identity"),
  xchunked: `${withFields("Transfer-Encoding: xchunked")}0\r\n\r\n`,
  "chunked in quotes": `${withFields('Transfer-Encoding: "chunked"')}0\r\n\r\n`,
  "a vertical tab before chunked": `${withFields("Transfer-Encoding: \vchunked")}0\r\n\r\n`,
  "a space before the colon of Transfer-Encoding": `${withFields("Transfer-Encoding : chunked")}0\r\n\r\n`,
  "a tab behind chunked": `${withFields("Transfer-Encoding: chunked\t")}0\r\n\r\n`,
  "a tab before a Content-Length": `${withFields("Content-Length:\t4")}abcd`,
  "Transfer-Encoding folded": `${withFields("Transfer-Encoding:", " chunked")}0\r\n\r\n`,
  "Transfer-Encoding in HTTP/1.0": "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
};

const fields: Readonly<Record<string, string>> = {
  "a space before a colon": withFields("X : y"),
  "a tab before a colon": withFields("X\t: y"),
  "a first field that is folded": "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
  "a folded field": withFields("X: y", " z"),
  "a field without a name": withFields(": y"),
  "a field without a colon": withFields("X"),
  "NUL in a value": withFields("X: a\0b"),
  "NUL in a name": withFields("X\0: a"),
  "DEL in a value": withFields("X: a\x7fb"),
  "a bell in a value": withFields("X: a\x07b"),
  "a bare CR in a value": withFields("X: a\rb"),
  "a bare CR that hides a field": withFields("X: a\rTransfer-Encoding: chunked"),
  "a bare LF in a head": "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
  "a bare LF at the end of a head": "GET / HTTP/1.1\r\nHost: a\r\n\n",
  "a bare LF after the request line": "GET / HTTP/1.1\nHost: a\r\n\r\n",
  "a bare LF everywhere": "GET / HTTP/1.1\nHost: a\n\n",
  "two CR before LF": "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
  "a bracket in a name": withFields("X[0]: y"),
  "a high byte in a name": withFields("X\xe9: y"),
  "no Host": "GET / HTTP/1.1\r\n\r\n",
  "two Host": withFields("Host: b"),
  "two equal Host": withFields("Host: a"),
  "a Host with user information": "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
  "a Host with a path": "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
  "a Host with a space": "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
  "a Host with a comma and another": "GET / HTTP/1.1\r\nHost: a, b c\r\n\r\n",
  "Host and target that differ": "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
};

const lines: Readonly<Record<string, string>> = {
  "no version": "GET /\r\nHost: a\r\n\r\n",
  "HTTP/0.9": "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
  "HTTP/2.0": "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
  "HTTP/1.2": "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
  "HTTP/1.10": "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
  "http in lower case": "GET / http/1.1\r\nHost: a\r\n\r\n",
  "another protocol": "GET / FTP/1.1\r\nHost: a\r\n\r\n",
  "spaces before the method": " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "two spaces after the method": "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
  "two spaces before the version": "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
  "a space after the version": "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
  "a tab after the method": "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
  "a space in the target": "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
  "NUL in the target": "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n",
  "a high byte in the target": "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
  "a fragment in the target": "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target that is no path": "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
  "a star for GET": "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
  "a URL with user information": "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
  "CONNECT with a path": "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
  "a bracket in the method": "G[T / HTTP/1.1\r\nHost: a\r\n\r\n",
  "only a method": "GET\r\nHost: a\r\n\r\n",
  TLS: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
};

const chunks: Readonly<Record<string, string>> = {
  "a chunk without a size": `${chunked}\r\nabc\r\n0\r\n\r\n`,
  "a chunk's size with 0x": `${chunked}0x3\r\nabc\r\n0\r\n\r\n`,
  "a chunk's size with a sign": `${chunked}+3\r\nabc\r\n0\r\n\r\n`,
  "a chunk's negative size": `${chunked}-3\r\nabc\r\n0\r\n\r\n`,
  "a chunk's size with a space before": `${chunked} 3\r\nabc\r\n0\r\n\r\n`,
  "a chunk's size with a space behind": `${chunked}3 \r\nabc\r\n0\r\n\r\n`,
  "a chunk's size that overflows 64 bits": `${chunked}10000000000000003\r\nabc\r\n0\r\n\r\n`,
  "a chunk's size that overflows 32 bits twice": `${chunked}fffffffffffffffff\r\nabc\r\n0\r\n\r\n`,
  "a chunk's size that ends in a bare LF": `${chunked}3\nabc\r\n0\r\n\r\n`,
  "a chunk's size that ends in a bare CR": `${chunked}3\rabc\r\n0\r\n\r\n`,
  "a chunk shorter than its size": `${chunked}5\r\nabc\r\n0\r\n\r\n`,
  "a chunk longer than its size": `${chunked}2\r\nabc\r\n0\r\n\r\n`,
  "a chunk that ends in a bare LF": `${chunked}3\r\nabc\n0\r\n\r\n`,
  "an extension with a bare LF": `${chunked}3;a\nabc\r\n0\r\n\r\n`,
  "an extension with a bare CR": `${chunked}3;a\rb\r\nabc\r\n0\r\n\r\n`,
  "an extension with NUL": `${chunked}3;a=\0\r\nabc\r\n0\r\n\r\n`,
  "an extension without a name": `${chunked}3;\r\nabc\r\n0\r\n\r\n`,
  "an extension that is not closed": `${chunked}3;a="b\r\nabc\r\n0\r\n\r\n`,
  "a last chunk that ends in a bare LF": `${chunked}3\r\nabc\r\n0\n\n`,
  "Content-Length in trailers": `${chunked}0\r\nContent-Length: 3\r\n\r\n`,
  "Transfer-Encoding in trailers": `${chunked}0\r\nTransfer-Encoding: chunked\r\n\r\n`,
  "a trailer that concerns the connection": `${chunked}0\r\nKeep-Alive: 5\r\n\r\n`,
  "a folded trailer": `${chunked}0\r\nX: y\r\n z\r\n\r\n`,
  "a trailer with a space before the colon": `${chunked}0\r\nX : y\r\n\r\n`,
  "a trailer with a bare LF": `${chunked}0\r\nX: y\n\r\n`,
};

export const smugglingVectors: readonly Vector[] = [framing, fields, lines, chunks].flatMap((group) =>
  Object.entries(group).map(([name, bytes]) => ({ name, bytes })),
);

/** Requests that are fine, for comparisons and as ground for mutations. */
export const honestRequests: readonly string[] = [
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET /a/b?c=d&e=%20f HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nUser-Agent: curl/8.1\r\n\r\n",
  "HEAD / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
  `${withFields("Content-Length: 4")}abcd`,
  `${withFields("content-length:4 ", "Connection: close")}abcd`,
  `${chunked}3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n`,
  `${chunked}3;a=b;c="d e";f\r\nabc\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n`,
  "GET / HTTP/1.1\r\nHost: [::1]:80\r\nX:\r\nY: \t a b \t\r\nZ: \xe9\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
  `${withFields("Expect: 100-continue", "Content-Length: 2")}okGET / HTTP/1.1\r\nHost: a\r\n\r\n`,
  "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
];

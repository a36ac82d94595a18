import assert from "node:assert/strict";
import { test } from "node:test";
import { CHUNKED } from "#proxy/message/heads.ts";
import { readRequests } from "#proxy/testing/read-requests.ts";
import { honestRequests, smugglingVectors } from "#proxy/testing/smuggling-vectors.ts";
import { defaultLimits } from "./limits.ts";

function read(text: string) {
  return readRequests([Buffer.from(text, "latin1")]);
}

test("a request's parts are read, fields of the connection apart", () => {
  const { requests } = read(
    "POST /a?b=c HTTP/1.1\r\nHost: A.Example:80\r\nX-Y:  z \r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nq\r\n0\r\nT: u\r\n\r\n",
  );

  assert.equal(requests.length, 1);
  const { head, body, trailers } = requests[0]!;
  assert.deepEqual(
    { ...head },
    {
      version: "1.1",
      method: "POST",
      target: "/a?b=c",
      authority: "a.example:80",
      fields: ["x-y", "z"],
      bodyLength: CHUNKED,
      expectsContinue: false,
      takesTrailers: true,
      upgrade: undefined,
      keepsAlive: false,
    },
  );
  assert.equal(body, "q");
  assert.deepEqual(trailers, ["t", "u"]);
});

test("the host of an absolute target is the request's", () => {
  const { requests } = read("GET HTTP://a:80?x HTTP/1.1\r\nHost: a\r\n\r\n");

  assert.equal(requests[0]?.head.authority, "a:80");
  assert.equal(requests[0]?.head.target, "/?x");
});

test("an upgrade counts only when Connection names it, and h2c never", () => {
  const upgradeOf = (connection: string, upgrade: string) =>
    read(`GET / HTTP/1.1\r\nHost: a\r\nConnection: ${connection}\r\nUpgrade: ${upgrade}\r\n\r\n`).requests[0]?.head
      .upgrade;

  assert.equal(upgradeOf("keep-alive, Upgrade", "websocket"), "websocket");
  assert.equal(upgradeOf("keep-alive", "websocket"), undefined);
  assert.equal(upgradeOf("Upgrade, HTTP2-Settings", "h2c"), undefined);
  assert.equal(upgradeOf("Upgrade", "websocket, h2c"), undefined);
});

test("HTTP/1.0 closes unless it asks to stay", () => {
  assert.equal(read("GET / HTTP/1.0\r\n\r\n").requests[0]?.head.keepsAlive, false);
  assert.equal(read("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").requests[0]?.head.keepsAlive, true);
});

test("honest requests are read whole, however the bytes are cut", () => {
  for (const text of honestRequests) {
    const whole = read(text);
    assert.equal(whole.error, undefined, text);
    assert.equal(whole.isPartial, false, text);
    assert.ok(whole.requests.length > 0, text);
    const bytewise = readRequests([...Buffer.from(text, "latin1")].map((byte) => Buffer.of(byte)));
    assert.deepEqual(bytewise, whole, text);
  }
});

for (const { name, bytes } of smugglingVectors) {
  test(`refused: ${name}`, () => {
    const atOnce = read(bytes);
    assert.ok(atOnce.error !== undefined, `was taken as ${JSON.stringify(atOnce)}`);
    const bytewise = readRequests([...Buffer.from(bytes, "latin1")].map((byte) => Buffer.of(byte)));
    assert.ok(bytewise.error !== undefined);
    assert.equal(bytewise.requests.length, atOnce.requests.length);
  });
}

test("what is too large is refused with the status for it, before it is whole", () => {
  const status = (text: string) => read(text).error?.status;

  assert.equal(status(`GET /${"a".repeat(defaultLimits.startLineBytes)}`), 414);
  assert.equal(status(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(defaultLimits.headBytes)}`), 431);
  assert.equal(status(`GET / HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(101)}`), 431);
  assert.equal(status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9007199254740993\r\n\r\n"), 413);
  assert.equal(status("GET / HTTP/3.0\r\nHost: a\r\n\r\n"), 505);
  assert.equal(status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), 501);
});

test("endless chunk extensions and trailers are refused", () => {
  const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

  assert.equal(read(`${chunked}1;${"a".repeat(300)}`).error?.status, 413);
  assert.equal(read(`${chunked}${`1;${"a".repeat(200)}\r\nx\r\n`.repeat(100)}`).error?.status, 413);
  assert.equal(read(`${chunked}0\r\n${"X: y\r\n".repeat(101)}`).error?.status, 431);
});

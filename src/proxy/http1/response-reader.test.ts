import assert from "node:assert/strict";
import { test } from "node:test";
import { CHUNKED, UNTIL_CLOSE } from "#proxy/message/heads.ts";
import { BadMessage } from "./bad-message.ts";
import { defaultLimits } from "./limits.ts";
import { ResponseReader } from "./response-reader.ts";

function read(text: string, method = "GET") {
  const got = new ResponseReader(defaultLimits).read(Buffer.from(text, "latin1"), 0, method);
  assert.ok(got !== undefined, "the head is not whole");
  return got.head;
}

function isRefused(text: string): void {
  assert.throws(
    () => read(text),
    (error) => error instanceof BadMessage,
    text,
  );
}

test("a response's body is framed by length, by chunks, or by the end of the connection", () => {
  assert.equal(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").bodyLength, 5);
  assert.equal(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").bodyLength, CHUNKED);
  const open = read("HTTP/1.1 200 OK\r\n\r\n");
  assert.equal(open.bodyLength, UNTIL_CLOSE);
  assert.equal(open.keepsAlive, false);
});

test("answers to HEAD, 1xx, 204 and 304 have no body; a HEAD's and a 304's length is told all the same", () => {
  const head = read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD");
  assert.equal(head.bodyLength, 0);
  assert.deepEqual(head.fields, ["content-length", "5"]);
  assert.equal(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").bodyLength, 0);
  assert.equal(read("HTTP/1.1 204 No Content\r\n\r\n").bodyLength, 0);
  assert.equal(read("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").bodyLength, 0);
});

test("a status without words is taken, as many servers send it", () => {
  assert.deepEqual([read("HTTP/1.1 200 \r\n\r\n").status, read("HTTP/1.1 200\r\n\r\n").status], [200, 200]);
  assert.equal(read("HTTP/1.1 404 Nicht da\xdf\r\n\r\n").reason, "Nicht da\xdf");
});

test("HTTP/1.0 closes unless it says otherwise", () => {
  assert.equal(read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").keepsAlive, false);
  assert.equal(read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n").keepsAlive, true);
});

test("an upgrade is told with 101 only", () => {
  const fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  assert.equal(read(`HTTP/1.1 101 Switching Protocols\r\n${fields}`).upgrade, "websocket");
  assert.equal(read(`HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n${fields}`).upgrade, undefined);
});

test("ambiguous and malformed responses are refused", () => {
  isRefused("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
  isRefused("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n");
  isRefused("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n");
  isRefused("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n");
  isRefused("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n");
  isRefused("HTTP/1.1 200 OK\nContent-Length: 5\n\n");
  isRefused("HTTP/1.1 200 OK\r\nX : y\r\n\r\n");
  isRefused("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n");
  isRefused("HTTP/1.1 099 OK\r\n\r\n");
  isRefused("HTTP/1.1 20 OK\r\n\r\n");
  isRefused("HTTP/1.1 200OK\r\n\r\n");
  isRefused("HTTP/2 200 OK\r\n\r\n");
  isRefused("HTTP/1.1  200 OK\r\n\r\n");
  isRefused("garbage\r\n\r\n");
});

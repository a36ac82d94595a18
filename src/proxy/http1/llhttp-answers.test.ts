/**
 * Our reader of answers beside llhttp's: what llhttp refuses, ours refuses; and where both take an answer, they see the same one.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readWithLlhttp } from "#proxy/testing/llhttp-client.ts";
import { mutated } from "#proxy/testing/mutations.ts";
import { readResponse } from "#proxy/testing/read-response.ts";

const honest: readonly string[] = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
  "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nuntil the end",
  "HTTP/1.0 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno",
  "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
  'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
  "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
];

async function compare(text: string): Promise<"both take" | "both refuse" | "other"> {
  const bytes = Buffer.from(text, "latin1");
  const theirs = await readWithLlhttp(bytes);
  const ours = readResponse(bytes);
  const shown = JSON.stringify(text);
  if (theirs.isRefused)
    assert.ok(
      ours.error !== undefined || ours.answer === undefined || sawItWhole(ours, theirs),
      `llhttp refuses, ours took ${shown}`,
    );
  if (ours.answer !== undefined && theirs.answer !== undefined) {
    assert.equal(ours.answer.head.status, theirs.answer.status, shown);
    assert.equal(ours.answer.body, theirs.answer.body, shown);
    return "both take";
  }
  return theirs.isRefused && ours.error !== undefined ? "both refuse" : "other";
}

/** llhttp goes on behind a whole answer and refuses what follows it; ours gives that to nobody. */
function sawItWhole(
  ours: ReturnType<typeof readResponse>,
  theirs: Awaited<ReturnType<typeof readWithLlhttp>>,
): boolean {
  return theirs.answer !== undefined && ours.answer?.body === theirs.answer.body;
}

test("honest answers are the same answers to llhttp", async () => {
  for (const text of honest) assert.equal(await compare(text), "both take", text);
});

test("seeded mutations of answers: what llhttp refuses ours refuses, and both see the same answers", async () => {
  const seed = Number(process.env["PROXY_FUZZ_SEED"] ?? 1);
  const rounds = Number(process.env["PROXY_FUZZ_ROUNDS"] ?? 300);
  const seen = { "both take": 0, "both refuse": 0, other: 0 };
  for (const text of mutated(honest, seed, rounds)) seen[await compare(text)]++;

  assert.ok(seen["both take"] > rounds / 20, JSON.stringify(seen));
  assert.ok(seen["both refuse"] > rounds / 10, JSON.stringify(seen));
});

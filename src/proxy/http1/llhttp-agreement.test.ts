/**
 * Our reader beside llhttp: what llhttp refuses, ours refuses; and where both take a request, they see the same one. So nobody who puts a server of Node behind us, or before us, can be told two
 * stories by the same bytes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Llhttp } from "#proxy/testing/llhttp.ts";
import { readRequests } from "#proxy/testing/read-requests.ts";
import { honestRequests, smugglingVectors } from "#proxy/testing/smuggling-vectors.ts";

const llhttp = new Llhttp();

async function compare(text: string): Promise<"both take" | "both refuse" | "ours is stricter"> {
  const bytes = Buffer.from(text, "latin1");
  const theirs = await llhttp.read(bytes);
  const ours = readRequests([bytes]);
  const shown = JSON.stringify(text);
  if (theirs.isRefused) assert.ok(isRefusedInTheEnd(bytes), `llhttp refuses, ours took ${shown}`);
  assert.ok(ours.requests.length <= theirs.requests.length, `ours saw more requests in ${shown}`);
  ours.requests.forEach(({ head, body }, index) => {
    const other = theirs.requests[index];
    assert.equal(head.method, other?.method, shown);
    assert.equal(head.target, originForm(other?.target ?? ""), shown);
    assert.equal(body, other?.body, shown);
  });
  if (ours.error === undefined) return "both take";
  return theirs.isRefused ? "both refuse" : "ours is stricter";
}

/** Some lines ours judges when the head is whole: it has taken nothing before. */
function isRefusedInTheEnd(bytes: Buffer): boolean {
  const endings = ["", "\r\n\r\n", "x\r\n\r\n"].map((text) => Buffer.concat([bytes, Buffer.from(text)]));
  return endings.some((all) => readRequests([all]).error !== undefined);
}

/** Ours takes a URL apart. */
function originForm(target: string): string {
  const path = target.replace(/^https?:\/\/[^/?]*/i, "");
  return path.startsWith("?") ? `/${path}` : path === "" ? "/" : path;
}

test("honest requests are the same requests to llhttp", async () => {
  for (const text of honestRequests) assert.equal(await compare(text), "both take", text);
});

test("what llhttp refuses of the smuggling vectors, ours refuses", async () => {
  const seen = { "both take": 0, "both refuse": 0, "ours is stricter": 0 };
  for (const { bytes } of smugglingVectors) seen[await compare(bytes)]++;

  assert.equal(seen["both take"], 0);
  assert.ok(seen["both refuse"] > 50, JSON.stringify(seen));
});

/** Numbers that are the same in each run (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const snippets = [
  "\r\n",
  "\n",
  "\r",
  " ",
  "\t",
  ":",
  ";",
  ",",
  "\0",
  "\x7f",
  "\xff",
  "0",
  "1",
  "f",
  "0x",
  "+",
  "-",
  "\v",
  "\x0c",
  '"',
  "\\",
  "Content-Length: 3\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: gzip\r\n",
  "Connection: close\r\n",
  "Host: b\r\n",
  "chunked",
  "identity",
  "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
  "0\r\n\r\n",
  "3\r\nabc\r\n",
  ";a=b",
  "HTTP/1.0",
  "HTTP/1.1",
  "Upgrade: websocket\r\n",
  " \r\n",
  "\r\n\r\n",
]; // prettier-ignore

function mutate(text: string, next: (below: number) => number): string {
  let result = text;
  for (let left = 1 + next(3); left > 0; left--) {
    const at = next(result.length + 1);
    const cut = next(4) === 0 ? next(6) : 0;
    const put = next(3) === 0 ? String.fromCharCode(next(256)) : (snippets[next(snippets.length)] ?? "");
    result = result.slice(0, at) + (next(6) === 0 ? "" : put) + result.slice(at + cut);
  }
  return result;
}

test("seeded mutations: what llhttp refuses ours refuses, and both see the same requests", async () => {
  const seed = Number(process.env["PROXY_FUZZ_SEED"] ?? 1);
  const rounds = Number(process.env["PROXY_FUZZ_ROUNDS"] ?? 1000);
  const next = numbers(seed);
  const ground = [...honestRequests, ...smugglingVectors.map(({ bytes }) => bytes)];
  const seen = { "both take": 0, "both refuse": 0, "ours is stricter": 0 };
  for (let round = 0; round < rounds; round++) seen[await compare(mutate(ground[next(ground.length)] ?? "", next))]++;

  assert.ok(seen["both take"] > rounds / 50, JSON.stringify(seen));
  assert.ok(seen["both refuse"] > rounds / 5, JSON.stringify(seen));
});

/**
 * Our reader beside llhttp: what llhttp refuses, ours refuses; and where both take a request, they see the same one. So nobody who puts a server of Node behind us, or before us, can be told two
 * stories by the same bytes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Llhttp } from "#proxy/testing/llhttp.ts";
import { mutations } from "#proxy/testing/mutations.ts";
import { isRefusedInTheEnd, readRequests } from "#proxy/testing/read-requests.ts";
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

test("seeded mutations: what llhttp refuses ours refuses, and both see the same requests", async () => {
  const seed = Number(process.env["PROXY_FUZZ_SEED"] ?? 1);
  const rounds = Number(process.env["PROXY_FUZZ_ROUNDS"] ?? 500);
  const seen = { "both take": 0, "both refuse": 0, "ours is stricter": 0 };
  for (const text of mutations(seed, rounds)) seen[await compare(text)]++;

  assert.ok(seen["both take"] > rounds / 50, JSON.stringify(seen));
  assert.ok(seen["both refuse"] > rounds / 5, JSON.stringify(seen));
});

/**
 * Our reader beside HAProxy's, where that is installed: what HAProxy refuses, ours refuses.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findHaproxy, Haproxy } from "#proxy/testing/haproxy.ts";
import { mutations } from "#proxy/testing/mutations.ts";
import { isRefusedInTheEnd } from "#proxy/testing/read-requests.ts";
import { honestRequests, smugglingVectors } from "#proxy/testing/smuggling-vectors.ts";

const program = findHaproxy();
const skip = program === undefined ? "haproxy is not installed" : false;

test("what HAProxy refuses, ours refuses: smuggling vectors and seeded mutations", { skip }, async (t) => {
  const haproxy = await Haproxy.start(program ?? "");
  t.after(() => haproxy.stop());
  const seed = Number(process.env["PROXY_FUZZ_SEED"] ?? 1);
  const rounds = Number(process.env["PROXY_FUZZ_ROUNDS"] ?? 200);
  const texts = [...honestRequests, ...smugglingVectors.map(({ bytes }) => bytes), ...mutations(seed, rounds)];
  let refused = 0;
  const laxer: string[] = [];
  const queue = texts.map((text) => Buffer.from(text, "latin1"));
  const work = async () => {
    for (let bytes = queue.pop(); bytes !== undefined; bytes = queue.pop()) {
      const result = await haproxy.read(bytes);
      if (!result.isRefused) continue;
      refused++;
      if (!isRefusedInTheEnd(bytes)) laxer.push(JSON.stringify(bytes.toString("latin1")));
    }
  };
  await Promise.all(Array.from({ length: 64 }, work));

  assert.deepEqual(laxer, []);
  assert.ok(refused > texts.length / 8, `HAProxy refused ${refused} of ${texts.length}`);
});

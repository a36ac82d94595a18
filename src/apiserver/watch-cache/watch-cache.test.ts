/** What watches meet that are further back than what is kept in memory. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { ResourceRef } from "#client/client.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";

const configMaps: ResourceRef = {
  resource: { group: "", version: "v1", resource: "configmaps" },
  namespace: "default",
};
const large = { ...configMaps, name: "large" };
const CHANGES = 24;
const text = "x".repeat(900_000);

let setup: TestApiServer;
const revisions: string[] = [];

before(async () => {
  setup = await startTestApiServer();
  const { client } = setup;
  const note = (object: KubeObject): void => void revisions.push(object.metadata?.resourceVersion ?? "");
  note(await client.create(configMaps, { metadata: { name: "large" } }));
});
after(() => setup.stop());

/** More than the window: 21 MB. */
async function changeMuch(): Promise<void> {
  for (let round = 0; round < CHANGES; round++) {
    const body = { data: { text, round: String(round) } };
    revisions.push((await setup.client.patch(large, { type: "merge", body })).metadata?.resourceVersion ?? "");
  }
}

test("a watch that is further back than what is kept is ended, one that reads is not; whoever begins there again goes on from the log", async () => {
  const { client } = setup;
  const stop = new AbortController();
  const watch = (resourceVersion: string) => client.watch(configMaps, { resourceVersion, signal: stop.signal });
  const [deaf, quick] = [await watch(revisions[0] ?? ""), await watch(revisions[0] ?? "")];
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { object } of quick) {
      seen.push(object.metadata?.resourceVersion ?? "");
      if (seen.length === CHANGES) return;
    }
  })();

  await changeMuch();
  await reading;
  assert.deepEqual(seen, revisions.slice(1));
  const [first] = await take(deaf, 1);
  assert.equal(first?.type, "ERROR");

  const again = await take(await watch(revisions[2] ?? ""), CHANGES - 2);
  assert.deepEqual(
    again.map(({ object }) => object.metadata?.resourceVersion),
    revisions.slice(3),
  );
  stop.abort();
});

async function take<T>(from: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  for await (const one of from) if (taken.push(one) === count) break;
  return taken;
}

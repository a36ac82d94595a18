import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ConfigMap, Secret } from "#api/generated/types/core-v1.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { aesGcmTransformer } from "./encryption.ts";

test("a Secret is not readable in the store's file, and is there again after a restart; other kinds lie open", async () => {
  const folder = await mkdtemp(join(tmpdir(), "nodeless-at-rest-"));
  const encryption = new Map([["secrets", aesGcmTransformer([{ name: "key1", secret: randomBytes(32) }])]]);
  const start = async () => startTestApiServer({ store: await openLmdbStore({ folder, reserveBytes: 0 }), encryption });
  const refTo = (resource: string) => ({ resource: { group: "", version: "v1", resource }, namespace: "default" });
  const metadata = { name: "db" };
  const password = Buffer.from("a-very-secret-word").toString("base64");

  const first = await start();
  await first.client.create(refTo("secrets"), { metadata, data: { password } } as Secret);
  await first.client.create(refTo("configmaps"), { metadata, data: { open: "not-secret" } } as ConfigMap);
  await first.stop();
  const file = await readFile(join(folder, "data.mdb"), "latin1");
  const second = await start();
  const secret = await second.client.get<Secret>({ ...refTo("secrets"), name: "db" });
  await second.stop();

  assert.ok(!file.includes(password) && file.includes("not-secret") && file.includes("k8s:enc:aesgcm:v1:key1:"));
  assert.equal(secret.data?.["password"], password);
  await rm(folder, { recursive: true });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { writeFirstObjects } from "#apiserver/bootstrap/first-objects.ts";
import { systemClock as clock } from "#component-base/clock.ts";
import { createMemoryStore } from "#store/memory/memory-store.ts";
import { makeFirstObjects } from "./first-objects.ts";

const definition = (name: string) => `/registry/customresourcedefinitions.apiextensions.k8s.io/${name} `;

test("new clusters begin with their parts' kinds, established, with webhooks that have no place yet, and with nobody's keys", async () => {
  const made = await makeFirstObjects();
  const { cluster = "", serving = "", eventing = "" } = Object.fromEntries(made);

  const established = '"type":"Established","status":"True"';
  const lineOf = (text: string, name: string) =>
    text.split("\n").find((line) => line.startsWith(definition(name))) ?? "";
  assert.ok(lineOf(serving, "services.serving.knative.dev").includes(established));
  assert.ok(lineOf(serving, "functions.nodeless.dev").includes(established));
  assert.ok(lineOf(eventing, "brokers.eventing.knative.dev").includes(established));
  assert.ok(serving.includes('"url":"https://127.0.0.1:0/defaulting"'));
  assert.ok(serving.includes("/registry/apiservices.apiregistration.k8s.io/v1.serving.knative.dev "));
  assert.ok(cluster.includes("/registry/clusterroles.rbac.authorization.k8s.io/cluster-admin "));
  assert.ok(![cluster, serving, eventing].some((text) => /CERTIFICATE|"uid":"[0-9a-f]|"\d{4}-\d\d-\d\dT/.test(text)));
  const store = createMemoryStore();
  assert.ok(await writeFirstObjects(store, async () => cluster + serving + eventing, clock.now()));
  await store.close();
});

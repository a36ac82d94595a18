import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import type { JsonObject } from "#apimachinery/json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { systemClock } from "#component-base/clock.ts";
import { repositoryDefinition } from "#delivery/crds/repository-definition.ts";
import type { Deployment } from "#delivery/deploy/deployment.ts";
import { repositories, type RepositoryObject } from "#delivery/kinds.ts";
import { applySetId } from "./apply-set.ts";
import { ManifestDeployment, removeManifests } from "./deploy-manifests.ts";

const configMaps = { group: "", version: "v1", resource: "configmaps" };
const jobs = { group: "batch", version: "v1", resource: "jobs" };

describe("manifests of a tree", () => {
  let api: TestApiServer;
  let repository: RepositoryObject;
  const said: string[] = [];
  const { signal } = new AbortController();
  const map = (name: string, data: JsonObject = {}) => ({
    object: { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data },
    file: `${name}.yaml`,
  });
  const job = {
    object: {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "migrate" },
      spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "a", image: "a" }] } } },
    },
    file: "job.yaml",
  };
  const deployment = (): Deployment => ({
    repository,
    namespace: "default",
    branch: "main",
    commit: "c".repeat(40),
    isPreview: false,
    view: {},
    client: api.client,
    ownClient: api.client,
    owner: {
      apiVersion: "nodeless.dev/v1alpha1",
      kind: "Repository",
      name: "site",
      uid: repository.metadata?.uid ?? "",
    },
    say: (text) => said.push(text),
    signal,
  });
  const deploy = async (...manifests: readonly { readonly object: JsonObject; readonly file: string }[]) => {
    const one = new ManifestDeployment(deployment(), manifests);
    await one.try();
    await one.apply();
    await one.prune();
  };
  const names = async () => {
    const selection = { labelSelector: `applyset.kubernetes.io/part-of=${applySetId(repository)}` };
    const { items } = await api.client.list<KubeObject>({ resource: configMaps, namespace: "default" }, selection);
    return items.map(({ metadata }) => metadata?.name);
  };
  const annotations = async () =>
    (await api.client.get({ resource: repositories, namespace: "default", name: "site" })).metadata?.annotations;

  before(async () => {
    api = await startTestApiServer();
    await installDefinitions(api.client, [repositoryDefinition()], { clock: systemClock, signal });
    const object = { apiVersion: "nodeless.dev/v1alpha1", kind: "Repository", metadata: { name: "site" }, spec: {} };
    repository = await api.client.create<RepositoryObject>({ resource: repositories, namespace: "default" }, object);
  });
  after(() => api.stop());
  beforeEach(() => {
    said.length = 0;
  });

  it("are applied as an apply set, and what is no longer among them goes", async () => {
    await deploy(map("a", { x: "1" }), map("b"));
    assert.deepEqual(await names(), ["a", "b"]);
    assert.equal((await annotations())?.["applyset.kubernetes.io/contains-group-kinds"], "ConfigMap");

    await deploy(map("a", { x: "1" }));
    assert.deepEqual(await names(), ["a"]);
    assert.deepEqual(said.slice(2), ["Manifests: one object as before", "ConfigMap b: deleted"]);
    const { metadata } = await api.client.get<KubeObject>({ resource: configMaps, namespace: "default", name: "a" });
    assert.equal(metadata?.ownerReferences?.[0]?.kind, "Repository");
  });

  it("that are wrong are refused with their file, and nothing of them is written", async () => {
    const wrong: readonly (readonly [JsonObject, RegExp])[] = [
      [
        { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, colour: "red" },
        /c\.yaml: ConfigMap c: .*unknown field "colour"/,
      ],
      [{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "NOT_A_NAME" } }, /c\.yaml: ConfigMap NOT_A_NAME: /],
      [{ apiVersion: "v1", kind: "ConfigMap", metadata: { generateName: "c" } }, /generateName cannot be applied/],
      [
        { apiVersion: "example.com/v1", kind: "Strange", metadata: { name: "c" } },
        /there is no kind Strange\.example\.com/,
      ],
      [{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "z" } }, /ConfigMap z is there twice/],
      [
        { apiVersion: "nodeless.dev/v1alpha1", kind: "Repository", metadata: { name: "site" } },
        /a Repository does not deploy itself/,
      ],
    ];
    for (const [object, message] of wrong) await assert.rejects(deploy(map("z"), { object, file: "c.yaml" }), message);
    assert.deepEqual(await names(), ["a"]);
  });

  it("that will not be ready fail, and what was before is not deleted", async () => {
    const failing = deploy(map("new"), job);
    const ref = { resource: jobs, namespace: "default", name: "migrate" };
    for (;;) {
      const found = await api.client.get<KubeObject>(ref).catch(() => undefined);
      if (found !== undefined) break;
    }
    const condition = { type: "Failed", status: "True", reason: "BackoffLimitExceeded", message: "no more" };
    const conditions = [{ ...condition, type: "FailureTarget" }, condition];
    const status = { conditions, failed: 1, startTime: "2026-01-01T00:00:00Z" };
    await api.client.patch({ ...ref, subresource: "status" }, { type: "merge", body: { status } });

    await assert.rejects(failing, /Job\.batch migrate: BackoffLimitExceeded: no more/);
    assert.deepEqual(await names(), ["a", "new"]);
    await deploy(map("a", { x: "1" }));
    assert.deepEqual(await names(), ["a"]);
    await assert.rejects(api.client.get(ref), /not found/);
  });

  it("all go when the branch has none any more", async () => {
    await deploy(map("a"), map("d"));
    await deploy();
    assert.deepEqual(await names(), []);

    await deploy(map("e"));
    await removeManifests(deployment());
    assert.deepEqual(await names(), []);
    assert.equal((await annotations())?.["applyset.kubernetes.io/contains-group-kinds"], "");
  });
});

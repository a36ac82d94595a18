import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { parse } from "yaml";
import { type FunctionCondition, type FunctionObject, functions } from "#api/nodeless/function.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { findObject } from "#client/find-object.ts";
import { until } from "#client/testing/settle.ts";
import { done } from "#client/testing/written-function.ts";
import { systemClock } from "#component-base/clock.ts";
import { YamlFiles } from "#delivery/manifests/read-manifests.ts";
import { functionDefinition } from "#functions/crds/function-definition.ts";
import { definition } from "#knative/crds/definition.ts";
import type { Deployment } from "./deployment.ts";
import { deployFunctions } from "./functions.ts";

const namespace = "default";
const revisions = { group: "serving.knative.dev", version: "v1", resource: "revisions" };
const revisionDefinition = definition(
  {
    group: revisions.group,
    version: revisions.version,
    kind: "Revision",
    plural: revisions.resource,
    categories: [],
    columns: [],
    schema: { spec: { type: "object" }, status: { type: "object" } },
  },
  "test",
);

describe("functions of a tree", () => {
  let api: TestApiServer;
  const root = mkdtempSync(join(tmpdir(), "nl-functions-"));
  const said: string[] = [];
  const deployment = (): Deployment => ({
    repository: { metadata: { name: "site" } },
    namespace,
    branch: "main",
    commit: "c".repeat(40),
    isPreview: false,
    view: {},
    client: api.client,
    ownClient: api.client,
    owner: { apiVersion: "v1", kind: "Namespace", name: namespace, uid: "u1" },
    say: (text) => said.push(text),
    signal: AbortSignal.timeout(20_000),
  });
  const files = new YamlFiles(root, {
    parse: async (bytes) =>
      ({ value: parse(Buffer.from(bytes).toString()) as unknown, duplicates: undefined }) as never,
  });
  const publish = async ({ name }: { readonly name: string }) => `registry/${name}:1`;
  const deploy = (...folders: readonly string[]) =>
    deployFunctions(
      deployment(),
      folders.map((folder) => ({ folder, isOnly: false })),
      { files, publish },
    );
  const find = (name: string) => findObject<FunctionObject>(api.client, { resource: functions, namespace, name });
  const say = async (name: string, ...conditions: readonly FunctionCondition[]) => {
    await until(async () => (await find(name)) !== undefined, `Function ${name}`);
    const status = { observedGeneration: 1, url: `http://${name}.test`, conditions };
    const latestCreatedRevisionName = `${name}-00001`;
    const ref = { resource: functions, namespace, name, subresource: "status" };
    await api.client.patch(ref, { type: "merge", body: { status: { ...status, latestCreatedRevisionName } } });
  };

  before(async () => {
    api = await startTestApiServer();
    const { signal } = new AbortController();
    await installDefinitions(api.client, [functionDefinition(), revisionDefinition], { clock: systemClock, signal });
    for (const name of ["one", "two", "three"]) mkdirSync(join(root, name));
    writeFileSync(
      join(root, "two/function.yaml"),
      "apiVersion: nodeless.dev/v1alpha1\nkind: Function\nspec: {runtime: node}\n",
    );
    writeFileSync(join(root, "three/function.yaml"), "kind: Deployment\n");
  });
  after(async () => {
    await api.stop();
    rmSync(root, { recursive: true, force: true });
  });
  beforeEach(() => {
    said.length = 0;
  });

  it("are written at the same time, and give their addresses when they are ready", async () => {
    const end = deploy("one", "two");
    await say("two", ...done);
    await say("one", ...done);

    assert.deepEqual(await end, ["http://one.test", "http://two.test"]);
    assert.equal((await find("two"))?.spec?.runtime, "node");
    assert.equal((await find("one"))?.spec?.source?.artifact?.reference, "registry/one:1");
  });

  it("say what they wait for, and one that failed as it is, is tried again", async () => {
    const failed = { status: "False", reason: "RevisionFailed", message: "no secret" } as const;
    const built: FunctionCondition = { type: "Built", status: "True" };
    await say("one", built, { type: "ServiceReady", ...failed }, { type: "Ready", ...failed });
    const revision = { apiVersion: "serving.knative.dev/v1", kind: "Revision", metadata: { name: "one-00001" } };
    await api.client.create({ resource: revisions, namespace }, revision);

    const end = deploy("one");
    const ref = { resource: revisions, namespace, name: "one-00001" };
    await until(
      async () => (await api.client.get(ref)).metadata?.deletionTimestamp !== undefined,
      "the revision is deleted",
    );
    const why = { reason: "Unhealthy", message: "connection refused" };
    await say("one", built, { type: "ServiceReady", status: "Unknown", ...why }, { type: "Ready", status: "Unknown" });
    await say("one", ...done);

    assert.deepEqual(await end, ["http://one.test"]);
    assert.deepEqual(said, ["Function default/one: as it was", "  waits: Unhealthy: connection refused"]);
  });

  it("are refused where their file says something else", async () => {
    await assert.rejects(deploy("three"), { kind: "DeployFailed", message: /^three\/function\.yaml is no Function/ });
  });
});

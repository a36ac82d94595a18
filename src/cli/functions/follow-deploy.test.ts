import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { systemClock } from "#component-base/clock.ts";
import { functionDefinition } from "#functions/crds/function-definition.ts";
import type { Terminal } from "#cli/terminal.ts";
import { buildLogVersion, followDeploy } from "./follow-deploy.ts";
import { type FunctionCondition, type FunctionObject, functions } from "./function-object.ts";

const configMaps = { group: "", version: "v1", resource: "configmaps" };

describe("following a deployment", () => {
  let api: TestApiServer;
  before(async () => {
    api = await startTestApiServer();
    const { signal } = new AbortController();
    await installDefinitions(api.client, [functionDefinition()], { clock: systemClock, signal });
  });
  after(() => api.stop());

  async function begin(
    name: string,
    timeoutSeconds = 20,
  ): Promise<{
    readonly printed: string[];
    readonly end: Promise<FunctionObject>;
    readonly say: (...conditions: readonly FunctionCondition[]) => Promise<void>;
    readonly log: (text: string) => Promise<void>;
  }> {
    const { client } = api;
    const printed: string[] = [];
    const terminal = { print: (line: string) => void printed.push(line) } as Terminal;
    const ref = { resource: functions, namespace: "default", name };
    const manifest = {
      apiVersion: "nodeless.dev/v1alpha1",
      kind: "Function",
      metadata: { name },
      spec: { source: { image: "x" } },
    };
    const made = await client.create<FunctionObject>({ resource: functions, namespace: "default" }, manifest);
    const logVersion = await buildLogVersion(client, "default", name);
    const generation = made.metadata?.generation ?? 0;
    const end = followDeploy({ client, terminal, namespace: "default", name, generation, logVersion, timeoutSeconds });
    end.catch(() => {}); // looked at by the test
    return {
      printed,
      end,
      async say(...conditions) {
        const body = { status: { observedGeneration: generation, conditions } };
        await client.patch({ ...ref, subresource: "status" }, { type: "merge", body });
      },
      async log(text) {
        const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `${name}-build` }, data: { log: text } };
        const at = { resource: configMaps, namespace: "default", name: `${name}-build` };
        await client.patch(at, { type: "apply", body }, { fieldManager: "test", force: true });
      },
    };
  }

  it("prints what is built as it comes, and ends when it is ready", async () => {
    const { printed, end, say, log } = await begin("good");
    await log("one\n");
    await say(
      { type: "Built", status: "Unknown" },
      { type: "SourceReady", status: "True" },
      { type: "Ready", status: "Unknown" },
    );
    await log("one\ntwo\n");
    await say(
      { type: "Built", status: "True" },
      { type: "SourceReady", status: "True" },
      { type: "Ready", status: "True" },
    );

    assert.equal((await end).metadata?.name, "good");
    assert.deepEqual(printed, ["   one", "   two"]);
  });

  it("does not take what is said of the revision before for its own", async () => {
    const { end, say } = await begin("again");
    const old = { type: "Ready", status: "False", reason: "RevisionFailed", message: "the one before" };
    await say({ type: "Built", status: "Unknown" }, { type: "SourceReady", status: "True" }, old);
    await say(
      { type: "Built", status: "True" },
      { type: "SourceReady", status: "True" },
      { type: "Ready", status: "True" },
    );

    assert.ok(await end);
  });

  it("ends with the reason when there is no source, or no image of it", async () => {
    const [source, code] = [await begin("source"), await begin("code")];
    const failed = { status: "False", reason: "GitFailed", message: "no such ref" };
    await source.say(
      { type: "SourceReady", ...failed },
      { type: "Built", status: "Unknown" },
      { type: "Ready", ...failed },
    );
    const broken = { status: "False", reason: "DoesNotCompile", message: "index.ts:1:1" };
    await code.say({ type: "SourceReady", status: "True" }, { type: "Built", ...broken }, { type: "Ready", ...broken });

    await assert.rejects(source.end, { kind: "UserError", message: "GitFailed: no such ref" });
    await assert.rejects(code.end, { kind: "UserError", message: "DoesNotCompile: index.ts:1:1" });
  });

  it("does not wait for ever", async () => {
    const { end } = await begin("late", 0.05);

    await assert.rejects(end, { kind: "UserError", message: /not ready after 0\.05 s: 'nodeless fn describe late'/ });
  });
});

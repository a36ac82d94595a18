import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { systemClock } from "#component-base/clock.ts";
import { functionDefinition } from "#functions/crds/function-definition.ts";
import type { Terminal } from "#cli/terminal.ts";
import { buildLogVersion, followDeploy, type FollowOptions } from "./follow-deploy.ts";
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
    { timeoutSeconds = 20, ...options }: Partial<Pick<FollowOptions, "timeoutSeconds" | "patience" | "before">> = {},
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
    const deployed = { client, terminal, namespace: "default", name, generation, logVersion, timeoutSeconds };
    const end = followDeploy({ ...deployed, ...options });
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

  const waiting = (reason: string, message: string): readonly FunctionCondition[] => [
    { type: "Built", status: "True" },
    { type: "SourceReady", status: "True" },
    { type: "ServiceReady", status: "Unknown", reason, message },
    { type: "Ready", status: "Unknown", reason, message },
  ];
  const done = ["Built", "SourceReady", "ServiceReady", "Ready"].map((type) => ({ type, status: "True" }));

  it("says what it waits for, each once, and goes on where that may pass", async () => {
    const { printed, end, say } = await begin("slow");
    await say(...waiting("Deploying", "The Service is being brought up to date."));
    await say(...waiting("Unhealthy", "Readiness probe failed: connection refused"));
    await say({ type: "Other", status: "True" }, ...waiting("Unhealthy", "Readiness probe failed: connection refused"));
    await say(...done);

    await end;
    assert.deepEqual(printed, ["   waits: Unhealthy: Readiness probe failed: connection refused"]);
  });

  it("does not wait long for what does not get better by itself", async () => {
    const { end, say } = await begin("keyless", { patience: 0.01 });
    await say(...waiting("CreateContainerConfigError", 'secret "nosuch" not found'));

    await assert.rejects(end, {
      kind: "UserError",
      message:
        "CreateContainerConfigError: secret \"nosuch\" not found\nIt is tried again by itself: 'nodeless fn describe keyless' shows how far it is",
    });
  });

  it("tells at the end of its time what it waited for", async () => {
    const { end, say } = await begin("probed", { timeoutSeconds: 0.5 });
    await say(...waiting("Unhealthy", "connection refused"));

    await assert.rejects(end, { message: /^it is not ready after 0\.5 s \(Unhealthy: connection refused\): / });
  });

  it("does not take a verdict of before for one on what is tried again", async () => {
    const failed = { type: "Ready", status: "False", reason: "RevisionFailed", message: "no secret" };
    const { end, say } = await begin("retried", { before: { status: { conditions: [failed] } } });
    await say(failed);
    await say(...done);

    assert.equal((await end).metadata?.name, "retried");
  });

  it("does not wait for ever", async () => {
    const { end } = await begin("late", { timeoutSeconds: 0.05 });

    await assert.rejects(end, { kind: "UserError", message: /not ready after 0\.05 s: 'nodeless fn describe late'/ });
  });
});

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { FunctionCondition, FunctionObject } from "#api/nodeless/function.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { done, waiting, type WrittenFunction, writeFunction } from "#client/testing/written-function.ts";
import { systemClock } from "#component-base/clock.ts";
import { functionDefinition } from "#functions/crds/function-definition.ts";
import { followFunction, type FollowFunctionOptions } from "./follow-function.ts";

describe("following a function", () => {
  let api: TestApiServer;
  before(async () => {
    api = await startTestApiServer();
    const { signal } = new AbortController();
    await installDefinitions(api.client, [functionDefinition()], { clock: systemClock, signal });
  });
  after(() => api.stop());

  type Begun = WrittenFunction & {
    readonly told: string[];
    readonly end: Promise<FunctionObject>;
  };

  async function begin(name: string, options: Partial<FollowFunctionOptions> = {}): Promise<Begun> {
    const { client } = api;
    const told: string[] = [];
    const fn = await writeFunction(client, name);
    const end = followFunction({
      client,
      ...fn,
      logVersion: undefined,
      onLine: (line) => told.push(line),
      onWait: (what) => told.push(`waits: ${what}`),
      signal: AbortSignal.timeout(20_000),
      ...options,
    });
    end.catch(() => {}); // looked at by the test
    return { ...fn, told, end };
  }

  const sourced: FunctionCondition = { type: "SourceReady", status: "True" };

  it("tells what is built as it comes, and ends when it is ready", async () => {
    const { told, end, say, log } = await begin("good");
    await log("one\n");
    await say({ type: "Built", status: "Unknown" }, sourced, { type: "Ready", status: "Unknown" });
    await log("one\ntwo\nerror: that is said at the end\n");
    await say(...done);

    assert.equal((await end).metadata?.name, "good");
    assert.deepEqual(told, ["one", "two"]);
  });

  it("does not take what is said of the revision before for its own", async () => {
    const { end, say } = await begin("again");
    const message = "the one before";
    const old: FunctionCondition = { type: "Ready", status: "False", reason: "RevisionFailed", message };
    await say({ type: "Built", status: "Unknown" }, sourced, old);
    await say(...done);

    assert.ok(await end);
  });

  it("ends with the reason when there is no source, or no image of it", async () => {
    const [source, code] = [await begin("source"), await begin("code")];
    const failed = { status: "False", reason: "GitFailed", message: "no such ref" } as const;
    await source.say(
      { type: "SourceReady", ...failed },
      { type: "Built", status: "Unknown" },
      { type: "Ready", ...failed },
    );
    const broken = { status: "False", reason: "DoesNotCompile", message: "index.ts:1:1" } as const;
    await code.say(sourced, { type: "Built", ...broken }, { type: "Ready", ...broken });

    await assert.rejects(source.end, {
      kind: "FunctionFailed",
      message: "GitFailed: no such ref",
      isTriedAgain: false,
    });
    await assert.rejects(code.end, { kind: "FunctionFailed", message: "DoesNotCompile: index.ts:1:1" });
  });

  it("tells what it waits for, each once, and goes on where that may pass", async () => {
    const { told, end, say } = await begin("slow");
    await say(...waiting("Deploying", "The Service is being brought up to date."));
    await say(...waiting("Unhealthy", "Readiness probe failed: connection refused"));
    await say({ type: "Other", status: "True" }, ...waiting("Unhealthy", "Readiness probe failed: connection refused"));
    await say(...done);

    await end;
    assert.deepEqual(told, ["waits: Unhealthy: Readiness probe failed: connection refused"]);
  });

  it("does not wait long for what does not get better by itself", async () => {
    const { end, say } = await begin("keyless", { patience: 0.01 });
    await say(...waiting("CreateContainerConfigError", 'secret "nosuch" not found'));

    await assert.rejects(end, {
      kind: "FunctionFailed",
      message: 'CreateContainerConfigError: secret "nosuch" not found',
      isTriedAgain: true,
    });
  });

  it("does not take a verdict of before for one on what is tried again", async () => {
    const failed: FunctionCondition = {
      type: "Ready",
      status: "False",
      reason: "RevisionFailed",
      message: "no secret",
    };
    const { end, say } = await begin("retried", { before: { status: { conditions: [failed] } } });
    await say(failed);
    await say(...done);

    assert.equal((await end).metadata?.name, "retried");
  });

  it("ends when it is deleted", async () => {
    const { end, say, remove } = await begin("gone");
    await say(...waiting("Deploying", "The Service is being brought up to date."));
    await remove();

    await assert.rejects(end, { kind: "FunctionFailed", message: "it was deleted meanwhile" });
  });

  it("waits no longer than it may", async () => {
    const { end } = await begin("late", { signal: AbortSignal.timeout(50) });

    await assert.rejects(end, { name: "TimeoutError" });
  });
});

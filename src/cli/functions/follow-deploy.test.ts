import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import type { Terminal } from "#cli/terminal.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { done, waiting, writeFunction, type WrittenFunction } from "#client/testing/written-function.ts";
import { systemClock } from "#component-base/clock.ts";
import { functionDefinition } from "#functions/crds/function-definition.ts";
import { followDeploy, type FollowDeployOptions } from "./follow-deploy.ts";

describe("showing how a deployment goes", () => {
  let api: TestApiServer;
  before(async () => {
    api = await startTestApiServer();
    const { signal } = new AbortController();
    await installDefinitions(api.client, [functionDefinition()], { clock: systemClock, signal });
  });
  after(() => api.stop());

  async function begin(
    name: string,
    options: Partial<FollowDeployOptions> = {},
  ): Promise<WrittenFunction & { readonly printed: string[]; readonly end: Promise<unknown> }> {
    const { client } = api;
    const printed: string[] = [];
    const terminal = { print: (line: string) => void printed.push(line) } as Terminal;
    const fn = await writeFunction(client, name);
    const end = followDeploy({ client, terminal, ...fn, logVersion: undefined, timeoutSeconds: 20, ...options });
    end.catch(() => {}); // looked at by the test
    return { ...fn, printed, end };
  }

  it("prints the lines of the build, and what is waited for", async () => {
    const { printed, end, say, log } = await begin("good");
    await log("one\n");
    await say(...waiting("Unhealthy", "connection refused"));
    await say(...done);

    await end;
    assert.deepEqual(printed.toSorted(), ["   one", "   waits: Unhealthy: connection refused"]);
  });

  it("says that what it does not wait for is tried again", async () => {
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

  it("does not wait for ever", async () => {
    const { end } = await begin("late", { timeoutSeconds: 0.05 });

    await assert.rejects(end, { kind: "UserError", message: /not ready after 0\.05 s: 'nodeless fn describe late'/ });
  });
});

/**
 * Knative Services as a person uses them: the example of examples/serving, asleep and awake, a canary, and what goes on while the control plane is away. All in one cluster.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ClusterStatus } from "#cli/machine.ts";
import { canRunContainers, eventually, repository, startCluster, type TestCluster } from "../support/cluster.ts";
import { ask as askCluster } from "../support/knative.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const name = "serving-e2e";

describe("Knative Services", { skip }, () => {
  let cluster: TestCluster;
  /** What the first words to the cluster were answered with. */
  let taken = "";
  let status: ClusterStatus;
  const kubectl = async (...args: readonly string[]) => (await cluster.kubectl(args)).stdout;
  const ready = (service: string) =>
    eventually(`${service} is ready`, async () => {
      const path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
      return (await kubectl("get", "ksvc", service, "-o", path)) === "True";
    });
  const ask = (host: string) => askCluster(status.addresses.nodePorts, { host: `${host}.default.localhost` });
  const pods = async () =>
    (await kubectl("get", "pods", "-o", "name")).split("\n").filter((line) => line !== "").length;

  before(async () => {
    // Every cluster has it.
    cluster = await startCluster(name);
    taken = (await cluster.kubectl(["apply", "-f", join(repository, "examples/serving/hello.yaml")])).stdout;
    status = JSON.parse((await cluster.nodeless(["status", "--name", name, "-o", "json"])).stdout) as ClusterStatus;
  });
  after(() => cluster.remove());

  test("a new cluster has the kinds from its first moment, and whoever writes one waits for their webhooks", async () => {
    assert.match(taken, /^service\.serving\.knative\.dev\/hello created$/m);
    assert.match(await kubectl("get", "ksvc", "hello", "-o", "yaml"), /serving\.knative\.dev\/creator: /);
  });

  test("the example answers at its address, and kubectl shows it", async () => {
    await ready("hello");

    const answer = await eventually("an answer", async () => {
      const given = await ask("hello");
      return given.status === 200 && given;
    });
    assert.equal(answer.text, "Hello World from hello-00001\n");
    assert.match(
      await kubectl("get", "ksvc"),
      /hello +http:\/\/hello\.default\.localhost +hello-00001 +hello-00001 +True/,
    );
    assert.match(await kubectl("get", "rev"), /hello-00001 +hello +1 +True/);
  });

  test("what cannot be is refused by the webhook", async () => {
    const patch = JSON.stringify({ spec: { traffic: [{ latestRevision: true, percent: 90 }] } });
    const refused = await cluster.kubectl(["patch", "ksvc", "hello", "--type", "merge", "-p", patch], {
      mayFail: true,
    });

    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /validation failed: Traffic targets sum to 90, want 100: spec\.traffic/);
  });

  test("silence puts it to sleep, and a burst of requests wakes it once, with all answered", async () => {
    await eventually("no pod is left", async () => (await pods()) === 0);
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask("hello")));

    assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set(["Hello World from hello-00001\n"]));
    assert.equal(await pods(), 1);
  });

  test("how long it took is told in parts, by the node's metrics and by its PodAutoscaler", async () => {
    const kpa = "jsonpath={.status.coldStarts}";
    const { count, last } = await eventually("the cold start is told", async () => {
      const text = await kubectl("get", "kpa", "hello-00001", "-o", kpa);
      return text !== "" && (JSON.parse(text) as { count: number; last: Readonly<Record<string, number>> });
    });
    const parts = ["decisionMs", "scheduleMs", "startMs", "readyMs", "firstByteMs"].map(
      (part) => last[part] ?? Number.NaN,
    );
    assert.equal(count, 1);
    assert.equal(
      parts.reduce((sum, ms) => sum + ms, 0),
      last["totalMs"],
    );

    const node = (await kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")).trim();
    const metrics = await kubectl("get", "--raw", `/api/v1/nodes/${node}/proxy/metrics`);
    const hello = 'namespace_name="default",revision_name="hello-00001"';
    assert.match(metrics, new RegExp(`nodeless_serving_cold_start_seconds_count\\{${hello}\\} 1\\n`));
    assert.match(
      metrics,
      new RegExp(`nodeless_serving_cold_start_part_seconds_count\\{${hello},part="schedule"\\} 1\\n`),
    );
    assert.match(metrics, new RegExp(`nodeless_serving_queued_requests\\{${hello}\\} 0\\n`));
    assert.match(metrics, /nodeless_proxy_requests_total\{/);
  });

  test("a second revision takes its share, and has an address of its own", async () => {
    const manifest = readFileSync(join(repository, "examples/serving/hello.yaml"), "utf8").replace("World", "You");
    await cluster.kubectl(["apply", "-f", "-"], { input: manifest });
    await eventually("the second revision is the latest", async () =>
      /hello-00002 +True/.test(await kubectl("get", "ksvc", "hello")),
    );
    const traffic = [
      { revisionName: "hello-00001", percent: 50 },
      { latestRevision: true, percent: 50, tag: "next" },
    ];
    await kubectl("patch", "ksvc", "hello", "--type", "merge", "-p", JSON.stringify({ spec: { traffic } }));
    await eventually("the tag's address", async () => (await ask("next-hello")).status === 200);
    await ready("hello");

    const seen = new Set<string>();
    await eventually("both have answered", async () => seen.add((await ask("hello")).text).size === 2);
    assert.deepEqual([...seen].toSorted(), ["Hello World from hello-00001\n", "Hello You from hello-00002\n"]);
    assert.equal((await ask("next-hello")).text, "Hello You from hello-00002\n");
  });

  test("warm requests go on while the control plane is away", async () => {
    await ask("next-hello");
    const pid = status.processes.find(({ role }) => role === "control-plane")?.pid;
    assert.ok(pid);
    execFileSync("kill", ["-STOP", String(pid)]);
    try {
      for (let round = 0; round < 5; round++)
        assert.equal((await ask("next-hello")).text, "Hello You from hello-00002\n");
    } finally {
      execFileSync("kill", ["-CONT", String(pid)]);
    }
  });
});

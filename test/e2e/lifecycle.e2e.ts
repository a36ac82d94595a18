/**
 * The life of a cluster on its machine: up, down, reset and delete, with processes that die or hang at the wrong moment.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterStatus } from "#cli/machine.ts";
import { canRunContainers, startCluster, type TestCluster } from "../support/cluster.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";

describe("the life of a cluster", { skip }, () => {
  let cluster: TestCluster;
  const nodeless = (...args: string[]) => cluster.nodeless([...args, "--name", "life-e2e"], { mayFail: true });
  const status = async () => JSON.parse((await nodeless("status", "-o", "json")).stdout) as ClusterStatus;
  const pidOf = async (role: "control-plane" | "node") => {
    const pid = (await status()).processes.find((one) => one.role === role)?.pid;
    assert.ok(pid !== undefined, `${role} runs`);
    return pid;
  };

  before(async () => {
    cluster = await startCluster("life-e2e");
  });

  after(async () => {
    await cluster?.remove();
  });

  const deaths = {
    "the control plane": ["control-plane"],
    "the node": ["node"],
    "the control plane, then the node": ["control-plane", "node"],
    "the node, then the control plane": ["node", "control-plane"],
  } as const;
  for (const [who, roles] of Object.entries(deaths)) {
    test(`down just after ${who} died leaves nothing running, and nothing comes back`, async () => {
      await nodeless("up");
      const pids = await Promise.all(roles.map(pidOf));
      for (const pid of pids) {
        process.kill(pid, "SIGKILL");
        await sleep(80); // the other one is just starting it again
      }

      const down = await nodeless("down");

      assert.deepEqual([down.code, processesOfCluster()], [0, []]);
      await sleep(300); // longer than a process needs to begin its work
      assert.deepEqual(processesOfCluster(), []);
    });
  }

  test("down ends a process that hangs, and status says that it does", { timeout: 60_000 }, async () => {
    await nodeless("up");
    process.kill(await pidOf("node"), "SIGSTOP");

    const said = await nodeless("status");
    const down = await nodeless("down");

    assert.match(said.stdout, /node life-e2e +does not answer; 'nodeless down' ends it/);
    assert.deepEqual([down.code, processesOfCluster()], [0, []]);
  });

  test("commands on one cluster wait for each other", async () => {
    const [one, two] = await Promise.all([nodeless("up"), nodeless("up")]);

    assert.deepEqual([one.code, two.code], [0, 0]);
    assert.match(one.stdout + two.stdout, /Cluster "life-e2e" is ready after/);
    assert.match(one.stdout + two.stdout, /Cluster "life-e2e" runs already/);
    assert.match(one.stderr + two.stderr, /^Waiting for another nodeless command on cluster "life-e2e" \(pid \d+\)$/m);
    assert.equal(processesOfCluster().length, 2);
  });
});

function processesOfCluster(): string[] {
  const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => /^nodeless (node|control-plane) life-e2e|--name life-e2e/.test(line));
}

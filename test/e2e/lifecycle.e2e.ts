/**
 * The life of a cluster on its machine: up, down, reset and delete, with processes that die or hang at the wrong moment.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterStatus } from "#cli/machine.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { findKubectl } from "../support/kubectl.ts";
import { canRunContainers, eventually, repository, run, startCluster, type TestCluster } from "../support/cluster.ts";

const program = join(repository, "bin/nodeless");
const tokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token";
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

  /** One that ignores the stop signal, and one that takes 4 s to end. */
  const startPods = async () => {
    await cluster.nodeless(["image", "load", await ensureLayout("busybox")]);
    const scripts = {
      deaf: ": deaf-e2e; trap '' TERM; while true; do sleep 1; done",
      slow: ": slow-e2e; trap 'sleep 4; exit' TERM; while true; do sleep 0.1; done",
    };
    for (const [name, script] of Object.entries(scripts)) {
      const pod = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name },
        spec: {
          containers: [{ name, image: "busybox", imagePullPolicy: "IfNotPresent", command: ["sh", "-c", script] }],
        },
      };
      await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(pod) });
    }
    await cluster.kubectl(["wait", "pod", "--all", "--for=condition=Ready", "--timeout=30s"]);
  };

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

    const [said, down] = await Promise.all([nodeless("status"), nodeless("down")]);

    assert.match(said.stdout, /node life-e2e +does not answer; 'nodeless down' ends it/);
    assert.deepEqual([down.code, processesOfCluster()], [0, []]);
  });

  test("an up that waits no longer names what hangs, and it is restarted all the same", {
    timeout: 90_000,
  }, async () => {
    await nodeless("up");
    const [stuck, dead] = [await pidOf("node"), await pidOf("control-plane")];
    process.kill(stuck, "SIGSTOP");
    process.kill(dead, "SIGKILL");

    // Longer than it takes to ask a process that does not answer.
    const environment = { ...cluster.environment, NODELESS_HANG_SECONDS: "12" };
    const late = await run(program, ["up", "--name", "life-e2e", "--timeout", "2"], { environment, mayFail: true });

    assert.equal(late.code, 1);
    assert.match(
      late.stderr,
      /"life-e2e" is not ready after 2 s:\n +node life-e2e does not answer; its log is \/.*\.log$/m,
    );
    await eventually("the cluster to be ready", async () => (await status()).isReady, 40_000);
    assert.notEqual(await pidOf("node"), stuck);
  });

  test("a second up says that the cluster runs, and refuses what cannot be changed while it does", async () => {
    const first = await nodeless("up");
    const second = await nodeless("up");
    const other = await nodeless("up", "--nodes", "3", "--api-port", "7000");

    assert.deepEqual([first.code, second.code, other.code], [0, 0, 1]);
    assert.match(second.stdout, /^Cluster "life-e2e" runs already\.$/m);
    assert.match(other.stderr, /runs already, and not with this --nodes, --api-port: take it down first/);
  });

  test("when the key of service account tokens was lost, running pods get tokens of the new one at once", async () => {
    await nodeless("up");
    await startPods();
    const token = async () => (await cluster.kubectl(["exec", "slow", "--", "cat", tokenFile])).stdout;
    const isTrusted = async (given: string) => {
      const review = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token: given } };
      const args = ["create", "-f", "-", "-o", "jsonpath={.status.authenticated}"];
      return (await cluster.kubectl(args, { input: JSON.stringify(review) })).stdout === "true";
    };
    const before = await token();
    assert.equal(await isTrusted(before), true);

    rmSync(join((await status()).dataFolder, "pki/sa.key"));
    process.kill(await pidOf("control-plane"), "SIGKILL");
    const after = await eventually("another token", async () => {
      const now = await token();
      return now !== before && now;
    });

    assert.deepEqual([await isTrusted(before), await isTrusted(after)], [false, true]);
    const events = async () => (await cluster.kubectl(["get", "events"])).stdout;
    await eventually("an event that says so", async () =>
      /ServiceAccountKeyReplaced +node\/life-e2e/.test(await events()),
    );
    await cluster.kubectl(["delete", "pods", "--all", "--force"]);
  });

  test("reset empties a running cluster, which comes back with the settings that it had", async () => {
    await nodeless("up");
    const settings = async () => {
      const { dataFolder } = await status();
      return ["cluster.json", "pki/ca.crt", "pki/admin.crt"].map((file) =>
        readFileSync(join(dataFolder, file), "utf8"),
      );
    };
    await cluster.kubectl(["create", "configmap", "before", "--from-literal=a=b"]);
    const before = await settings();

    const reset = await nodeless("reset");

    assert.equal(reset.code, 0);
    assert.equal((await status()).isReady, true);
    assert.deepEqual(await settings(), before);
    assert.doesNotMatch((await cluster.kubectl(["get", "configmaps", "-o", "name"])).stdout, /before/);
  });

  test("what is taken, lost, newer or damaged is said with what to do, and nothing is begun anew over it", async () => {
    await nodeless("up");
    await cluster.kubectl(["create", "configmap", "kept", "--from-literal=a=b"]);
    const { dataFolder } = await status();
    await nodeless("down");
    const copy = mkdtempSync(join(tmpdir(), "life-e2e-copy-"));
    cpSync(dataFolder, copy, { recursive: true });
    const store = join(dataFolder, "store");
    const refusals: Readonly<Record<string, { readonly harm: () => unknown; readonly says: RegExp }>> = {
      "the CA is gone": {
        harm: () => ["ca.crt", "ca.key"].map((file) => rmSync(join(dataFolder, "pki", file))),
        says: /ca\.key are missing\. Restore .* 'nodeless delete --name life-e2e'/,
      },
      "the encryption key is gone": {
        harm: () => rmSync(join(dataFolder, "pki/encryption.json")),
        says: /encryption\.json is missing.* 'nodeless reset --name life-e2e'/,
      },
      "the store is of a newer version": {
        harm: () => writeFileSync(join(store, "FORMAT"), '{"format":99}\n'),
        says: /format 99.*Use the newer version/,
      },
      "the store is damaged": {
        harm: () => truncateSync(join(store, "data.mdb"), 8192),
        says: /store is damaged.* 'nodeless reset --name life-e2e'/,
      },
    };
    for (const [what, { harm, says }] of Object.entries(refusals)) {
      harm();
      const { code, stderr } = await nodeless("up");
      assert.deepEqual([code, processesOfCluster()], [1, []], what);
      assert.match(stderr, says);
      rmSync(dataFolder, { recursive: true });
      cpSync(copy, dataFolder, { recursive: true });
    }
    rmSync(copy, { recursive: true });
    const holder = spawn("flock", [join(store, "lock"), "sh", "-c", "echo held; exec sleep 60"], { detached: true });
    await once(holder.stdout, "data");
    const locked = await nodeless("up");
    process.kill(-(holder.pid ?? 0), "SIGKILL");
    await once(holder, "close");
    assert.match(locked.stderr, /store is in use by process \d+.*End that process first/);

    const taken = createServer().listen((await status()).ports.api, "127.0.0.1");
    await once(taken, "listening");
    const up = await nodeless("up");
    taken.close();

    assert.equal(up.code, 0, up.stderr);
    assert.match(
      up.stderr,
      /^Warning: another program has port \d+, where the API server was: it is at port \d+ from now on\. .*copies/m,
    );
    assert.equal((await cluster.kubectl(["get", "configmap", "kept", "-o", "name"])).stdout, "configmap/kept\n");
  });

  test("--foreground stays until Ctrl-C, which takes the cluster down, also while it starts", async () => {
    await nodeless("down");
    for (const sign of [/Ctrl-C stops it/, undefined]) {
      const child = spawn(program, ["up", "--name", "life-e2e", "--foreground"], { env: cluster.environment });
      let said = "";
      child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
      if (sign) await eventually("its being up", async () => sign.test(said));
      else
        await eventually("a process", async () => processesOfCluster().some((line) => /^nodeless control/.test(line)));
      child.kill("SIGINT");
      const [code] = await once(child, "exit");

      assert.deepEqual([code, processesOfCluster()], [sign ? 0 : 130, []]);
      if (sign) assert.match(said, /Cluster "life-e2e" is down/);
    }
  });

  test("without conmon nothing is made, and one sentence says what to do", async () => {
    const script = 'mount --bind /dev/null "$(command -v conmon)" && exec "$0" up --name life-e2e-new';
    const { code, stderr } = await run("unshare", ["--mount", "sh", "-c", script, program], {
      environment: cluster.environment,
      mayFail: true,
    });

    assert.deepEqual(
      { code, stderr },
      { code: 1, stderr: "nodeless up: conmon is missing on this machine: install with 'apt-get install -y conmon'\n" },
    );
    assert.doesNotMatch((await cluster.nodeless(["list"])).stdout, /life-e2e-new/);
  });

  test("down does not wait for a container that cannot notice it, and one that takes its time may", async () => {
    await nodeless("up");
    await startPods();
    const startedMs = performance.now();

    const interrupted = spawn(program, ["down", "--name", "life-e2e"], { env: cluster.environment });
    const said = text(interrupted.stderr);
    await eventually("the deaf container's end", async () => processesIn("deaf").length === 0);
    const tookMs = performance.now() - startedMs;
    interrupted.kill("SIGTERM");
    const [code] = await once(interrupted, "exit");

    assert.ok(tookMs < 5000, `killed at once, not after its grace: ${tookMs} ms`);
    assert.equal(code, 143);
    assert.match(await said, /^Interrupted: what runs of cluster "life-e2e" goes on ending/);
    assert.equal(processesIn("slow").length, 1);
    const again = await nodeless("down");
    assert.equal(again.code, 0);
    assert.deepEqual([...processesOfCluster(), ...processesIn("slow")], []);
    await nodeless("reset"); // the slow one would make the other tests slow
  });

  test("a cluster of the same name in another data root has tables of its own, and goes alone", async () => {
    await nodeless("up");
    const folder = mkdtempSync(join(tmpdir(), "life-e2e-"));
    const environment = {
      ...cluster.environment,
      NODELESS_DATA_ROOT: folder,
      NODELESS_RUN_ROOT: join(folder, "run"),
      KUBECONFIG: join(folder, "kubeconfig"),
    };
    const other = (command: string) => run(program, [command, "--name", "life-e2e"], { environment, mayFail: true });
    const tableOf = (dataFolder: string) => {
      const { slot } = JSON.parse(readFileSync(join(dataFolder, "cluster.json"), "utf8"));
      return `nodeless_${slot}`;
    };
    const hasTable = (table: string) => spawnSync("nft", ["list", "table", "ip", table]).status === 0;

    const up = await other("up");
    const tables = [(await status()).dataFolder, join(folder, "clusters/life-e2e")].map(tableOf);
    const there = tables.map(hasTable);
    // As clusters were named before: it speaks of the other one's addresses.
    const otherSlot = Number(tables[1]?.split("_")[1]);
    const former = `add table ip nodeless-life-e2e
      add set ip nodeless-life-e2e pods { type ipv4_addr; elements = { 10.${40 + 2 * otherSlot}.0.5 }; }`;
    assert.equal(spawnSync("nft", ["-f", "-"], { input: former }).status, 0);
    await nodeless("down");
    assert.ok(hasTable("nodeless-life-e2e"), "not ours");
    await nodeless("up");
    const deleted = await other("delete");
    rmSync(folder, { recursive: true, force: true });

    assert.deepEqual([up.code, deleted.code], [0, 0], up.stderr + deleted.stderr);
    assert.equal(new Set(tables).size, 2);
    assert.deepEqual(
      [there, tables.map(hasTable)],
      [
        [true, true],
        [true, false],
      ],
    );
    assert.ok(!hasTable("nodeless-life-e2e"), "removed with its cluster");
    assert.equal((await status()).isReady, true);
  });

  test("on a full disk a cluster lives: reads and deletes go on, and all does when there is room again", async () => {
    const disk = mkdtempSync(join(tmpdir(), "life-e2e-disk-"));
    spawnSync("mount", ["-t", "tmpfs", "-o", "size=96m", "nodeless-test", disk]);
    const environment = {
      ...cluster.environment,
      NODELESS_DATA_ROOT: disk,
      NODELESS_RUN_ROOT: "/run/nodeless-e2e-full",
      KUBECONFIG: join(tmpdir(), `life-e2e-full-${process.pid}`),
    };
    const on = (...args: string[]) => run(program, [...args, "--name", "full"], { environment, mayFail: true });
    const kubectl = (...args: string[]) =>
      run(findKubectl(), ["--context", "nodeless-full", ...args], { environment, mayFail: true });
    try {
      assert.equal((await on("up")).code, 0);
      await kubectl("create", "configmap", "before", "--from-literal=a=b");
      const pids = JSON.parse((await on("status", "-o", "json")).stdout).processes;
      spawnSync("dd", ["if=/dev/zero", `of=${join(disk, "filler")}`, "bs=64k"]);

      // The store's file may have free pages left.
      const refused = await eventually("a refusal", async () => {
        const name = `during-${performance.now().toFixed(0)}`;
        const { code, stderr } = await kubectl("create", "configmap", name, `--from-literal=a=${"x".repeat(50_000)}`);
        return code !== 0 && stderr;
      });
      const read = await kubectl("get", "configmap", "before", "-o", "name");
      const deleted = await kubectl("delete", "configmap", "before");
      await sleep(1500); // controllers and the node write and log meanwhile
      const still = JSON.parse((await on("status", "-o", "json")).stdout).processes;
      rmSync(join(disk, "filler"));
      const after = await eventually("room", async () => {
        const { code } = await kubectl("create", "configmap", "after", "--from-literal=a=b");
        return code === 0;
      });

      assert.match(refused, /the disk is full; there is room for deletes only/);
      assert.deepEqual([read.stdout, deleted.code, after], ["configmap/before\n", 0, true]);
      assert.deepEqual(still, pids);
    } finally {
      await on("delete");
      spawnSync("umount", [disk]);
      rmSync(disk, { recursive: true });
      rmSync(environment.KUBECONFIG, { force: true });
    }
  });

  test("a running cluster whose record was damaged is refused by name and deleted whole", async () => {
    await nodeless("up");
    const { dataFolder } = await status();
    writeFileSync(join(dataFolder, "cluster.json"), '{"formatVersion":1,');

    const up = await nodeless("up");
    const list = await cluster.nodeless(["list"], { mayFail: true });
    const deleted = await nodeless("delete");

    assert.deepEqual([up.code, list.code, deleted.code], [1, 1, 0]);
    assert.match(up.stderr, /cluster.json is damaged .* 'nodeless delete --name life-e2e'/);
    assert.match(list.stdout, /^life-e2e +broken/m);
    assert.deepEqual(processesOfCluster(), []);
    assert.equal(existsSync(dataFolder), false);
    assert.doesNotMatch(readFileSync(cluster.kubeconfig, "utf8"), /life-e2e/);
  });

  test("a cluster whose folder was removed while it ran is not begun anew beside itself, and can be deleted", async () => {
    await nodeless("up");
    rmSync((await status()).dataFolder, { recursive: true });

    const up = await nodeless("up");
    const deleted = await nodeless("delete");

    assert.deepEqual([up.code, deleted.code, processesOfCluster()], [1, 0, []]);
    assert.match(up.stderr, /run \(\d+, \d+\) whose data is gone\. End them with 'nodeless delete --name life-e2e'/);
  });

  test("a cluster whose folder was removed after its processes had died leaves no addresses taken", async () => {
    await nodeless("up");
    const { addresses, dataFolder } = await status();
    const pids = await Promise.all([pidOf("control-plane"), pidOf("node")]);
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await eventually("both have ended", async () => processesOfCluster().length === 0);
    rmSync(dataFolder, { recursive: true });

    const up = await nodeless("up");

    assert.equal(up.code, 0);
    assert.match(up.stdout + up.stderr, /Removed what was left of cluster "life-e2e", whose data in \S+ is gone\./);
    assert.deepEqual((await status()).addresses, addresses);
  });

  test("what would be refused in the end is refused before anything starts, and a running cluster takes the advice", async () => {
    await nodeless("down");
    const other = join(cluster.kubeconfig, "../other");
    const broken = join(cluster.kubeconfig, "../broken");
    writeFileSync(broken, "a: [1\n");

    const refused = await nodeless("up", "--kubeconfig", broken);
    assert.deepEqual([refused.code, processesOfCluster()], [1, []]);
    assert.match(
      refused.stderr,
      /broken is no kubeconfig: .*Nothing was changed in it; repair it or pass --kubeconfig/,
    );

    assert.equal((await nodeless("up")).code, 0);
    const before = readFileSync(cluster.kubeconfig, "utf8");
    writeFileSync(cluster.kubeconfig, "a: [1\n");
    assert.match((await nodeless("up")).stderr, /is no kubeconfig/);
    assert.match((await nodeless("up", "--kubeconfig", other)).stdout, /"life-e2e" runs already[^]* is in .*\/other;/);
    const nodes = await run(findKubectl(), ["--kubeconfig", other, "get", "nodes", "-o", "name"]);
    assert.equal(nodes.stdout, "node/life-e2e\n");

    writeFileSync(cluster.kubeconfig, before);
    assert.equal((await nodeless("up", "--kubeconfig", cluster.kubeconfig)).code, 0);
    assert.doesNotMatch(readFileSync(other, "utf8"), /current-context|life-e2e/);
  });

  test("up and down at once say what each came to", async () => {
    await nodeless("down");
    const starting = nodeless("up");
    await eventually("a process", async () => processesOfCluster().some((line) => /^nodeless control/.test(line)));

    const [up, down] = await Promise.all([starting, nodeless("down")]);

    assert.deepEqual([up.code, down.code, processesOfCluster()], [1, 0, []]);
    assert.match(up.stderr, /"life-e2e" was taken down by another command while it was starting$/m);
    assert.match(down.stdout, /^Cluster "life-e2e" is down\. 'nodeless up --name life-e2e' brings it back\.$/m);
  });

  test("commands on one cluster wait for each other", async () => {
    await nodeless("down");
    const [one, two] = await Promise.all([nodeless("up"), nodeless("up")]);

    assert.deepEqual([one.code, two.code], [0, 0]);
    assert.match(one.stdout + two.stdout, /Cluster "life-e2e" is ready after/);
    assert.match(one.stdout + two.stdout, /Cluster "life-e2e" runs already/);
    assert.match(one.stderr + two.stderr, /^Waiting for another nodeless command on cluster "life-e2e" \(pid \d+\)$/m);
    assert.equal(processesOfCluster().length, 2);
  });
});

/** Pids of shells that run a script with this word. */
function processesIn(word: string): string[] {
  const { stdout } = spawnSync("pgrep", ["-f", `^sh -c : ${word}-e2e`], { encoding: "utf8" });
  return stdout.split("\n").filter(Boolean);
}

function processesOfCluster(): string[] {
  const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => /^nodeless (node|control-plane) life-e2e|--name life-e2e/.test(line));
}

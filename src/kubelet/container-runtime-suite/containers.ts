/**
 * Containers from their start to their end: states, logs, signals, limits, usage.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { ContainerError } from "#kubelet/container-runtime.ts";
import { eventually, plainLog, never, type SuiteHouse } from "./suite-house.ts";

export function containerTests(house: SuiteHouse): void {
  const { sandbox, run, containerSpec, ended, exec } = house;

  describe("containers", () => {
    it("runs its command with its variables, and its output is in the log in CRI format", async () => {
      const pod = await sandbox();
      const { id, phase } = await run(pod, "echo out $A; echo err >&2; printf half", {
        env: [{ name: "A", value: "x y" }],
      });
      await ended(id);

      assert.equal(phase, "running");
      const log = readFileSync(join(house.given.logFolder, `${pod.name}-main-0.log`), "utf8");
      assert.match(log, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\S+ stdout F out x y$/m);
      assert.match(log, /^\S+ stderr F err$/m);
      assert.match(log, /^\S+ stdout P half$/m);
      await house.given.runtime.removeSandbox(pod);
    });

    it("tells its exit code, once, to the listener", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "exit 42");

      const state = await ended(id);

      assert.equal(state.exitCode, 42);
      assert.ok((state.finishedMs ?? 0) >= (state.startedMs ?? Number.POSITIVE_INFINITY));
      assert.deepEqual(
        house.changes.filter((change) => change.id === id).map((change) => [change.phase, change.exitCode]),
        [["exited", 42]],
      );
      await house.given.runtime.removeSandbox(pod);
    });

    it("a container killed by a signal has exit code 128 and the signal's number", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "kill -9 $$; sleep 1; (kill -6 $$); sleep 1000 & wait");
      await house.given.runtime.stopContainer(id, 0);

      assert.equal((await ended(id)).exitCode, 137);
      await house.given.runtime.removeSandbox(pod);
    });

    it("a command that does not exist is a ContainerError, and leaves a container that has exited with 128 and StartError", async () => {
      const pod = await sandbox();
      const spec = containerSpec(pod, "", { command: ["/no/such/program"] });

      await assert.rejects(house.given.runtime.startContainer(spec, never), (error: ContainerError) => {
        assert.equal(error.kind, "ContainerError");
        assert.equal(error.reason, "RunContainerError");
        assert.match(error.message, /^OCI runtime create failed: .*no\/such\/program/);
        return true;
      });
      const left = (await house.given.runtime.listContainers()).filter((state) => state.pod.uid === pod.uid);
      assert.deepEqual(
        left.map(({ phase, exitCode, reason, startedMs }) => [phase, exitCode, reason, startedMs]),
        [["exited", 128, "StartError", 0]],
      );
      assert.match(left[0]?.message ?? "", /no\/such\/program/);
      await house.given.runtime.removeContainer(left[0]?.id ?? "");
      assert.deepEqual(
        (await house.given.runtime.listContainers()).filter((state) => state.pod.uid === pod.uid),
        [],
      );
      await house.given.runtime.removeSandbox(pod);
    });

    it("a working folder that is a file in the image is a failed start too", async () => {
      const pod = await sandbox();
      const spec = containerSpec(pod, "true", { workingDir: "/etc/passwd" });

      await assert.rejects(house.given.runtime.startContainer(spec, never), (error: ContainerError) => {
        assert.equal(error.reason, "RunContainerError");
        assert.match(error.message, /^OCI runtime create failed: mkdir \/etc\/passwd: not a directory$/);
        assert.equal(error.container?.exitCode, 128);
        return true;
      });
      await house.given.runtime.removeSandbox(pod);
    });

    it("stops by its signal within the grace, and by SIGKILL after it", async () => {
      const pod = await sandbox();
      const gentle = await run(pod, "trap 'exit 7' TERM; touch /dev/shm/ready; sleep 1000 & wait", {
        name: "gentle",
      });
      const deaf = await run(pod, "trap '' TERM; while true; do sleep 1; done", { name: "deaf" });
      await eventually("it listens", async () =>
        (await exec(gentle.id, "ls /dev/shm/ready")).code === 0 ? true : undefined,
      );

      await house.given.runtime.stopContainer(gentle.id, 60);
      const begunMs = Date.now();
      await house.given.runtime.stopContainer(deaf.id, 1);

      assert.equal((await ended(gentle.id)).exitCode, 7);
      assert.equal((await ended(deaf.id)).exitCode, 137);
      assert.ok(Date.now() - begunMs >= 900);
      await house.given.runtime.removeSandbox(pod);
    });

    it("a second stop with a shorter grace counts", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "trap '' TERM; while true; do sleep 1; done");

      const slow = house.given.runtime.stopContainer(id, 600);
      await house.given.runtime.stopContainer(id, 0);
      await slow;

      assert.equal((await ended(id)).exitCode, 137);
      await house.given.runtime.removeSandbox(pod);
    });

    it("stops by the signal that the container asks for", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "trap 'exit 9' USR1; touch /dev/shm/ready; sleep 1000 & wait", {
        stopSignal: "SIGUSR1",
      });
      await eventually("it listens", async () => ((await exec(id, "ls /dev/shm/ready")).code === 0 ? true : undefined));

      await house.given.runtime.stopContainer(id, 30);

      assert.equal((await ended(id)).exitCode, 9);
      await house.given.runtime.removeSandbox(pod);
    });

    it("stopping and removing the unknown is success", async () => {
      await house.given.runtime.stopContainer("0".repeat(64), 1);
      await house.given.runtime.removeContainer("0".repeat(64));
    });

    it("the ended container stays until it is removed; the next attempt has another id", async () => {
      const pod = await sandbox();
      const first = await run(pod, "exit 1");
      await ended(first.id);
      const second = await run(pod, "exit 2", { attempt: 1 });
      await ended(second.id);

      assert.notEqual(first.id, second.id);
      const listed = (await house.given.runtime.listContainers()).filter((state) => state.pod.uid === pod.uid);
      assert.deepEqual(listed.map((state) => [state.attempt, state.exitCode]).sort(), [
        [0, 1],
        [1, 2],
      ]);
      await house.given.runtime.removeContainer(first.id);
      assert.ok(!(await house.given.runtime.listContainers()).some((state) => state.id === first.id));
      assert.ok(existsSync(join(house.given.logFolder, `${pod.name}-main-0.log`)), "the log stays");
      await house.given.runtime.removeSandbox(pod);
    });

    it("a process that takes more memory than its limit is OOMKilled", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "tail /dev/zero", { resources: { memoryLimitBytes: 32 << 20 } });

      const state = await ended(id);

      assert.equal(state.exitCode, 137);
      assert.equal(state.oomKilled, true);
      await house.given.runtime.removeSandbox(pod);
    });

    it("a killed container that had memory enough is not OOMKilled", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "sleep 1000", { resources: { memoryLimitBytes: 32 << 20 } });
      await house.given.runtime.stopContainer(id, 0);

      assert.equal((await ended(id)).oomKilled, false);
      await house.given.runtime.removeSandbox(pod);
    });

    it("limits change while it runs", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "sleep 1000", { resources: { memoryLimitBytes: 32 << 20, cpuShares: 100 } });

      await house.given.runtime.updateResources(id, { memoryLimitBytes: 64 << 20, cpuShares: 200 });

      const { out } = await exec(
        id,
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null",
      );
      assert.equal(out.trim(), String(64 << 20));
      await house.given.runtime.removeSandbox(pod);
    });

    it("tells what running containers use", async () => {
      const pod = await sandbox();
      await run(pod, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000");

      const usage = await eventually("it has used CPU", async () => {
        const found = (await house.given.runtime.usage()).find((entry) => entry.pod.uid === pod.uid)?.containers[0];
        return found && found.cpuUsageNanoseconds > 5_000_000 ? found : undefined;
      });

      assert.equal(usage.name, "main");
      assert.ok(usage.memoryUsageBytes > 0 && usage.memoryWorkingSetBytes <= usage.memoryUsageBytes);
      await house.given.runtime.removeSandbox(pod);
    });

    it("writes to a new log file after the old one was renamed away", async () => {
      const pod = await sandbox();
      const { id } = await run(
        pod,
        "echo before; while [ ! -e /dev/shm/go ]; do sleep 0.05; done; echo after; sleep 1000",
      );
      const path = join(house.given.logFolder, `${pod.name}-main-0.log`);
      await eventually("it wrote", () => (plainLog(path).includes("before") ? true : undefined));

      renameSync(path, `${path}.1`);
      await house.given.runtime.reopenLog(id);
      await exec(id, "touch /dev/shm/go");

      await eventually("it wrote again", () => (existsSync(path) && plainLog(path) === "after\n" ? true : undefined));
      assert.equal(plainLog(`${path}.1`), "before\n");
      await house.given.runtime.removeSandbox(pod);
    });
  });
}

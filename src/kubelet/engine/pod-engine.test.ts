import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { sandboxSpec } from "#kubelet/container-runtime-suite/suite-house.ts";
import { refOf } from "#kubelet/pod-object.ts";
import { providerSuite } from "#kubelet/provider-suite.ts";
import { EngineHouse, isReady, never, podOf } from "#kubelet/testing/engine-house.ts";

async function withHouse(body: (house: EngineHouse) => Promise<void>): Promise<void> {
  const house = await EngineHouse.open();
  try {
    await body(house);
  } finally {
    await house.close();
  }
}

providerSuite("pod engine on the memory runtime", async () => {
  const house = await EngineHouse.open();
  const turn = setInterval(() => void house.clock.advance(100), 1);
  return {
    provider: house.engine,
    image: "app:1",
    close: async () => {
      clearInterval(turn);
      await house.close();
    },
  };
});

const terminatedOf = (house: EngineHouse, name: string) => house.status(name).containerStatuses?.[0]?.state?.terminated;

describe("the pod engine", () => {
  it("says Pending with ContainerCreating first, then Running with addresses and ids", async () => {
    await withHouse(async (house) => {
      const seen: (string | undefined)[] = [];
      house.engine.onStatus((ref, status) => {
        house.statuses.set(ref.uid, status);
        seen.push(status.containerStatuses?.[0]?.state?.waiting?.reason ?? status.phase);
      });

      await house.run(podOf("web", [{}]));
      const status = await house.until("web", isReady);

      assert.equal(seen[0], "ContainerCreating");
      assert.equal(status.podIP, "10.42.0.2");
      const [container] = status.containerStatuses ?? [];
      assert.match(container?.containerID ?? "", /^memory:\/\/main-0/);
      assert.equal(container?.imageID, "app@sha256:0");
      assert.equal(container?.started, true);
      assert.equal(status.qosClass, "BestEffort");
    });
  });

  it("says Running and Ready in one status where no probe has to decide first", async () => {
    await withHouse(async (house) => {
      const seen: boolean[] = [];
      house.engine.onStatus((ref, status) => {
        house.statuses.set(ref.uid, status);
        if (status.phase === "Running") seen.push(isReady(status));
      });

      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);

      assert.deepEqual(seen, [true]);
    });
  });

  it("stops while a pod is being started, and lets go of it", async () => {
    await withHouse(async (house) => {
      for (let turns = 0; turns < 12; turns++) {
        await house.run(podOf(`web-${turns}`, [{}]));
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        await house.restart();
      }
      await house.engine.stop();
      const asked = house.runtime.log.length;
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));

      assert.equal(house.runtime.log.length, asked);
    });
  });

  it("tells what it does in upstream's events", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);

      assert.deepEqual(house.events, [
        'Normal Pulling Pulling image "app:1"',
        'Normal Pulled Successfully pulled image "app:1" in 0s (0s including waiting). Image size: 4000000 bytes.',
        "Normal Created Container created",
        "Normal Started Container started",
      ]);
    });
  });

  it("runs init containers one after another, then the main ones", async () => {
    await withHouse(async (house) => {
      house.runtime.script = (spec) => (spec.name.startsWith("init") ? { exitCode: 0 } : {});
      const initContainers = ["init-a", "init-b"].map((name) => ({ name, image: "app:1" }));

      await house.run(podOf("web", [{}], { initContainers }));
      const status = await house.until("web", isReady);

      assert.deepEqual(
        house.runtime.log.filter((line) => line.startsWith("start")),
        ["start web/init-a#0", "start web/init-b#0", "start web/main#0"],
      );
      assert.ok(status.initContainerStatuses?.every((it) => it.ready && it.state?.terminated?.reason === "Completed"));
    });
  });

  it("fails a pod that is never restarted when an init container fails", async () => {
    await withHouse(async (house) => {
      house.runtime.script = () => ({ exitCode: 3 });

      await house.run(
        podOf("job", [{}], { restartPolicy: "Never", initContainers: [{ name: "init", image: "app:1" }] }),
      );
      const status = await house.until("job", (it) => it.phase === "Failed");

      assert.deepEqual(
        house.runtime.log.filter((line) => line.startsWith("start")),
        ["start job/init#0"],
      );
      assert.equal(status.containerStatuses?.[0]?.state?.waiting?.reason, "PodInitializing");
      assert.equal(status.conditions?.find((it) => it.type === "Initialized")?.status, "False");
    });
  });

  it("keeps sidecars running and stops them when the main containers are done", async () => {
    await withHouse(async (house) => {
      house.runtime.script = (spec) => (spec.name === "main" ? {} : {});
      const initContainers = [{ name: "proxy", image: "app:1", restartPolicy: "Always" }];
      await house.run(podOf("job", [{}], { restartPolicy: "Never", initContainers }));
      await house.until("job", isReady);

      house.runtime.end("job/main", 0);
      const status = await house.until("job", (it) => it.phase === "Succeeded");

      assert.ok(house.runtime.log.includes("stop job/proxy 30s"));
      assert.ok(status.initContainerStatuses?.[0]?.state?.terminated);
    });
  });

  it("does not run a pod in the node's user namespace that asked for one of its own", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}], { hostUsers: false }));
      await house.untilTrue(() => house.events.length > 0);

      const why = "can't set `spec.hostUsers: false`, runtime does not support user namespaces";
      assert.deepEqual(house.events, [`Warning FailedCreatePodSandBox Failed to create pod sandbox: ${why}`]);
    });
  });

  it("starts sidecars in the order of the list, each once, and each when the one before has started", async () => {
    await withHouse(async (house) => {
      const startupProbe = { exec: { command: ["started"] }, periodSeconds: 1 };
      house.runtime.onExec = () => ({ exitCode: 1 });
      house.runtime.script = (spec) => (spec.name === "init" ? { exitCode: 0 } : {});
      const sidecar = { image: "app:1", restartPolicy: "Always" };
      const initContainers = [
        { ...sidecar, name: "first", startupProbe },
        { ...sidecar, name: "second" },
        { name: "init", image: "app:1" },
      ];
      const starts = () => house.runtime.log.filter((line) => line.startsWith("start"));

      await house.run(podOf("web", [{}], { initContainers }));
      await house.untilTrue(() => starts().length > 0);
      await house.clock.advance(900);
      assert.deepEqual(starts(), ["start web/first#0"]);

      house.runtime.onExec = () => ({ exitCode: 0 });
      await house.clock.advance(1_000);
      await house.until("web", isReady);
      assert.deepEqual(starts(), ["start web/first#0", "start web/second#0", "start web/init#0", "start web/main#0"]);
    });
  });

  it("restarts a container that ends, at once at first and then ever more slowly", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);

      house.runtime.end("web/main", 1);
      const restarted = await house.until("web", (it) => it.containerStatuses?.[0]?.restartCount === 1);
      assert.equal(restarted.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 1);
      assert.equal(restarted.containerStatuses?.[0]?.lastState?.terminated?.reason, "Error");
      house.runtime.end("web/main", 1);
      const waiting = await house.until("web", (it) => it.containerStatuses?.[0]?.state?.waiting !== undefined);

      const reason = waiting.containerStatuses?.[0]?.state?.waiting;
      assert.equal(reason?.reason, "CrashLoopBackOff");
      assert.equal(reason?.message, "back-off 10s restarting failed container=main pod=web_default(uid-web)");
      assert.equal(waiting.phase, "Running");
      await house.clock.advance(9_000);
      assert.equal(house.status("web").containerStatuses?.[0]?.restartCount, 1);
      await house.clock.advance(1_000);
      await house.until("web", (it) => it.containerStatuses?.[0]?.restartCount === 2);
    });
  });

  it("fails a pod that is never restarted when a process cannot be started, and says why", async () => {
    await withHouse(async (house) => {
      house.runtime.script = () => ({ failure: "StartError" });

      await house.run(podOf("job", [{}], { restartPolicy: "Never" }));
      await house.until("job", (it) => it.phase === "Failed");

      const ended = terminatedOf(house, "job");
      assert.deepEqual([ended?.exitCode, ended?.reason], [128, "StartError"]);
      assert.equal(ended?.message, "OCI runtime create failed: it was told to fail");
      assert.equal(ended?.startedAt, "1970-01-01T00:00:00Z");
      assert.deepEqual(house.events.slice(-2), [
        "Normal Created Container created",
        "Warning Failed Error: OCI runtime create failed: it was told to fail",
      ]);
    });
  });

  it("tries a process that cannot be started ever more slowly, and keeps no more than two of its containers", async () => {
    await withHouse(async (house) => {
      house.runtime.script = () => ({ failure: "StartError" });
      const attempts = () => house.runtime.log.filter((line) => line.startsWith("start")).length;

      await house.run(podOf("web", [{}]));
      const waiting = await house.until(
        "web",
        (it) => it.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff",
      );

      assert.equal(attempts(), 2);
      assert.equal(waiting.phase, "Running");
      assert.equal(waiting.containerStatuses?.[0]?.lastState?.terminated?.reason, "StartError");
      await house.clock.advance(9_000);
      assert.equal(attempts(), 2);
      await house.clock.advance(1_000);
      await house.until("web", (it) => it.containerStatuses?.[0]?.restartCount === 2);
      assert.equal((await house.runtime.listContainers()).length, 2);
      house.runtime.script = () => ({});
      await house.clock.advance(20_000);
      await house.until("web", isReady);
    });
  });

  it("restarts what a liveness probe had killed by how often it fails, not by how long its end took", async () => {
    await withHouse(async (house) => {
      house.runtime.onExec = () => ({ exitCode: 1 });
      const livenessProbe = {
        exec: { command: ["alive"] },
        initialDelaySeconds: 5,
        periodSeconds: 5,
        failureThreshold: 1,
      };
      await house.run(podOf("web", [{ livenessProbe }]));
      await house.until("web", (it) => it.phase === "Running");

      for (let restarts = 1; restarts <= 3; restarts += 1) {
        await house.clock.advance(21_000);
        await house.until("web", (it) => (it.containerStatuses?.[0]?.restartCount ?? 0) >= restarts);
      }

      assert.ok(house.events.includes("Normal Killing Container main failed liveness probe, will be restarted"));
    });
  });

  it("begins a pod anew, init containers first, when a rule says RestartAllContainers", async () => {
    await withHouse(async (house) => {
      house.runtime.script = (spec) => (spec.name === "init" ? { exitCode: 0 } : {});
      const rule = { action: "RestartAllContainers", exitCodes: { operator: "In", values: [42] } };
      const main = { restartPolicy: "Never", restartPolicyRules: [rule] };
      const initContainers = [{ name: "init", image: "app:1" }];
      await house.run(podOf("web", [main, {}], { initContainers, restartPolicy: "Never" }));
      await house.until("web", isReady);
      await house.clock.advance(1_000);

      house.runtime.end("web/main", 42);

      const status = await house.until(
        "web",
        (it) => isReady(it) && it.containerStatuses?.every((one) => one.restartCount === 1) === true,
      );
      assert.deepEqual(house.runtime.log.filter((line) => /^(start|stop)/.test(line)).slice(-4), [
        "stop web/c1 2s",
        "start web/init#1",
        "start web/main#1",
        "start web/c1#1",
      ]);
      assert.equal(status.phase, "Running");
      house.runtime.end("web/main", 1);
      house.runtime.end("web/c1", 0);
      await house.until("web", (it) => it.phase === "Failed");
    });
  });

  it("ends a job: Succeeded with code 0, Failed otherwise, OOMKilled where memory ran out", async () => {
    await withHouse(async (house) => {
      for (const name of ["good", "bad", "fat"]) await house.run(podOf(name, [{}], { restartPolicy: "Never" }));
      for (const name of ["good", "bad", "fat"]) await house.until(name, isReady);

      house.runtime.end("good/main", 0);
      house.runtime.end("bad/main", 7);
      house.runtime.end("fat/main", 137, { oomKilled: true });

      await house.until("good", (it) => it.phase === "Succeeded");
      await house.until("bad", (it) => it.phase === "Failed");
      await house.until("fat", (it) => it.phase === "Failed");
      assert.equal(terminatedOf(house, "good")?.reason, "Completed");
      assert.equal(terminatedOf(house, "bad")?.exitCode, 7);
      assert.equal(terminatedOf(house, "fat")?.reason, "OOMKilled");
      const ready = house.status("good").conditions?.find((it) => it.type === "Ready");
      assert.equal(ready?.reason, "PodCompleted");
    });
  });

  it("tells a name that is none, under every pull policy, without a pull", async () => {
    for (const imagePullPolicy of ["Always", "IfNotPresent"]) {
      await withHouse(async (house) => {
        await house.run(podOf("web", [{ image: "NOT", imagePullPolicy }]));
        const status = await house.until(
          "web",
          (it) => it.containerStatuses?.[0]?.state?.waiting?.message !== undefined,
        );

        const message = 'Failed to apply default image tag "NOT": couldn\'t parse image name "NOT:latest"';
        assert.deepEqual(status.containerStatuses?.[0]?.state?.waiting, { reason: "InvalidImageName", message });
        assert.deepEqual(house.events, [`Warning InspectFailed ${message}`, "Warning Failed Error: InvalidImageName"]);
      });
    }
  });

  it("says ErrImagePull, then ImagePullBackOff, and starts once the image is there", async () => {
    await withHouse(async (house) => {
      house.runtime.pullable = new Set();
      const waitingReason = (reason: string) =>
        house.until("web", (it) => it.containerStatuses?.[0]?.state?.waiting?.reason === reason);

      await house.run(podOf("web", [{}]));
      await waitingReason("ErrImagePull");
      await house.clock.advance(1_000);
      const status = await waitingReason("ImagePullBackOff");

      assert.equal(
        status.containerStatuses?.[0]?.state?.waiting?.message,
        'Back-off pulling image "app:1": ErrImagePull: app:1: not found',
      );
      assert.ok(house.events.includes('Warning Failed Failed to pull image "app:1": app:1: not found'));
      assert.ok(house.events.includes("Warning Failed Error: ImagePullBackOff"));
      house.runtime.pullable = undefined;
      await house.clock.advance(10_000);
      await house.until("web", isReady);
    });
  });

  it("never pulls with policy Never, and always with Always", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{ imagePullPolicy: "Never" }]));
      const status = await house.until(
        "web",
        (it) => it.containerStatuses?.[0]?.state?.waiting?.reason === "ErrImageNeverPull",
      );
      assert.equal(
        status.containerStatuses?.[0]?.state?.waiting?.message,
        'Container image "app:1" is not present with pull policy of Never',
      );
      house.runtime.images.add("app:1");

      await house.run(podOf("fresh", [{ imagePullPolicy: "Always" }]));
      await house.until("fresh", isReady);

      assert.deepEqual(
        house.runtime.log.filter((line) => line.startsWith("pull")),
        ["pull app:1"],
      );
    });
  });

  it("says CreateContainerConfigError while a ConfigMap is missing, and goes on when it appears", async () => {
    await withHouse(async (house) => {
      const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "a" } } }];
      await house.run(podOf("web", [{ env }]));
      const status = await house.until(
        "web",
        (it) => it.containerStatuses?.[0]?.state?.waiting?.reason === "CreateContainerConfigError",
      );
      assert.equal(status.containerStatuses?.[0]?.state?.waiting?.message, 'configmap "settings" not found');

      house.objects.configMaps.set("settings", { metadata: { name: "settings" }, data: { a: "1" } });
      house.objects.changed();

      await house.until("web", isReady);
      assert.ok(house.runtime.specs.at(-1)?.env.some((it) => it.name === "A" && it.value === "1"));
    });
  });

  it("deletes within the grace, preStop first, and leaves nothing", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{ lifecycle: { preStop: { exec: { command: ["drain"] } } } }]));
      await house.until("web", isReady);
      house.runtime.log.length = 0;

      await house.engine.deletePod({ namespace: "default", name: "web", uid: "uid-web" }, 20, never);

      assert.deepEqual(house.runtime.log, ["exec drain", "stop web/main 20s", "remove sandbox web"]);
      assert.equal(house.status("web").phase, "Succeeded");
      assert.ok(house.events.includes("Normal Killing Stopping container main"));
      assert.deepEqual(await house.engine.listPods(), []);
    });
  });

  it("waits until the pod is drained before anything of it is told to end, but no longer than its grace", async () => {
    await withHouse(async (house) => {
      const drained = Promise.withResolvers<void>();
      const asked: (string | undefined)[] = [];
      house.drain = {
        drain(pod, signal) {
          asked.push(pod.status?.podIP);
          signal.addEventListener("abort", () => drained.resolve());
          return drained.promise;
        },
      };
      await house.run(podOf("web", [{ lifecycle: { preStop: { exec: { command: ["last"] } } } }]));
      await house.until("web", isReady);
      const { podIP } = house.status("web");
      house.runtime.log.length = 0;

      const deleted = house.engine.deletePod({ namespace: "default", name: "web", uid: "uid-web" }, 20, never);
      await house.untilTrue(() => asked.length === 1);
      await house.clock.advance(19_000);
      assert.deepEqual([house.runtime.log, asked], [[], [podIP]]);
      await house.clock.advance(1000);
      await deleted;

      assert.deepEqual(house.runtime.log, ["exec last", "stop web/main 2s", "remove sandbox web"]);
    });
  });

  it("stops at once while a pod has its grace, and leaves the container to whoever comes", async () => {
    await withHouse(async (house) => {
      house.runtime.script = () => ({ isStubborn: true });
      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);
      void house.engine.deletePod({ namespace: "default", name: "web", uid: "uid-web" }, 300, never);
      await house.untilTrue(() => house.runtime.log.includes("stop web/main 300s"));

      await house.engine.stop();

      const [left] = await house.runtime.listContainers();
      assert.equal(left?.phase, "running");
      assert.ok(!house.runtime.log.includes("remove sandbox web"));
    });
  });

  it("takes a shorter grace while it is deleting", async () => {
    await withHouse(async (house) => {
      house.runtime.script = () => ({ isStubborn: true });
      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);
      const ref = { namespace: "default", name: "web", uid: "uid-web" };
      const long = house.engine.deletePod(ref, 300, never);
      await house.untilTrue(() => house.runtime.log.includes("stop web/main 300s"));

      const short = house.engine.deletePod(ref, 1, never);
      await house.untilTrue(() => house.runtime.log.includes("stop web/main 2s"));
      await house.clock.advance(2_000);

      await Promise.all([long, short]);
      assert.equal(house.status("web").phase, "Failed");
      assert.equal(terminatedOf(house, "web")?.exitCode, 137);
    });
  });

  it("runs postStart before the container counts as started, and stops it when the hook fails", async () => {
    await withHouse(async (house) => {
      house.runtime.onExec = () => ({ exitCode: 1, output: "no" });
      await house.run(podOf("web", [{ lifecycle: { postStart: { exec: { command: ["hello"] } } } }]));

      await house.untilTrue(() => house.events.includes("Warning FailedPostStartHook PostStartHook failed"));

      assert.ok(house.events.includes("Normal Killing FailedPostStartHook"));
      const status = await house.until("web", (it) => it.containerStatuses?.[0]?.state?.waiting !== undefined);
      assert.notEqual(status.containerStatuses?.[0]?.ready, true);
    });
  });

  it("ends a pod that is active for too long with DeadlineExceeded", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("job", [{}], { activeDeadlineSeconds: 5, restartPolicy: "Never" }));
      await house.until("job", isReady);

      await house.clock.advance(5_000);

      const status = await house.until("job", (it) => it.phase === "Failed");
      assert.equal(status.reason, "DeadlineExceeded");
      assert.equal(status.message, "Pod was active on the node longer than the specified deadline");
    });
  });

  it("reads the termination message that a container left", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("job", [{}], { restartPolicy: "Never" }));
      await house.until("job", isReady);
      const mount = house.runtime.specs[0]?.mounts.find((it) => it.containerPath === "/dev/termination-log");
      await writeFile(mount?.hostPath ?? "", "DONE");

      house.runtime.end("job/main", 0);

      await house.until("job", (it) => it.phase === "Succeeded");
      assert.equal(terminatedOf(house, "job")?.message, "DONE");
    });
  });

  it("falls back to the log's end where the container asks for it", async () => {
    await withHouse(async (house) => {
      await house.run(
        podOf("job", [{ terminationMessagePolicy: "FallbackToLogsOnError" }], { restartPolicy: "Never" }),
      );
      await house.until("job", isReady);
      const logPath = house.runtime.specs[0]?.logPath ?? "";
      await mkdir(dirname(logPath), { recursive: true });
      await writeFile(logPath, "2026-01-01T00:00:00.0Z stderr F it broke\n");

      house.runtime.end("job/main", 1);

      await house.until("job", (it) => it.phase === "Failed");
      assert.equal(terminatedOf(house, "job")?.message, "it broke\n");
    });
  });

  it("adopts what runs after a restart and starts nothing twice", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);
      house.runtime.end("web/main", 1);
      const before = await house.until("web", (it) => isReady(it) && it.containerStatuses?.[0]?.restartCount === 1);
      house.runtime.log.length = 0;

      await house.restart();
      await house.run({ ...podOf("web", [{}]), status: before });

      const after = await house.until("web", isReady);
      assert.deepEqual(house.runtime.log, []);
      assert.equal(after.containerStatuses?.[0]?.restartCount, 1);
      assert.equal(after.podIP, before.podIP);
      assert.deepEqual(after.containerStatuses, before.containerStatuses);
    });
  });

  it("hears of a container that ends at the very moment when it is adopted", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);
      const { runtime } = house;
      const list = runtime.listContainers.bind(runtime);
      runtime.listContainers = async () => {
        const states = await list();
        runtime.end("web/main", 137);
        return states;
      };

      await house.restart();

      const after = await house.until("web", (it) => isReady(it) && it.containerStatuses?.[0]?.restartCount === 1);
      assert.equal(after.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 137);
    });
  });

  it("keeps a pod ready across a restart of the agent until its probe says otherwise", async () => {
    await withHouse(async (house) => {
      const readinessProbe = {
        exec: { command: ["ready"] },
        initialDelaySeconds: 5,
        periodSeconds: 5,
        failureThreshold: 1,
      };
      const pod = podOf("web", [{ readinessProbe }]);
      await house.run(pod);
      await house.clock.advance(5_000);
      await house.until("web", isReady);
      const seen: boolean[] = [];

      await house.restart();
      house.engine.onStatus((ref, status) => {
        house.statuses.set(ref.uid, status);
        seen.push(isReady(status));
      });
      await house.run(pod);
      await house.until("web", isReady);
      assert.ok(seen.every(Boolean));
      house.runtime.onExec = () => ({ exitCode: 1 });
      await house.clock.advance(5_000);

      await house.until("web", (status) => !isReady(status));
    });
  });

  it("never runs again a job that ended before the agent was restarted", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("job", [{}], { restartPolicy: "Never" }));
      await house.until("job", isReady);
      house.runtime.end("job/main", 0);
      await house.until("job", (it) => it.phase === "Succeeded");
      await house.untilTrue(() => house.runtime.log.includes("remove sandbox job"));
      house.runtime.log.length = 0;
      house.statuses.clear();

      await house.restart();
      await house.run(podOf("job", [{}], { restartPolicy: "Never" }));

      await house.until("job", (it) => it.phase === "Succeeded");
      assert.deepEqual(house.runtime.log, []);
    });
  });

  it("leaves a pod whose record was lost as it is until the API says what it is", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}]));
      const before = await house.until("web", isReady);
      await rm(join(house.folder, "root/pods/uid-web/pod.json"));
      house.runtime.log.length = 0;
      house.statuses.clear();

      await house.restart();
      assert.deepEqual([...house.statuses], [], "nothing is said of a pod that is only guessed");
      await house.run({ ...podOf("web", [{}]), status: before });

      const after = await house.until("web", isReady);
      assert.deepEqual(house.runtime.log, []);
      assert.equal(after.containerStatuses?.[0]?.restartCount, 0);
    });
  });

  it("makes what is missing of the ground on which no container stood yet when the agent died", async () => {
    await withHouse(async (house) => {
      const pod = podOf("web", [{}]);
      await house.runtime.ensureSandbox(sandboxSpec(refOf(pod)), never);

      await house.restart();
      await house.run(pod);

      await house.until("web", isReady);
      assert.match(await readFile(join(house.folder, "root/pods/uid-web/etc-hosts"), "utf8"), /10\.42\./);
    });
  });

  it("removes a pod whose record was lost when the API does not know it either", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);
      await rm(join(house.folder, "root/pods/uid-web/pod.json"));

      await house.restart();
      const [known] = await house.engine.listPods();
      assert.ok(known);
      await house.engine.deletePod(known.ref, 0, never);

      assert.deepEqual(await house.engine.listPods(), []);
      assert.deepEqual(await readdir(join(house.folder, "root/pods")), []);
    });
  });

  it("removes folders of pods that nobody knows any more when it starts", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);
      const left = join(house.folder, "root/pods/gone/volumes");
      const logs = join(house.folder, "logs/default_gone_gone/main");
      for (const folder of [left, logs]) await mkdir(folder, { recursive: true });

      await house.restart();

      assert.deepEqual(await readdir(join(house.folder, "root/pods")), ["uid-web"]);
      assert.deepEqual(await readdir(join(house.folder, "logs")), ["default_web_uid-web"]);
    });
  });

  it("makes pods anew after a reboot, counting restarts on", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}]));
      const before = await house.until("web", isReady);

      house.runtime.reboot();
      await house.restart();
      await house.run({ ...podOf("web", [{}]), status: before });

      const after = await house.until("web", (it) => isReady(it) && it.containerStatuses?.[0]?.restartCount === 1);
      assert.equal(after.containerStatuses?.[0]?.lastState?.terminated?.reason, "ContainerStatusUnknown");
    });
  });

  it("gives running containers their new bounds without a restart", async () => {
    await withHouse(async (house) => {
      const pod = podOf("web", [{ resources: { limits: { cpu: "100m", memory: "64Mi" } } }]);
      await house.run(pod);
      await house.until("web", isReady);
      const resources = { limits: { cpu: "200m", memory: "64Mi" } };

      await house.engine.updatePod(podOf("web", [{ resources }]), never);

      await house.untilTrue(() => house.runtime.updates.length > 0);
      assert.equal(house.runtime.updates[0]?.resources.cpuQuotaMicroseconds, 20_000);
      assert.equal(house.status("web").containerStatuses?.[0]?.restartCount, 0);
    });
  });

  it("restarts a container whose resizePolicy asks for it, without a backoff", async () => {
    await withHouse(async (house) => {
      const resizePolicy = [{ resourceName: "memory", restartPolicy: "RestartContainer" }];
      const withMemory = (memory: string) => podOf("web", [{ resizePolicy, resources: { limits: { memory } } }]);
      await house.run(withMemory("64Mi"));
      await house.until("web", isReady);

      for (const [count, memory] of ["128Mi", "256Mi", "512Mi"].entries()) {
        await house.engine.updatePod(withMemory(memory), never);
        await house.until("web", (it) => isReady(it) && it.containerStatuses?.[0]?.restartCount === count + 1);
      }

      assert.ok(house.events.includes("Normal Killing Container main resize requires restart"));
      assert.equal(house.status("web").containerStatuses?.[0]?.resources?.limits?.["memory"], "512Mi");
    });
  });

  it("refuses to run as root where the pod says runAsNonRoot", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{ securityContext: { runAsNonRoot: true } }]));

      const status = await house.until(
        "web",
        (it) => it.containerStatuses?.[0]?.state?.waiting?.reason === "CreateContainerConfigError",
      );

      assert.equal(
        status.containerStatuses?.[0]?.state?.waiting?.message,
        'container has runAsNonRoot and image will run as root (pod: "web_default(uid-web)", container: main)',
      );
    });
  });

  it("says which RuntimeClass is missing", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}], { runtimeClassName: "none" }));

      const text = 'Failed to create pod sandbox: failed to get sandbox runtime: RuntimeClass "none" not found';
      await house.untilTrue(() => house.events.includes(`Warning FailedCreatePodSandBox ${text}`));
    });
  });

  it("tries a sandbox again until it can be made", async () => {
    await withHouse(async (house) => {
      house.runtime.sandboxFailure = "no addresses left";
      await house.run(podOf("web", [{}]));
      await house.untilTrue(() =>
        house.events.includes("Warning FailedCreatePodSandBox Failed to create pod sandbox: no addresses left"),
      );

      house.runtime.sandboxFailure = undefined;
      await house.clock.advance(500);

      await house.until("web", isReady);
    });
  });

  it("starts an ephemeral container in a running pod", async () => {
    await withHouse(async (house) => {
      await house.run(podOf("web", [{}]));
      await house.until("web", isReady);
      const ephemeralContainers = [{ name: "debug", image: "tools:1", targetContainerName: "main" }];

      await house.engine.updatePod(podOf("web", [{}], { ephemeralContainers }), never);

      const status = await house.until("web", (it) => it.ephemeralContainerStatuses?.[0]?.state?.running !== undefined);
      assert.equal(house.runtime.specs.at(-1)?.targetContainer, "main");
      assert.equal(status.phase, "Running");
    });
  });
});

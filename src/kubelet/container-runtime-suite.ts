/**
 * The promises of the container runtime contract, as tests that every implementation runs. What the containers do is said in shell; an implementation without a shell
 * brings programs of its own that do the same.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type {
  ContainerError,
  ContainerRuntime,
  ContainerSpec,
  ContainerState,
  ImageInfo,
  ImageService,
  SandboxSpec,
} from "./container-runtime.ts";
import type { PodRef, ProcessStreams } from "./provider.ts";

/** An implementation, ready for a few dozen containers. */
export type RuntimeUnderTest = {
  runtime: ContainerRuntime;
  readonly images: ImageService;
  /** An image that is here, with a shell and the usual commands; its user is root, /etc/passwd knows "nobody" as 65534. */
  readonly imageReference: string;
  /** Exists; log files of containers go here. */
  readonly logFolder: string;
  /** Stops the agent and starts another one on the same folders, as after a crash. */
  restart(): Promise<ContainerRuntime>;
  /** Stops it and checks that nothing is left on the machine. */
  close(): Promise<void>;
};

const patienceMs = 20_000;

/** Defines the tests. */
export function containerRuntimeSuite(name: string, make: () => Promise<RuntimeUnderTest>): void {
  describe(name, () => {
    let given: RuntimeUnderTest;
    let image: ImageInfo;
    let count = 0;
    const never = new AbortController().signal;
    const changes: ContainerState[] = [];

    before(async () => {
      given = await make();
      given.runtime.onChange((state) => changes.push(state));
      const found = await given.images.findImage(given.imageReference);
      assert.ok(found, "the image is here");
      image = found;
    });
    after(() => given.close());

    function newPod(): PodRef {
      count++;
      return { namespace: "suite", name: `pod-${count}`, uid: `0000-suite-${count}-${process.pid}` };
    }

    async function sandbox(changed: Partial<SandboxSpec> = {}): Promise<PodRef> {
      const pod = newPod();
      await given.runtime.ensureSandbox({ ...sandboxSpec(pod), ...changed }, never);
      return pod;
    }

    async function run(pod: PodRef, script: string, changed: Partial<ContainerSpec> = {}): Promise<ContainerState> {
      return given.runtime.startContainer(containerSpec(pod, script, changed), never);
    }

    function containerSpec(pod: PodRef, script: string, changed: Partial<ContainerSpec> = {}): ContainerSpec {
      const name = changed.name ?? "main";
      const attempt = changed.attempt ?? 0;
      return {
        pod,
        name,
        attempt,
        imageId: image.id,
        command: ["sh", "-c", script],
        args: [],
        env: [],
        mounts: [],
        devices: [],
        security: plainSecurity,
        resources: {},
        oomScoreAdj: 1000,
        tty: false,
        stdin: false,
        stdinOnce: false,
        logPath: join(given.logFolder, `${pod.name}-${name}-${attempt}.log`),
        ...changed,
      };
    }

    async function ended(id: string): Promise<ContainerState> {
      return eventually("the container ends", async () => {
        const state = (await given.runtime.listContainers()).find((candidate) => candidate.id === id);
        return state?.phase === "exited" ? state : undefined;
      });
    }

    async function output(
      script: string,
      changed: Partial<ContainerSpec> = {},
      inSandbox: Partial<SandboxSpec> = {},
    ): Promise<string> {
      const pod = await sandbox(inSandbox);
      const { id } = await run(pod, script, changed);
      await ended(id);
      const text = plainLog(join(given.logFolder, `${pod.name}-main-0.log`));
      await given.runtime.removeSandbox(pod);
      return text;
    }

    async function exec(
      id: string,
      script: string,
      streams: Partial<ProcessStreams> = {},
    ): Promise<{ code: number; out: string; err: string }> {
      let out = "";
      let err = "";
      const sinks = {
        stdout: (chunk: Uint8Array) => void (out += Buffer.from(chunk).toString()),
        stderr: (chunk: Uint8Array) => void (err += Buffer.from(chunk).toString()),
      };
      const code = await given.runtime.exec(id, ["sh", "-c", script], { tty: false, ...sinks, ...streams }, never);
      return { code, out, err };
    }

    describe("sandboxes", () => {
      it("a sandbox has an address, and asking for it again gives the same one", async () => {
        const pod = newPod();
        const first = await given.runtime.ensureSandbox(sandboxSpec(pod), never);
        const second = await given.runtime.ensureSandbox(sandboxSpec(pod), never);

        assert.equal(first.ready, true);
        assert.equal(first.ips.length, 1);
        assert.deepEqual(second, first);
        await given.runtime.removeSandbox(pod);
      });

      it("two calls at once make one sandbox", async () => {
        const pod = newPod();
        const [first, second] = await Promise.all(
          [1, 2].map(() => given.runtime.ensureSandbox(sandboxSpec(pod), never)),
        );

        assert.deepEqual(first?.ips, second?.ips);
        await given.runtime.removeSandbox(pod);
      });

      it("removing a sandbox kills its containers, and removing it again is success", async () => {
        const pod = await sandbox();
        await run(pod, "sleep 1000");

        await given.runtime.removeSandbox(pod);
        await given.runtime.removeSandbox(pod);

        assert.ok(!(await given.runtime.listSandboxes()).some((other) => other.pod.uid === pod.uid));
        assert.ok(!(await given.runtime.listContainers()).some((other) => other.pod.uid === pod.uid));
      });

      it("two sandboxes reach each other by their addresses", async () => {
        const server = await sandbox();
        const { ips } = await given.runtime.ensureSandbox(sandboxSpec(server), never);
        const { id } = await run(server, "while true; do echo answer | nc -l -p 8080; done");
        await eventually("the server listens", async () =>
          (await exec(id, "netstat -ltn")).out.includes(":8080") ? true : undefined,
        );

        assert.match(await output(`nc ${ips[0]} 8080 </dev/null`), /answer/);
        await given.runtime.removeSandbox(server);
      });

      it("containers of a sandbox share network, host name and shared memory, but not processes", async () => {
        const pod = await sandbox({ hostname: "together" });
        await run(pod, "echo mine >/dev/shm/note; hostname >/dev/shm/name; sleep 1000 & echo $! >/dev/shm/pid; wait", {
          name: "one",
        });
        const { id } = await run(pod, "sleep 1000", { name: "two" });
        await eventually("the note is there", async () =>
          (await exec(id, "cat /dev/shm/pid")).code === 0 ? true : undefined,
        );

        assert.equal((await exec(id, "cat /dev/shm/note /dev/shm/name; hostname")).out, "mine\ntogether\ntogether\n");
        assert.doesNotMatch((await exec(id, "ps")).out, /note/);
        await given.runtime.removeSandbox(pod);
      });

      it("with a shared process namespace containers see each other, and none of them is process 1", async () => {
        const pod = await sandbox({ shareProcessNamespace: true });
        await run(pod, "sleep 4711", { name: "one" });
        const { id } = await run(pod, "sleep 1000", { name: "two" });

        const { out } = await exec(id, "ps");

        assert.match(out, /sleep 4711/);
        assert.doesNotMatch(out, /^\s*1 .*sleep/m);
        await given.runtime.removeSandbox(pod);
      });

      it("a container of a shared process namespace ends with all it started", async () => {
        const pod = await sandbox({ shareProcessNamespace: true });
        const first = await run(pod, "sleep 4712 & sleep 0.2", { name: "one" });
        const { id } = await run(pod, "sleep 1000", { name: "two" });

        await ended(first.id);

        await eventually("its child is gone", async () =>
          (await exec(id, "ps")).out.includes("sleep 4712") ? undefined : true,
        );
        await given.runtime.removeSandbox(pod);
      });

      it("kernel settings of a sandbox are set in it", async () => {
        const sysctls = { "net.ipv4.ip_unprivileged_port_start": "7", "kernel.shm_rmid_forced": "1" };

        const text = await output(
          "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced",
          {},
          { sysctls },
        );

        assert.equal(text, "7\n1\n");
      });

      it("an unknown runtime class is refused", async () => {
        const spec = { ...sandboxSpec(newPod()), runtimeClass: "no-such-thing" };

        await assert.rejects(given.runtime.ensureSandbox(spec, never), { reason: "CreatePodSandboxError" });
      });

      it("removing a sandbox while its container is being started leaves nothing", async () => {
        const pod = await sandbox();
        const starting = run(pod, "sleep 1000");

        await Promise.allSettled([given.runtime.removeSandbox(pod), starting]);
        await given.runtime.removeSandbox(pod);

        assert.ok(!(await given.runtime.listContainers()).some((state) => state.pod.uid === pod.uid));
      });

      it("with the host's network it has the host's addresses and no one of its own", async () => {
        const pod = newPod();
        const made = await given.runtime.ensureSandbox({ ...sandboxSpec(pod), hostNetwork: true }, never);
        const { id } = await run(pod, "readlink /proc/self/ns/net; sleep 1000");

        assert.deepEqual(made.ips, []);
        assert.match((await exec(id, "ls /proc/sys/net/ipv4")).out, /ip_forward/);
        await given.runtime.removeSandbox(pod);
      });
    });

    describe("containers", () => {
      it("runs its command with its variables, and its output is in the log in CRI format", async () => {
        const pod = await sandbox();
        const { id, phase } = await run(pod, "echo out $A; echo err >&2; printf half", {
          env: [{ name: "A", value: "x y" }],
        });
        await ended(id);

        assert.equal(phase, "running");
        const log = readFileSync(join(given.logFolder, `${pod.name}-main-0.log`), "utf8");
        assert.match(log, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\S+ stdout F out x y$/m);
        assert.match(log, /^\S+ stderr F err$/m);
        assert.match(log, /^\S+ stdout P half$/m);
        await given.runtime.removeSandbox(pod);
      });

      it("tells its exit code, once, to the listener", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "exit 42");

        const state = await ended(id);

        assert.equal(state.exitCode, 42);
        assert.ok((state.finishedMs ?? 0) >= (state.startedMs ?? Number.POSITIVE_INFINITY));
        assert.deepEqual(
          changes.filter((change) => change.id === id).map((change) => [change.phase, change.exitCode]),
          [["exited", 42]],
        );
        await given.runtime.removeSandbox(pod);
      });

      it("a container killed by a signal has exit code 128 and the signal's number", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "kill -9 $$; sleep 1; (kill -6 $$); sleep 1000 & wait");
        await given.runtime.stopContainer(id, 0);

        assert.equal((await ended(id)).exitCode, 137);
        await given.runtime.removeSandbox(pod);
      });

      it("a command that does not exist is a ContainerError, and nothing is left", async () => {
        const pod = await sandbox();
        const spec = containerSpec(pod, "", { command: ["/no/such/program"] });

        await assert.rejects(given.runtime.startContainer(spec, never), (error: ContainerError) => {
          assert.equal(error.kind, "ContainerError");
          assert.match(error.message, /no\/such\/program/);
          return true;
        });
        assert.deepEqual(
          (await given.runtime.listContainers()).filter((state) => state.pod.uid === pod.uid),
          [],
        );
        await given.runtime.removeSandbox(pod);
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

        await given.runtime.stopContainer(gentle.id, 60);
        const begunMs = Date.now();
        await given.runtime.stopContainer(deaf.id, 1);

        assert.equal((await ended(gentle.id)).exitCode, 7);
        assert.equal((await ended(deaf.id)).exitCode, 137);
        assert.ok(Date.now() - begunMs >= 900);
        await given.runtime.removeSandbox(pod);
      });

      it("a second stop with a shorter grace counts", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "trap '' TERM; while true; do sleep 1; done");

        const slow = given.runtime.stopContainer(id, 600);
        await given.runtime.stopContainer(id, 0);
        await slow;

        assert.equal((await ended(id)).exitCode, 137);
        await given.runtime.removeSandbox(pod);
      });

      it("stops by the signal that the container asks for", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "trap 'exit 9' USR1; touch /dev/shm/ready; sleep 1000 & wait", {
          stopSignal: "SIGUSR1",
        });
        await eventually("it listens", async () =>
          (await exec(id, "ls /dev/shm/ready")).code === 0 ? true : undefined,
        );

        await given.runtime.stopContainer(id, 30);

        assert.equal((await ended(id)).exitCode, 9);
        await given.runtime.removeSandbox(pod);
      });

      it("stopping and removing the unknown is success", async () => {
        await given.runtime.stopContainer("0".repeat(64), 1);
        await given.runtime.removeContainer("0".repeat(64));
      });

      it("the ended container stays until it is removed; the next attempt has another id", async () => {
        const pod = await sandbox();
        const first = await run(pod, "exit 1");
        await ended(first.id);
        const second = await run(pod, "exit 2", { attempt: 1 });
        await ended(second.id);

        assert.notEqual(first.id, second.id);
        const listed = (await given.runtime.listContainers()).filter((state) => state.pod.uid === pod.uid);
        assert.deepEqual(listed.map((state) => [state.attempt, state.exitCode]).sort(), [
          [0, 1],
          [1, 2],
        ]);
        await given.runtime.removeContainer(first.id);
        assert.ok(!(await given.runtime.listContainers()).some((state) => state.id === first.id));
        assert.ok(existsSync(join(given.logFolder, `${pod.name}-main-0.log`)), "the log stays");
        await given.runtime.removeSandbox(pod);
      });

      it("a process that takes more memory than its limit is OOMKilled", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "tail /dev/zero", { resources: { memoryLimitBytes: 32 << 20 } });

        const state = await ended(id);

        assert.equal(state.exitCode, 137);
        assert.equal(state.oomKilled, true);
        await given.runtime.removeSandbox(pod);
      });

      it("a killed container that had memory enough is not OOMKilled", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "sleep 1000", { resources: { memoryLimitBytes: 32 << 20 } });
        await given.runtime.stopContainer(id, 0);

        assert.equal((await ended(id)).oomKilled, false);
        await given.runtime.removeSandbox(pod);
      });

      it("limits change while it runs", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "sleep 1000", { resources: { memoryLimitBytes: 32 << 20, cpuShares: 100 } });

        await given.runtime.updateResources(id, { memoryLimitBytes: 64 << 20, cpuShares: 200 });

        const { out } = await exec(
          id,
          "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null",
        );
        assert.equal(out.trim(), String(64 << 20));
        await given.runtime.removeSandbox(pod);
      });

      it("tells what running containers use", async () => {
        const pod = await sandbox();
        await run(pod, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000");

        const usage = await eventually("it has used CPU", async () => {
          const found = (await given.runtime.usage()).find((entry) => entry.pod.uid === pod.uid)?.containers[0];
          return found && found.cpuUsageNanoseconds > 5_000_000 ? found : undefined;
        });

        assert.equal(usage.name, "main");
        assert.ok(usage.memoryUsageBytes > 0 && usage.memoryWorkingSetBytes <= usage.memoryUsageBytes);
        await given.runtime.removeSandbox(pod);
      });

      it("writes to a new log file after the old one was renamed away", async () => {
        const pod = await sandbox();
        const { id } = await run(
          pod,
          "echo before; while [ ! -e /dev/shm/go ]; do sleep 0.05; done; echo after; sleep 1000",
        );
        const path = join(given.logFolder, `${pod.name}-main-0.log`);
        await eventually("it wrote", () => (plainLog(path).includes("before") ? true : undefined));

        renameSync(path, `${path}.1`);
        await given.runtime.reopenLog(id);
        await exec(id, "touch /dev/shm/go");

        await eventually("it wrote again", () => (existsSync(path) && plainLog(path) === "after\n" ? true : undefined));
        assert.equal(plainLog(`${path}.1`), "before\n");
        await given.runtime.removeSandbox(pod);
      });
    });

    describe("what a process is given", () => {
      it("runs as the image's user with the usual capabilities and a seccomp filter", async () => {
        const text = await output("id -u; grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status");

        assert.match(text, /^0$/m);
        assert.match(text, /CapEff:\s+00000000a80425fb/);
        assert.match(text, /Seccomp:\s+2/);
        assert.match(text, /NoNewPrivs:\s+0/);
      });

      it("runs as another user with groups, without privileges to gain", async () => {
        const security = {
          ...plainSecurity,
          runAsUser: 1234,
          runAsGroup: 2345,
          supplementalGroups: [3456],
          allowPrivilegeEscalation: false,
        };

        const text = await output("id -u; id -g; id -G; grep -E 'CapEff|NoNewPrivs' /proc/self/status", { security });

        assert.match(text, /^1234\n2345\n2345 3456\n/);
        assert.match(text, /CapEff:\s+0000000000000000/);
        assert.match(text, /NoNewPrivs:\s+1/);
      });

      it("a user without privileges finds its way through the root, and files get the usual modes", async () => {
        const security = { ...plainSecurity, runAsUser: 1234 };

        const text = await output("ls -d /bin/sh; umask; touch /tmp/x && stat -c %a /tmp/x", { security });

        assert.equal(text, "/bin/sh\n0022\n644\n");
      });

      it("capabilities are added and dropped", async () => {
        const added = { ...plainSecurity, addCapabilities: ["NET_ADMIN"], dropCapabilities: ["ALL"] };

        assert.match(await output("grep CapEff /proc/self/status", { security: added }), /0000000000001000/);
      });

      it("refuses root where the pod says so, in the kubelet's words", async () => {
        const pod = await sandbox();
        const security = { ...plainSecurity, runAsNonRoot: true };

        await assert.rejects(run(pod, "true", { security }), {
          reason: "CreateContainerConfigError",
          message:
            /^container has runAsNonRoot and image will run as root \(pod: "pod-\d+_suite\(.*\)", container: main\)$/,
        });
        await given.runtime.removeSandbox(pod);
      });

      it("a read-only root cannot be written", async () => {
        const security = { ...plainSecurity, readOnlyRootFilesystem: true };

        assert.match(await output("touch /x 2>&1 || echo refused", { security }), /refused/);
      });

      it("a privileged container has all capabilities, the machine's devices and no filter", async () => {
        const security = { ...plainSecurity, privileged: true };

        const text = await output(
          "grep -E 'CapEff|Seccomp:' /proc/self/status; ls /dev | wc -l; touch /proc/sys/net/ipv4/ip_forward && echo writable",
          { security },
        );

        assert.match(text, /Seccomp:\s+0/);
        assert.doesNotMatch(text, /CapEff:\s+00000000a80425fb/);
        assert.match(text, /writable/);
      });

      it("sensitive parts of /proc and /sys are hidden or read-only", async () => {
        const text = await output(
          "(head -c1 /proc/kcore | wc -c; ls /sys/firmware | wc -l; echo x >/proc/sys/kernel/domainname || echo read-only) 2>/dev/null",
        );

        assert.equal(text, "0\n0\nread-only\n");
      });

      it("cannot make namespaces or mounts", async () => {
        const text = await output(
          "unshare -n true 2>&1 || echo no namespace; mount -t tmpfs x /tmp 2>&1 || echo no mount",
        );

        assert.match(text, /no namespace/);
        assert.match(text, /no mount/);
      });

      it("starts in the folder asked for, which is made if it is missing", async () => {
        assert.equal(await output("pwd", { workingDir: "/deep/inside" }), "/deep/inside\n");
      });

      it("files and folders of the machine appear where they are mounted", async () => {
        const hostPath = join(given.logFolder, "..");
        const mounts = [
          { hostPath, containerPath: "/data/here", readOnly: true, propagation: "None" as const },
          { hostPath: "/etc/hostname", containerPath: "/etc/hostname", readOnly: false, propagation: "None" as const },
        ];

        const text = await output(
          "ls -d /data/here/*; touch /data/here/x 2>/dev/null || echo read-only; wc -l </etc/hostname",
          { mounts },
        );

        assert.match(text, /\/data\/here\//);
        assert.match(text, /read-only/);
      });

      it("a mount made in a container is seen by another where both ask for it", async () => {
        const hostPath = join(given.logFolder, "..", "travelling");
        mkdirSync(hostPath, { recursive: true });
        const pod = await sandbox();
        const mount = { hostPath, containerPath: "/shared", readOnly: false };
        const seeing = await run(pod, "sleep 1000", {
          name: "seeing",
          mounts: [{ ...mount, propagation: "HostToContainer" }],
        });
        const blind = await run(pod, "sleep 1000", { name: "blind", mounts: [{ ...mount, propagation: "None" }] });
        const maker = await run(pod, "sleep 1000", {
          name: "maker",
          mounts: [{ ...mount, propagation: "Bidirectional" }],
          security: { ...plainSecurity, privileged: true },
        });

        const made = await exec(maker.id, "mkdir /shared/x && mount -t tmpfs x /shared/x && touch /shared/x/file");

        assert.equal(made.code, 0, made.err);
        assert.equal((await exec(seeing.id, "ls /shared/x")).out, "file\n");
        assert.equal((await exec(blind.id, "ls /shared/x")).out, "");
        await exec(maker.id, "umount /shared/x");
        await given.runtime.removeSandbox(pod);
      });

      it("a device asked for is there and can be used", async () => {
        const devices = [{ hostPath: "/dev/zero", containerPath: "/dev/nothing", permissions: "rwm" }];

        assert.equal(await output("head -c 3 /dev/nothing | wc -c", { devices }), "3\n");
      });

      it("the image's files are not changed by what a container writes", async () => {
        await output("echo changed >/etc/passwd; rm /bin/ls");

        assert.match(await output("grep root /etc/passwd; ls /bin/ls"), /root:x:0:0/);
      });

      it("has a terminal where one is asked for", async () => {
        assert.match(await output("tty; echo $TERM", { tty: true }), /\/dev\/(pts\/0|console)\r?\nxterm/);
      });
    });

    describe("processes beside the first", () => {
      it("exec gives output, errors and the exit code", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "sleep 1000", { env: [{ name: "A", value: "b" }] });

        assert.deepEqual(await exec(id, "echo out $A; echo err >&2; exit 3"), {
          code: 3,
          out: "out b\n",
          err: "err\n",
        });
        await given.runtime.removeSandbox(pod);
      });

      it("exec reads its input to the end", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "sleep 1000");
        const big = Buffer.alloc(1_000_000, "x");

        const { out } = await exec(id, "wc -c", { stdin: chunks([big, Buffer.from("end")]) });

        assert.equal(out.trim(), "1000003");
        await given.runtime.removeSandbox(pod);
      });

      it("exec in a terminal has its size, and output and errors come together", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "sleep 1000");

        const { code, out } = await exec(id, "sleep 0.3; tty; stty size; echo err >&2; exit 5", {
          tty: true,
          resize: chunks([{ columns: 111, rows: 33 }]),
        });

        assert.equal(code, 5);
        assert.match(out, /\/dev\/pts\/\d+\r\n33 111\r\nerr/);
        await given.runtime.removeSandbox(pod);
      });

      it("the terminal of an exec follows its window", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "sleep 1000");
        const ready = Promise.withResolvers<void>();
        let out = "";
        async function* sizes(): AsyncGenerator<{ readonly columns: number; readonly rows: number }> {
          yield { columns: 80, rows: 24 };
          await ready.promise;
          yield { columns: 120, rows: 40 };
        }

        const command = "trap 'stty size; exit 0' WINCH; echo ready; while true; do sleep 0.05; done";
        await given.runtime.exec(
          id,
          ["sh", "-c", command],
          {
            tty: true,
            resize: sizes(),
            stdout: (chunk) => {
              out += Buffer.from(chunk).toString();
              if (out.includes("ready")) ready.resolve();
            },
          },
          AbortSignal.timeout(patienceMs),
        );

        assert.match(out, /40 120/);
        await given.runtime.removeSandbox(pod);
      });

      it("aborting an exec kills what it started", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "sleep 1000");
        const stop = new AbortController();
        const running = given.runtime.exec(id, ["sleep", "4713"], { tty: false }, stop.signal);
        await eventually("it runs", async () => ((await exec(id, "ps")).out.includes("sleep 4713") ? true : undefined));

        stop.abort(new Error("enough"));

        await assert.rejects(running, /enough/);
        await eventually("it is gone", async () =>
          (await exec(id, "ps")).out.includes("sleep 4713") ? undefined : true,
        );
        await given.runtime.removeSandbox(pod);
      });

      it("exec in a container that has ended fails", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "exit 0");
        await ended(id);

        await assert.rejects(async () => given.runtime.exec(id, ["true"], { tty: false }, never));
        await given.runtime.removeSandbox(pod);
      });

      it("attach carries input to the main process and its output back, until it ends", async () => {
        const pod = await sandbox();
        const { id } = await run(
          pod,
          "while read line; do echo got $line; echo bad >&2; [ $line = end ] && exit 0; done",
          { stdin: true },
        );
        let out = "";
        let err = "";

        await given.runtime.attach(
          id,
          {
            tty: false,
            stdin: chunks([Buffer.from("one\n"), Buffer.from("end\n")]),
            stdout: (chunk) => void (out += Buffer.from(chunk).toString()),
            stderr: (chunk) => void (err += Buffer.from(chunk).toString()),
          },
          AbortSignal.timeout(patienceMs),
        );

        assert.equal(out, "got one\ngot end\n");
        assert.equal(err, "bad\nbad\n");
        await given.runtime.removeSandbox(pod);
      });

      it("of two sizes at once, as kubectl attach sends them, the second stays", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "while true; do stty size; sleep 0.05; done", { tty: true });
        const stop = new AbortController();
        let out = "";

        const attached = given.runtime.attach(
          id,
          {
            tty: true,
            stdout: (chunk) => void (out += Buffer.from(chunk).toString()),
            resize: chunks([
              { columns: 101, rows: 25 },
              { columns: 100, rows: 24 },
            ]),
          },
          stop.signal,
        );
        await eventually("the second size", async () => (/24 100\r\n$/.test(out) ? true : undefined));

        stop.abort();
        await Promise.allSettled([attached]);
        await given.runtime.removeSandbox(pod);
      });

      it("with stdinOnce the end of the first client's input is the end of input", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "cat >/dev/null; exit 6", { stdin: true, stdinOnce: true });

        await given.runtime.attach(
          id,
          { tty: false, stdin: chunks([Buffer.from("x")]) },
          AbortSignal.timeout(patienceMs),
        );

        assert.equal((await ended(id)).exitCode, 6);
        await given.runtime.removeSandbox(pod);
      });

      it("a port that listens on the pod's own 127.0.0.1 is reached, another is refused", async () => {
        const pod = await sandbox();
        const { id } = await run(pod, "while true; do echo inside | nc -l -p 8081; done");
        await eventually("it listens", async () =>
          (await exec(id, "netstat -ltn")).out.includes(":8081") ? true : undefined,
        );

        const connection = await given.runtime.portForward(pod, 8081, never);
        let text = "";
        for await (const chunk of connection) text += Buffer.from(chunk as Uint8Array).toString();

        assert.equal(text, "inside\n");
        await assert.rejects(given.runtime.portForward(pod, 9, never));
        await given.runtime.removeSandbox(pod);
      });

      it("a container can join the processes of another of its pod", async () => {
        const pod = await sandbox();
        await run(pod, "sleep 4714", { name: "target" });

        const { id } = await run(pod, "sleep 1000", { name: "debug", targetContainer: "target" });

        assert.match((await exec(id, "ps")).out, /sleep 4714/);
        await given.runtime.removeSandbox(pod);
      });
    });

    describe("after a restart of the agent", () => {
      it("what runs runs on and is known, what ended meanwhile is told", async () => {
        const pod = await sandbox();
        const { ips } = await given.runtime.ensureSandbox(sandboxSpec(pod), never);
        const staying = await run(pod, "sleep 1000", { name: "staying" });
        const leaving = await run(pod, "sleep 1; exit 8", { name: "leaving" });

        given.runtime = await given.restart();
        given.runtime.onChange((state) => changes.push(state));

        assert.deepEqual((await given.runtime.ensureSandbox(sandboxSpec(pod), never)).ips, ips);
        const known = (await given.runtime.listContainers()).find((state) => state.id === staying.id);
        assert.equal(known?.phase, "running");
        assert.deepEqual(known?.spec, staying.spec);
        assert.equal((await ended(leaving.id)).exitCode, 8);
        assert.equal((await exec(staying.id, "echo yes")).out, "yes\n");
        await given.runtime.stopContainer(staying.id, 0);
        assert.equal((await ended(staying.id)).exitCode, 137);
        await given.runtime.removeSandbox(pod);
      });
    });
  });
}

/** Nothing special: root, default capabilities, default filter. */
export const plainSecurity: ContainerSpec["security"] = {
  privileged: false,
  runAsNonRoot: false,
  supplementalGroups: [],
  supplementalGroupsPolicy: "Merge",
  readOnlyRootFilesystem: false,
  allowPrivilegeEscalation: true,
  addCapabilities: [],
  dropCapabilities: [],
  seccomp: { type: "RuntimeDefault" },
  procMount: "Default",
};

/** A sandbox of a pod with its own network and nothing special. */
export function sandboxSpec(pod: PodRef): SandboxSpec {
  return {
    pod,
    hostname: pod.name,
    hostNetwork: false,
    hostPID: false,
    hostIPC: false,
    shareProcessNamespace: false,
    sysctls: {},
    portMappings: [],
    resources: {},
    qosClass: "BestEffort",
    runtimeClass: "",
  };
}

// The text of a CRI log without times and tags.
function plainLog(path: string): string {
  if (!existsSync(path)) return "";
  const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => line.split(" ").slice(3).join(" ") + (line.split(" ")[2] === "F" ? "\n" : "")).join("");
}

async function eventually<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const untilMs = Date.now() + patienceMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > untilMs) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function* chunks<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

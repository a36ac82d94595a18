/**
 * The whole node agent on this machine: real API server (memory store) over HTTPS, real containers. Root only.
 * Run: node tools/node24.mjs test/e2e/kubelet.e2e.ts
 */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Event, Node, Pod } from "#api/generated/types/core-v1.ts";
import type { TestApiServer } from "#apiserver/testing/test-api-server.ts";
import type { Client } from "#client/client.ts";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { issueServerCertificate } from "#component-base/certificates.ts";
import { loadImages } from "#images/load.ts";
import { createKubelet } from "#kubelet/kubelet.ts";
import type { Kubelet } from "#kubelet/kubelet.ts";
import { createContainersProvider } from "#providers/containers/create.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { startTestApiServer } from "../support/api-server.ts";
import { runInside, testCgroup, testFolder } from "./inside-namespaces.ts";

const folder = testFolder();
const isRoot = process.getuid?.() === 0;
const pods = { group: "", version: "v1", resource: "pods" };
const never = new AbortController().signal;

if (folder === undefined) {
  test("the kubelet runs pods in real containers", { skip: !isRoot && "needs root" }, async () => {
    assert.equal(await runInside(import.meta.filename), 0);
  });
} else inside(folder);

function inside(root: string): void {
  let api: TestApiServer;
  let client: Client;
  let kubelet: Kubelet;
  let stopNode: () => Promise<void>;

  const startNode = async () => {
    const logger = createLogger({ level: process.env["NODELESS_TEST_LOG"] === "debug" ? "debug" : "error" });
    const provider = await createContainersProvider({
      stateFolder: join(root, "state"),
      runFolder: join(root, "r"),
      imagesFolder: join(root, "images"),
      podCidr: "10.97.0.0/24",
      cgroupParent: testCgroup(root),
      linkPrefix: "nlkube",
      searchPath: process.env["PATH"] ?? "",
      clock: systemClock,
      logger,
    });
    await provider.runtime.start(never);
    await loadImages(provider.imageStore, await ensureLayout("busybox"));
    assert.ok(api.pki);
    const own = issueServerCertificate(api.pki.ca, {
      commonName: "system:node:n1",
      addresses: ["127.0.0.1"],
      clock: systemClock,
    });
    const folders = { root: join(root, "kubelet"), logs: join(root, "logs") };
    await mkdir(folders.root, { recursive: true });
    await mkdir(folders.logs, { recursive: true });
    kubelet = createKubelet({
      nodeName: "n1",
      client: api.httpClient(),
      place: { runtime: provider.runtime, images: provider.images, imageVolumes: provider.imageVolumes },
      kubeletVersion: "v1.36.3",
      folders,
      addresses: ["127.0.0.1"],
      podCidr: "10.97.0.0/24",
      clusterDns: ["10.43.0.10"],
      server: {
        host: "127.0.0.1",
        port: 0,
        certificate: own.certificate,
        key: own.privateKey,
        clientCa: api.pki.ca.certificate,
      },
      clock: systemClock,
      logger,
    });
    await kubelet.start(never);
    stopNode = async () => {
      await kubelet.stop();
      await provider.runtime.stop();
    };
  };

  before(async () => {
    api = await startTestApiServer({ https: true });
    client = api.client;
    for (const name of ["default", "kube-node-lease"]) {
      await client
        .create(
          { resource: { group: "", version: "v1", resource: "namespaces" } },
          { apiVersion: "v1", kind: "Namespace", metadata: { name } },
        )
        .catch(() => undefined);
    }
    await startNode();
  });

  after(async () => {
    for (const pod of (await client.list<Pod>({ resource: pods })).items) await remove(pod.metadata?.name ?? "", 0);
    // Deleted by force they are gone from the API at once, and from the node when their containers have ended.
    const folders = join(root, "kubelet", "pods");
    for (let left = 500; left > 0 && readdirSync(folders).length > 0; left -= 1) await systemClock.sleep(20);
    await stopNode();
    await api.stop();
    assert.deepEqual(readdirSync(folders), []);
    assert.deepEqual(
      readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes(join(root, "kubelet"))),
      [],
    );
  });

  const pod = (name: string, container: object, spec: object = {}): Pod => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: {
      nodeName: "n1",
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "main", image: "busybox", imagePullPolicy: "IfNotPresent", ...container }],
      ...spec,
    },
  });

  const run = async (object: Pod, holds: (pod: Pod) => boolean): Promise<Pod> => {
    const watch = await client.watch<Pod>(
      { resource: pods, namespace: "default" },
      { fieldSelector: `metadata.name=${object.metadata?.name}` },
    );
    await client.create<Pod>({ resource: pods, namespace: "default" }, object);
    return first(watch, holds);
  };

  const until = async (name: string, holds: (pod: Pod) => boolean): Promise<Pod> =>
    first(
      await client.watch<Pod>({ resource: pods, namespace: "default" }, { fieldSelector: `metadata.name=${name}` }),
      holds,
    );

  const remove = async (name: string, gracePeriodSeconds = 1): Promise<void> => {
    const ref = { resource: pods, namespace: "default", name };
    await client.delete(ref, { gracePeriodSeconds }).catch(() => undefined);
    for (let left = 200; left > 0; left -= 1) {
      const isGone = await client.get(ref).then(
        () => false,
        () => true,
      );
      if (isGone) return;
      await systemClock.sleep(20);
    }
    throw new Error(`${name} is still there`);
  };

  const fetchLogs = (name: string, query = ""): Promise<string> => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const { certificate, privateKey } = api.pki?.kubeletClient ?? { certificate: "", privateKey: "" };
    const options = { host: "127.0.0.1", port: kubelet.port(), path: `/containerLogs/default/${name}/main${query}` };
    request({ ...options, cert: certificate, key: privateKey, ca: api.pki?.ca.certificate ?? "" }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    })
      .on("error", reject)
      .end();
    return promise;
  };

  test("the node is registered and ready", async () => {
    const node = await client.get<Node>({ resource: { ...pods, resource: "nodes" }, name: "n1" });
    assert.equal(node.status?.conditions?.find((it) => it.type === "Ready")?.status, "True");
    assert.match(node.status?.nodeInfo?.containerRuntimeVersion ?? "", /^(crun|runc):\/\/\d/);
  });

  test("a pod runs, its log can be read, it is deleted", async () => {
    const running = await run(
      pod("web", { command: ["sh", "-c", "echo hello from $HOSTNAME; exec sleep 1000"] }),
      isReady,
    );
    assert.match(running.status?.podIP ?? "", /^10\.97\.0\./);
    // Ready means started: what it says may come a moment later.
    for (let left = 100; left > 0 && (await fetchLogs("web")) === ""; left -= 1) await systemClock.sleep(10);
    assert.equal(await fetchLogs("web"), "hello from web\n");
    await remove("web");
  });

  test("a job ends with its code, its message and its log", async () => {
    const command = ["sh", "-c", "echo working; printf done > /dev/termination-log; exit 3"];
    const ended = await run(pod("job", { command }, { restartPolicy: "Never" }), (it) => it.status?.phase === "Failed");
    const state = ended.status?.containerStatuses?.[0]?.state?.terminated;
    assert.deepEqual([state?.exitCode, state?.reason, state?.message], [3, "Error", "done"]);
    assert.equal(await fetchLogs("job"), "working\n");
    await remove("job");
  });

  test("init containers, volumes and variables reach the main container", async () => {
    const mount = { name: "shared", mountPath: "/shared" };
    const tmp = { name: "memory", mountPath: "/memory" };
    const volumes = [
      { name: "shared", emptyDir: {} },
      { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
    ];
    const init = {
      name: "init",
      image: "busybox",
      imagePullPolicy: "IfNotPresent",
      command: ["sh", "-c", "echo $GREETING > /shared/a"],
      env: [{ name: "GREETING", value: "hi" }],
      volumeMounts: [mount],
    };
    const env = [
      { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
      { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
    ];
    const command = [
      "sh",
      "-c",
      "cat /shared/a; echo $NODE $IP; grep -c '^tmpfs /memory' /proc/mounts; tail -1 /etc/hosts; cat /etc/resolv.conf",
    ];
    const sub = { name: "shared", mountPath: "/sub", subPath: "deep/er" };
    const made = pod(
      "mixed",
      { command, env, volumeMounts: [mount, tmp, sub] },
      { restartPolicy: "Never", initContainers: [init], volumes },
    );

    const ended = await run(made, (it) => it.status?.phase === "Succeeded" || it.status?.phase === "Failed");

    assert.equal(ended.status?.phase, "Succeeded");
    const ip = ended.status?.podIP;
    const lines = (await fetchLogs("mixed")).split("\n");
    assert.deepEqual(lines.slice(0, 4), ["hi", `n1 ${ip}`, "1", `${ip}\tmixed`]);
    assert.ok(lines.includes("search default.svc.cluster.local svc.cluster.local cluster.local"));
    await remove("mixed");
  });

  test("an image appears as a volume, read-only, and programs run from memory", async () => {
    const volumes = [
      { name: "tools", image: { reference: "busybox", pullPolicy: "IfNotPresent" } },
      { name: "memory", emptyDir: { medium: "Memory" } },
    ];
    const volumeMounts = [
      { name: "tools", mountPath: "/tools" },
      { name: "memory", mountPath: "/memory" },
    ];
    const script =
      "ls /tools/bin | grep -x busybox; touch /tools/x 2>/dev/null || echo read-only; cp /tools/bin/busybox /memory/; /memory/busybox echo runs";
    const made = pod("imaged", { command: ["sh", "-c", script], volumeMounts }, { restartPolicy: "Never", volumes });
    const ended = await run(made, (it) => it.status?.phase === "Succeeded" || it.status?.phase === "Failed");
    assert.equal(ended.status?.phase, "Succeeded");
    assert.equal(await fetchLogs("imaged"), "busybox\nread-only\nruns\n");
    await remove("imaged");
  });

  test("probes decide readiness, and a failing liveness probe restarts the container", async () => {
    const readinessProbe = { exec: { command: ["test", "-f", "/tmp/ready"] }, periodSeconds: 1 };
    const livenessProbe = {
      exec: { command: ["test", "!", "-f", "/tmp/dead"] },
      periodSeconds: 1,
      failureThreshold: 1,
    };
    const command = ["sh", "-c", "sleep 0.3; touch /tmp/ready; sleep 1; touch /tmp/dead; exec sleep 1000"];
    const made = pod("probed", { command, readinessProbe, livenessProbe });

    await run(made, isReady);
    const restarted = await until("probed", (it) => (it.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0);

    assert.equal(restarted.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 137);
    const events = await client.list<Event>({ resource: { ...pods, resource: "events" }, namespace: "default" });
    assert.ok(events.items.some((it) => it.message === "Container main failed liveness probe, will be restarted"));
    await remove("probed");
  });

  test("pods that write more than they may are ended, and sidecars start once each, in order", async () => {
    const write = (file: string) => ["sh", "-c", `dd if=/dev/zero of=${file} bs=1M count=3; exec sleep 1000`];
    const isFailed = (it: Pod) => it.status?.phase === "Failed";
    const volumes = [{ name: "scratch", emptyDir: { sizeLimit: "1Mi" } }];
    const volumeMounts = [{ name: "scratch", mountPath: "/scratch" }];
    const limits = { "ephemeral-storage": "2Mi" };
    const say = (name: string) => ({
      name,
      image: "busybox",
      imagePullPolicy: "IfNotPresent",
      volumeMounts: [{ name: "shared", mountPath: "/shared" }],
      command: ["sh", "-c", `echo ${name} >> /shared/order; exec sleep 1000`],
    });
    const sidecars = [say("first"), say("second")].map((it) => ({ ...it, restartPolicy: "Always" }));

    const [volume, disk] = await Promise.all([
      run(pod("volume", { command: write("/scratch/x"), volumeMounts }, { volumes }), isFailed),
      run(pod("disk", { command: write("/x"), resources: { limits } }), isFailed),
      run(
        pod(
          "order",
          { ...say("third"), name: "main" },
          { initContainers: sidecars, volumes: [{ name: "shared", emptyDir: {} }] },
        ),
        isReady,
      ),
    ]);
    assert.deepEqual(
      [volume, disk].map(({ status }) => [status?.reason, status?.message]),
      [
        ["Evicted", 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". '],
        ["Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "],
      ],
    );
    const { uid } = (await client.get<Pod>({ resource: pods, namespace: "default", name: "order" })).metadata ?? {};
    const written = join(root, "kubelet/pods", uid ?? "", "volumes/kubernetes.io~empty-dir/shared/order");
    assert.equal(readFileSync(written, "utf8"), "first\nsecond\nthird\n");
    await Promise.all(["volume", "disk", "order"].map((name) => remove(name)));
  });

  test("running pods are adopted by the next agent", async () => {
    const first = await run(pod("stays", { command: ["sleep", "1000"] }), isReady);
    await stopNode();
    await startNode();
    const again = await until("stays", isReady);
    assert.equal(again.status?.containerStatuses?.[0]?.containerID, first.status?.containerStatuses?.[0]?.containerID);
    assert.equal(again.status?.containerStatuses?.[0]?.restartCount, 0);
    await remove("stays");
  });

  test("pods start fast", async () => {
    const took: number[] = [];
    for (let round = 0; round < 15; round += 1) {
      const startMs = performance.now();
      await run(pod(`fast-${round}`, { command: ["sleep", "1000"] }), isReady);
      took.push(performance.now() - startMs);
    }
    took.sort((a, b) => a - b);
    // oxlint-disable-next-line no-console
    console.log(`created to Ready: p50 ${took[7]?.toFixed(0)} ms, slowest ${took.at(-1)?.toFixed(0)} ms`);
    await Promise.all(took.map((_, round) => remove(`fast-${round}`, 0)));
    const startMs = performance.now();
    const names = Array.from({ length: 30 }, (_, round) => `burst-${round}`);
    await Promise.all(names.map((name) => run(pod(name, { command: ["sleep", "1000"] }), isReady)));
    const lastMs = performance.now() - startMs;
    // oxlint-disable-next-line no-console
    console.log(`30 at once: last after ${lastMs.toFixed(0)} ms, ${((30 * 1000) / lastMs).toFixed(1)}/s`);
    await Promise.all(names.map((name) => remove(name, 0)));
  });
}

function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((it) => it.type === "Ready" && it.status === "True") ?? false;
}

async function first(watch: AsyncIterable<{ readonly object: Pod }>, holds: (pod: Pod) => boolean): Promise<Pod> {
  let last: Pod | undefined;
  const giveUp = AbortSignal.timeout(20_000);
  const iterator = watch[Symbol.asyncIterator]();
  const timeout = new Promise<never>((_, reject) =>
    giveUp.addEventListener("abort", () =>
      reject(new Error(`waited in vain: ${JSON.stringify(last?.status, null, 1)}`)),
    ),
  );
  for (;;) {
    const { done, value } = await Promise.race([iterator.next(), timeout]);
    if (done) throw new Error("the watch ended");
    last = value.object;
    if (!holds(last)) continue;
    await iterator.return?.();
    return last;
  }
}

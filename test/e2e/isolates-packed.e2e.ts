/**
 * Isolates that share a process, as a namespace asks for it: each is a pod like any other, and what they share is shared as it is documented. Attempts of one to reach its neighbour
 * are listed, tried and have to fail.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { ClusterStatus } from "#cli/machine.ts";
import { canRunContainers, eventually, startCluster, type TestCluster } from "../support/cluster.ts";
import { startLoad } from "../support/load.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const name = "packed-e2e";

describe("packed isolates", { skip }, () => {
  let cluster: TestCluster;
  const kubectl = async (args: string, options: Parameters<TestCluster["kubectl"]>[1] = {}) =>
    (await cluster.kubectl(args.split(" "), options)).stdout;
  const apply = (...items: readonly unknown[]) =>
    cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) });
  const pod = async (pod: string, namespace = "pack") =>
    JSON.parse(await kubectl(`get pod ${pod} -n ${namespace} -o json`)) as Pod;
  const addressOf = async (it: string, namespace = "pack") => (await pod(it, namespace)).status?.podIP ?? "";
  const ready = (pods: string, namespace = "pack") =>
    kubectl(`wait --for=condition=Ready ${pods} -n ${namespace} --timeout=60s`);
  const nodePid = async () => {
    const { stdout } = await cluster.nodeless(["status", "--name", name, "-o", "json"]);
    return Number((JSON.parse(stdout) as ClusterStatus).processes.find((it) => it.role === "node")?.pid);
  };
  const ask = async (it: string, path = "", namespace = "pack") => {
    const answer = await fetch(`http://${await addressOf(it, namespace)}:8080/${path}`, {
      headers: { connection: "close" },
    });
    return { status: answer.status, text: await answer.text() };
  };

  before(async () => {
    cluster = await startCluster(name);
    await apply(
      {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: "pack", labels: { "nodeless.dev/isolates": "packed" } },
      },
      {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: "other", labels: { "nodeless.dev/isolates": "packed" } },
      },
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "second", namespace: "pack" } },
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "third", namespace: "pack" } },
    );
    await apply(...["pack", "other"].flatMap((namespace) => code(namespace)));
  });
  after(() => cluster.remove());

  test("pods of a namespace share a process, others do not: not of another namespace, nor of another account, nor one that wants to be alone", async () => {
    const labels = { "nodeless.dev/isolates": "alone" };
    await apply(
      ...["a", "b", "c"].map((it) => isolate(it, "pack")),
      isolate("d", "other"),
      isolate("e", "pack", { serviceAccountName: "second" }),
      isolate("f", "pack", {}, { labels }),
    );
    await Promise.all([ready("pod/a pod/b pod/c pod/e pod/f"), ready("pod/d", "other")]);

    assert.equal((await pod("a")).spec?.runtimeClassName, "isolate-packed");
    assert.equal((await pod("f")).spec?.runtimeClassName, "isolate");
    const addresses = await Promise.all(["a", "b", "c", "e", "f"].map((it) => addressOf(it)));
    assert.equal(new Set([...addresses, await addressOf("d", "other")]).size, 6);
    for (const it of ["a", "b", "c", "e", "f"]) assert.equal((await ask(it)).text, `hello from ${it}`);
    assert.equal((await ask("d", "", "other")).text, "hello from d");
    const { stdout } = await cluster.nodeless(["status", "--name", name, "-o", "json"]);
    const together = packedTogether((JSON.parse(stdout) as ClusterStatus).dataFolder);
    assert.deepEqual(together, [["other/d"], ["pack/a", "pack/b", "pack/c"], ["pack/e"]]);
    // One more waits for the next.
    await eventually("there is a process for each, and one that waits", async () => packs(name).length === 4);
  });

  test("each has its own log, with what it says and what it throws", async () => {
    await ask("a", "say/first");
    await ask("b", "say/second");
    await ask("a", "throw");

    const log = (it: string) => kubectl(`logs ${it} -n pack`);
    await eventually("both have said it", async () => /second/.test(await log("b")) && /Uncaught/.test(await log("a")));
    assert.match(await log("a"), /^said first { x: 1 } \nmore$/m);
    assert.match(await log("a"), /Uncaught Error: thrown/);
    assert.doesNotMatch(await log("a"), /second/);
    assert.doesNotMatch(await log("b"), /first|Uncaught/);
    assert.equal((await ask("a", "throw")).status, 500);
  });

  test("one cannot reach its neighbour in the same process", async () => {
    const attempts = JSON.parse((await ask("a", "escape?" + (await addressOf("b")))).text) as Record<string, unknown>;

    for (const [attempt, result] of Object.entries(attempts)) assert.equal(result, "failed", attempt);
    assert.equal((await ask("b", "leaked")).text, "[]");
    assert.equal((await ask("a", "abort")).status, 500);
    assert.equal((await ask("b")).text, "hello from b");
  });

  test("code that throws at its start ends its own pod alone, with back-off; its neighbours keep their process", async () => {
    const before = packs(name);
    await apply(isolate("bad", "pack", {}, {}, "bad"));

    const found = await eventually("the back-off", async () => {
      const [status] = (await pod("bad")).status?.containerStatuses ?? [];
      return status?.state?.waiting?.reason === "CrashLoopBackOff" ? status : undefined;
    });
    assert.equal(found.lastState?.terminated?.exitCode, 1);
    assert.match(found.lastState?.terminated?.message ?? "", /no luck/);
    assert.match(await kubectl("logs bad -n pack"), /no luck/);
    assert.equal((await pod("a")).status?.containerStatuses?.[0]?.restartCount, 0);
    assert.equal((await ask("a")).text, "hello from a");
    assert.deepEqual(
      before.filter((pid) => !packs(name).includes(pid)),
      [],
    );
    await kubectl("delete pod bad -n pack --wait=true");
  });

  test("a liveness probe restarts one, a Service finds the ready ones, a deleted one's address is nobody's", async () => {
    const probe = { httpGet: { path: "/live", port: 8080 }, periodSeconds: 1, failureThreshold: 1 };
    const service = { apiVersion: "v1", kind: "Service", metadata: { name: "web", namespace: "pack" } };
    await apply(
      isolate("probed", "pack", {}, { labels: { app: "web" } }, "index", { livenessProbe: probe }),
      isolate("plain", "pack", {}, { labels: { app: "web" } }),
      { ...service, spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] } },
    );
    await ready("pod/probed pod/plain");
    const address = await addressOf("probed");
    await ask("probed", "break");

    await eventually("it was restarted", async () => {
      const [status] = (await pod("probed")).status?.containerStatuses ?? [];
      return status?.restartCount === 1 && status.ready;
    });
    assert.equal(await addressOf("probed"), address);
    assert.equal((await pod("plain")).status?.containerStatuses?.[0]?.restartCount, 0);
    const clusterIP = await kubectl("get service web -n pack -o jsonpath={.spec.clusterIP}");
    const seen = new Set<string>();
    await eventually("both have answered", async () => {
      const answer = await fetch(`http://${clusterIP}/`, { headers: { connection: "close" } });
      seen.add(await answer.text());
      return seen.size === 2;
    });
    assert.deepEqual([...seen].sort(), ["hello from plain", "hello from probed"]);
    await kubectl("delete pod probed -n pack --wait=true");
    // Without a route in the cluster it is for the machine's network to answer, if anybody does.
    const signal = AbortSignal.timeout(1500);
    const gone = await fetch(`http://${address}:8080/`, { signal }).then((answer) => answer.text(), String);
    assert.doesNotMatch(gone, /hello|no code/);
  });

  test("the node's process is killed: the same processes answer, logs go on, one more pod finds its place, and one is deleted", async () => {
    const before = packs(name);
    const ids = async () => (await pod("a")).status?.containerStatuses?.[0]?.containerID;
    const id = await ids();
    const pid = await nodePid();
    process.kill(pid, "SIGKILL");
    await ask("a", "say/meanwhile");
    await eventually("the node is back", async () => (await nodePid().catch(() => pid)) !== pid);

    await eventually("what was said meanwhile", async () => /meanwhile/.test(await kubectl("logs a -n pack")));
    assert.equal((await kubectl("logs a -n pack")).match(/said first/g)?.length, 1);
    assert.equal(await ids(), id);
    await apply(isolate("late", "pack"));
    await ready("pod/late");
    assert.equal((await ask("late")).text, "hello from late");
    await ask("late", "say/late");
    await eventually("it says so", async () => /said late/.test(await kubectl("logs late -n pack")));
    await kubectl("delete pod late plain -n pack --wait=true");
    assert.equal((await pod("a")).status?.containerStatuses?.[0]?.restartCount, 0);
    assert.ok(before.some((it) => packs(name).includes(it)));
  });

  test("scaled up and down and restarted under load, none of the requests to a Service fails", async (t) => {
    const { spec } = isolate("template", "other", { serviceAccountName: "default" }) as { readonly spec: unknown };
    const labels = { app: "steady" };
    const metadata = { name: "steady", namespace: "other" };
    await apply(
      {
        apiVersion: "v1",
        kind: "Service",
        metadata,
        spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata,
        spec: { replicas: 3, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
      },
    );
    const settled = () => kubectl("rollout status deployment/steady -n other --timeout=60s");
    await settled();
    const url = `http://${await kubectl("get service steady -n other -o jsonpath={.spec.clusterIP}")}/`;
    const load = startLoad(url);
    const kept = startLoad(url, { keepAlive: true });
    for (const step of ["scale --replicas=6", "scale --replicas=3", "rollout restart"]) {
      await kubectl(`${step} deployment/steady -n other`);
      await settled();
    }
    await eventually(
      "the old ones are gone",
      async () => (await kubectl("get pods -n other -l app=steady -o name")).trim().split("\n").length === 3,
    );
    const { count, failures } = await load.stop();

    const overKept = await kept.stop();

    t.diagnostic(`${count} requests, ${overKept.count} over kept connections`);
    assert.ok(count > 30 && overKept.count > 30);
    assert.deepEqual(failures, []);
    // A request may always meet the end of a connection that was kept: such are asked again by clients. None waits, and none is refused by its pod.
    assert.deepEqual(
      overKept.failures.filter((it) => !/socket hang up|ECONNRESET/.test(it)),
      [],
    );
    const restarts = await kubectl(
      "get pods -n other -o jsonpath={.items[*].status.containerStatuses[*].restartCount}",
    );
    assert.match(restarts, /^[0 ]+$/);
    await kubectl("delete deployment steady -n other --wait=true --cascade=foreground");
  });

  test("code that never ends its first turn takes its pack with it after ten seconds, and says so", async () => {
    await apply(isolate("looping", "pack", { serviceAccountName: "third" }, {}, "loop"));
    const ended = await eventually("its end", async () => {
      const found = (await pod("looping")).status?.containerStatuses?.[0];
      return found?.lastState?.terminated ?? found?.state?.terminated;
    });

    assert.equal(ended.exitCode, 1);
    assert.equal(ended.message, "index.js did not finish loading within 10 s");
    assert.match(await kubectl("logs looping -n pack"), /index.js did not finish loading within 10 s/);
    await kubectl("delete pod looping -n pack --wait=true --grace-period=1");
  });

  test("out of memory, all of a pack are OOMKilled and started again; nobody else is", async () => {
    const limits = { resources: { limits: { memory: "48Mi" } } };
    await apply(
      ...["x", "y"].map((it) => isolate(it, "other", { serviceAccountName: "default" }, {}, "index", limits)),
    );
    await ready("pod/x pod/y", "other");
    await kubectl("delete pod d -n other --wait=true"); // it has no limit, so neither had its pack
    await ask("x", "eat", "other").catch(() => {});

    for (const it of ["x", "y"]) {
      const found = await eventually(`${it} was restarted`, async () => {
        const [status] = (await pod(it, "other")).status?.containerStatuses ?? [];
        return status && status.restartCount > 0 && status.ready ? status : undefined;
      });
      assert.equal(found.lastState?.terminated?.reason, "OOMKilled");
      assert.equal(found.lastState?.terminated?.exitCode, 137);
    }
    assert.equal((await ask("y", "", "other")).text, "hello from y");
    // They have started again at the same time: what the process may have is what both may have all the same.
    assert.ok(memoryLimits(name).includes(96 << 20), `${memoryLimits(name).join()} is not 96 MiB`);
    assert.equal((await pod("a")).status?.containerStatuses?.[0]?.restartCount, 0);
  });

  test("one that never ends its turn can be deleted; its pack is killed for it", async () => {
    const [spinner, neighbour] = await Promise.all(["b", "a"].map((it) => addressOf(it)));
    fetch(`http://${spinner}:8080/spin`).catch(() => {}); // it never answers
    await eventually("nobody in the pack gets a turn", () =>
      fetch(`http://${neighbour}:8080/`, { signal: AbortSignal.timeout(500) }).then(
        () => false,
        () => true,
      ),
    );
    await kubectl("delete pod b -n pack --grace-period=1 --wait=true");

    await eventually("its neighbours run again", async () => {
      const [status] = (await pod("a")).status?.containerStatuses ?? [];
      return status?.restartCount === 1 && status.ready;
    });
    assert.equal((await ask("a")).text, "hello from a");
    assert.equal((await pod("e")).status?.containerStatuses?.[0]?.restartCount, 0);
  });

  test("what a packed isolate cannot have is refused with the way out", async () => {
    const two = isolate("two", "pack") as { spec: { containers: object[] } };
    two.spec.containers.push({ name: "more", image: "nodeless.dev/isolate" });
    const { stderr } = await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(two), mayFail: true });

    assert.match(stderr, /packed isolate shares its process with others and cannot have more than one container/);
    assert.match(stderr, /nodeless.dev\/isolates: alone/);
  });

  test("deleted with its cluster, nothing of it is left", async () => {
    await cluster.nodeless(["delete", "--name", name]);

    assert.deepEqual(packs(name), []);
  });
});

/** Answers with its name; paths make it say, throw, break, eat, spin, and try to reach its neighbour. */
const source = `
  import fs from "node:fs";
  import { AsyncLocalStorage } from "node:async_hooks";
  globalThis.secret = "known to " + process.env.NAME;
  let isBroken = false; const kept = [];
  const leaked = () => ["mark", "sab", "channel"].filter((it) => it in globalThis || Object.prototype[it] !== undefined);
  const attempts = {
    async "see the neighbour's globals"() { return globalThis.secret !== "known to " + process.env.NAME },
    async "change the prototypes of others"() { Object.prototype.mark = 1; globalThis.mark = 1; return false },
    async "speak over a BroadcastChannel"() { new BroadcastChannel("x").postMessage(1); return true },
    async "start a thread that counts time"() { new Worker("data:text/javascript,0"); return true },
    async "share memory by posting it"() {
      const shared = new SharedArrayBuffer(8); globalThis.sab = shared; const { port1, port2 } = new MessageChannel();
      return await new Promise((done, fail) => {
        port2.onmessage = ({ data }) => done(false); port1.postMessage(shared); setTimeout(() => fail(new Error("nothing came")), 200) }) },
    async "share memory by sending it to the neighbour"(neighbour) {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
      const answer = await fetch("http://" + neighbour + ":8080/take", { method: "POST", body: new Uint8Array(memory.buffer) });
      return (await answer.text()) === "shared" },
    async "use the cache of others"() { await caches.default.put("http://x/", new Response("x")); return true },
    async "find the loader"() { const { env } = await import("cloudflare:workers"); return "LOADER" in env || "LOADER" in globalThis },
    async "load a worker"() { const m = await import("nodeless-loader.js"); return !!m },
    async "read the loader's module"() { const m = await import("loader.js"); return !!m },
    async "speak to the control socket"() { const r = await fetch("http://control/"); return r.ok },
    async "reach a port of the process's loopback"() { const r = await fetch("http://127.0.0.1:8080/"); return r.ok },
    async "read files of the machine"() { return fs.readFileSync("/etc/resolv.conf", "utf8").length > 0 },
    async "read the process's environment"() { return fs.readFileSync("/proc/self/environ", "utf8").length > 0 },
    async "leave a file for the neighbour"() { fs.writeFileSync("/tmp/left", "x"); return fs.existsSync("/tmp/from-b") },
    async "run code from text"() { return eval("1") === 1 },
    async "see the neighbour's environment"() { return process.env.NAME !== ${JSON.stringify("a")} },
    async "speak in the neighbour's log"() { console.log("\\u001e" + "0".repeat(32) + " forged"); return false },
    async "follow the neighbour's requests"() { return new AsyncLocalStorage().getStore() !== undefined },
    async "a clock finer than a millisecond"() {
      const steps = new Set(); for (let i = 0; i < 20000; i++) steps.add(performance.now() % 1); return steps.size > 2 },
  };
  export default { async fetch(request, env) {
    const { pathname, search } = new URL(request.url); const [, path, word] = pathname.split("/");
    if (path === "say") console.log("said %s", word, { x: 1 }, "\\nmore".slice(0));
    if (path === "throw") throw new Error("thrown");
    if (path === "break") isBroken = true;
    if (path === "live") return new Response("", { status: isBroken ? 500 : 200 });
    if (path === "abort") { try { process.kill(1, 9) } catch {} process.abort(); }
    if (path === "eat") for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
    if (path === "spin") for (;;);
    if (path === "take") { const body = await request.arrayBuffer(); return new Response(body instanceof SharedArrayBuffer ? "shared" : "a copy"); }
    if (path === "leaked") return Response.json(leaked());
    if (path === "escape") {
      const results = {};
      for (const [name, attempt] of Object.entries(attempts)) {
        try { results[name] = (await attempt(search.slice(1))) ? "succeeded" : "failed" } catch { results[name] = "failed" }
      }
      return Response.json(results);
    }
    return new Response("hello from " + env.NAME);
  } }`;

function code(namespace: string): readonly unknown[] {
  const data = { "index.js": source };
  const bad = { "index.js": `throw new Error("no luck");` };
  const map = (it: string, files: unknown) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: it, namespace },
    data: files,
  });
  return [map("index", data), map("bad", bad), map("loop", { "index.js": "while (true) {}" })];
}

function isolate(
  pod: string,
  namespace: string,
  spec: Readonly<Record<string, unknown>> = {},
  metadata: Readonly<Record<string, unknown>> = {},
  configMap = "index",
  container: Readonly<Record<string, unknown>> = {},
): unknown {
  const main = {
    name: "main",
    image: "nodeless.dev/isolate",
    env: [{ name: "NAME", value: pod }],
    volumeMounts: [{ name: "code", mountPath: "/bundle" }],
    ...container,
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: pod, namespace, ...metadata },
    spec: {
      runtimeClassName: "isolate",
      terminationGracePeriodSeconds: 1,
      containers: [main],
      volumes: [{ name: "code", configMap: { name: configMap } }],
      ...spec,
    },
  };
}

/** Processes of packs in this cluster's control groups; its only node has its name. */
function packs(cluster: string): number[] {
  const listed = execFileSync("ps", ["-eo", "pid=,args="], { encoding: "utf8" }).split("\n");
  return listed
    .filter((line) => /\s\/workerd serve/.test(line))
    .map((line) => Number.parseInt(line, 10))
    .filter((pid) => readFile(`/proc/${pid}/cgroup`).includes(`/${cluster}/pack-`));
}

/** What the processes of packs may have, in bytes. */
function memoryLimits(cluster: string): readonly number[] {
  return packs(cluster).flatMap((pid) => {
    const [, path = ""] = /^(?:\d+:(?:[^:\n]*,)?memory[^:\n]*|0:):(.*)$/m.exec(readFile(`/proc/${pid}/cgroup`)) ?? [];
    const files = [`/sys/fs/cgroup/memory${path}/memory.limit_in_bytes`, `/sys/fs/cgroup${path}/memory.max`];
    return files.flatMap((file) => Number.parseInt(readFile(file), 10) || []);
  });
}

/** Which pods are in one process, as the node's records say. */
function packedTogether(dataFolder: string): readonly (readonly string[])[] {
  const files = execFileSync("find", [dataFolder, "-path", "*/packs/packs/*/record.json"], { encoding: "utf8" });
  type Recorded = {
    readonly places: readonly { readonly pod?: { readonly namespace: string; readonly name: string } }[];
  };
  return files
    .trim()
    .split("\n")
    .map((file) => JSON.parse(readFile(file)) as Recorded)
    .map(({ places }) => places.flatMap(({ pod: it }) => (it ? [`${it.namespace}/${it.name}`] : [])).sort())
    .sort();
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

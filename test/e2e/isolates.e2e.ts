/**
 * Isolates as a person uses them: the example of examples/isolates, and what goes wrong with code of strangers, all in one cluster.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { ClusterStatus } from "#cli/machine.ts";
import { canRunContainers, eventually, repository, startCluster, type TestCluster } from "../support/cluster.ts";
import { startLoad } from "../support/load.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const name = "isolates-e2e";

describe("isolates", { skip }, () => {
  let cluster: TestCluster;
  let serviceIP = "";
  const kubectl = async (args: string, options: Parameters<TestCluster["kubectl"]>[1] = {}) =>
    (await cluster.kubectl(args.split(" "), options)).stdout;
  const apply = (object: unknown) => cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(object) });
  const pod = async (pod: string) => JSON.parse(await kubectl(`get pod ${pod} -o json`)) as Pod;
  const status = async () =>
    JSON.parse((await cluster.nodeless(["status", "--name", name, "-o", "json"])).stdout) as ClusterStatus;

  before(async () => {
    cluster = await startCluster(name);
  });
  after(() => cluster.remove());

  test("nothing of isolates runs before the first one", async () => {
    assert.deepEqual(enginesOf(name), []);
    assert.match(await kubectl("get runtimeclass isolate"), /isolate\s+isolate/);
  });

  test("a Deployment of three behind a Service answers, each of the three", async () => {
    await kubectl(`apply -f ${join(repository, "examples/isolates/hello.yaml")}`);
    await kubectl("rollout status deployment/hello --timeout=60s");
    serviceIP = await kubectl("get service hello -o jsonpath={.spec.clusterIP}");

    const seen = new Set<string>();
    await eventually("all three have answered", async () => {
      // A connection each: the kernel chooses the endpoint by connection.
      const answer = await fetch(`http://${serviceIP}/`, { headers: { connection: "close" } });
      seen.add((await answer.text()).trim());
      return seen.size === 3;
    });

    for (const line of seen) assert.match(line, /^Hello from hello-\w+-\w+$/);
    const { addresses } = await status();
    assert.match(await (await fetch(`http://${addresses.nodePorts}:30090/`)).text(), /^Hello from/);
  });

  test("scaled up and down and restarted under load, none of the requests to its Service fails", async (t) => {
    // Whoever loads for ever is found out after 10 s; a later test looks at it.
    await apply(code("looping", "while (true) {}"));
    await apply(isolate("looping", "looping"));
    const load = startLoad(`http://${serviceIP}/`);
    for (const step of ["scale deployment/hello --replicas=6", "scale deployment/hello --replicas=3"]) {
      await kubectl(step);
      await kubectl("rollout status deployment/hello --timeout=60s");
    }
    await kubectl("rollout restart deployment/hello");
    await kubectl("rollout status deployment/hello --timeout=60s");
    await eventually(
      "the old ones are gone",
      async () => (await kubectl("get pods -l app=hello -o name")).trim().split("\n").length === 3,
    );
    const { count, failures } = await load.stop();

    t.diagnostic(`${count} requests`);
    assert.ok(count > 30);
    assert.deepEqual(failures, []);
  });

  test("a bundle is loaded as an image, and finds the other by its name", async () => {
    const folder = join(repository, "examples/isolates/quotes");
    const { stdout } = await cluster.nodeless(["image", "load", folder]);
    assert.match(stdout, /Loaded docker.io\/library\/quotes:latest/);
    await kubectl(`apply -f ${folder}.yaml`);
    await kubectl("rollout status deployment/quotes --timeout=60s");
    const ip = await kubectl("get service quotes -o jsonpath={.spec.clusterIP}");

    // Ready pods are in the kernel's tables a moment later.
    await eventually("the Service answers", () =>
      fetch(`http://${ip}/hello`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    const quote = (await (await fetch(`http://${ip}/quote`)).json()) as { readonly by?: string };
    assert.equal(typeof quote.by, "string");
    assert.match(await (await fetch(`http://${ip}/hello`)).text(), /^Hello from hello-/);
    assert.match(await (await fetch(`http://${ip}/`)).text(), /<title>Quotes/);
  });

  test("logs are there, exec is refused, describe says what happened", async () => {
    await eventually("the log has a request", async () => /GET http/.test(await kubectl("logs deployment/hello")));
    const refused = await cluster.kubectl(["exec", "deployment/hello", "--", "ls"], { mayFail: true });
    const described = await kubectl("describe pod -l app=hello");

    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /an isolate has no programs that could be run in it/);
    assert.match(described, /Runtime Class Name:\s+isolate/);
    assert.match(described, /Normal\s+Started/);
  });

  test("what an isolate cannot have is refused by name, in an event", async () => {
    await apply(isolate("wrong", "", { command: ["sh", "-c", "true"] }));

    await eventually("the event", async () =>
      /isolate "main": command has no meaning/.test(
        await kubectl("get events --field-selector involvedObject.name=wrong"),
      ),
    );
    const { containerStatuses } = (await pod("wrong")).status ?? {};
    assert.equal(containerStatuses?.[0]?.state?.waiting?.reason, "CreateContainerConfigError");
    const exec = { exec: { command: ["true"] } };
    await apply(isolate("prober", "", { livenessProbe: exec }));
    await eventually("the event", async () =>
      /livenessProbe cannot run a command: an isolate has no programs; use httpGet, tcpSocket or grpc/.test(
        await kubectl("get events --field-selector involvedObject.name=prober"),
      ),
    );
  });

  test("what a handler does not catch is answered with 500 and logged with its place, a failed connection as well", async () => {
    const source = `export default { async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/refused") return await fetch("http://127.0.0.1:9/nobody");
      if (pathname === "/unknown") return await fetch("http://no-such.invalid/x");
      if (pathname === "/nothing") return;
      throw new TypeError("handler broke"); } }`;
    await apply(code("faulty", source));
    await apply(isolate("faulty", "faulty"));
    await kubectl("wait --for=condition=Ready pod/faulty --timeout=30s");
    const { podIP } = (await pod("faulty")).status ?? {};

    for (const path of ["refused", "unknown", "nothing", "thrown"]) {
      const answer = await fetch(`http://${podIP}:8080/${path}`);
      assert.equal(answer.status, 500, path);
      assert.equal(await answer.text(), "Internal Server Error", path);
    }

    const log = await kubectl("logs faulty");
    assert.match(log, /^Uncaught TypeError: handler broke\n +at Object\.fetch \(index\.js:6:13\)$/m);
    assert.match(
      log,
      /Error: fetch http:\/\/127\.0\.0\.1:9\/nobody: Network connection lost\.\n +at async .*index\.js:3/,
    );
    assert.match(log, /Error: fetch http:\/\/no-such\.invalid\/x: its name is not known, or no connection came about/);
    assert.match(log, /TypeError: the fetch handler returned undefined instead of a Response/);
    assert.doesNotMatch(log, /nodeless-entry/);
  });

  test("code that fails to load ends with its error, and is tried again with back-off", async () => {
    await apply(code("failing", `import "./absent.js";`));
    await apply(isolate("failing", "failing"));

    const waiting = await eventually("the back-off", async () => {
      const found = (await pod("failing")).status?.containerStatuses?.[0];
      return found?.state?.waiting?.reason === "CrashLoopBackOff" ? found : undefined;
    });
    assert.equal(waiting.lastState?.terminated?.exitCode, 1);
    assert.match(waiting.lastState?.terminated?.message ?? "", /absent/);
    assert.match(await kubectl("logs failing"), /absent/);
  });

  test("code that never ends its first turn is ended after ten seconds, and says so", async () => {
    const ended = await eventually("its end", async () => {
      const found = (await pod("looping")).status?.containerStatuses?.[0];
      return found?.lastState?.terminated ?? found?.state?.terminated;
    });

    assert.equal(ended.exitCode, 1);
    assert.equal(ended.message, "index.js did not finish loading within 10 s");
    assert.match(await kubectl("logs looping"), /index.js did not finish loading within 10 s/);
    await kubectl("delete pod looping --grace-period=1 --wait=false");
  });

  test("a spinning neighbour is held to its limit, a memory eater is killed and restarted, and nobody else notices", async (t) => {
    const spin = `export default { fetch(request) { const { pathname } = new URL(request.url);
      if (pathname === "/for-ever") for (;;); for (const until = Date.now() + Number(pathname.slice(1)); Date.now() < until; );
      return new Response("") } }`;
    const eat = `const kept = []; export default { fetch(request) {
      if (request.url.endsWith("/eat")) for (;;) kept.push(new Uint8Array(1 << 20).fill(1)); return new Response("") } }`;
    await Promise.all([apply(code("spin", spin)), apply(code("eat", eat))]);
    const limited = { resources: { limits: { cpu: "200m", memory: "96Mi" } } };
    // One that asks for nothing gets what others leave, as in all of Kubernetes: it would notice.
    const calm = { resources: { requests: { cpu: "100m" } } };
    await Promise.all([
      apply(isolate("spin", "spin", limited)),
      apply(isolate("eat", "eat", limited)),
      apply(isolate("calm", "spin", calm)),
    ]);
    await kubectl("wait --for=condition=Ready pod/spin pod/eat pod/calm --timeout=30s");
    const addresses = ["spin", "eat", "calm"].map(async (it) => (await pod(it)).status?.podIP ?? "");
    const [spinIP, eatIP, calmIP] = await Promise.all(addresses);
    const disturb = (forMs: number) => fetch(`http://${spinIP}:8080/${forMs}`).then((it) => it.text());

    // It begins within a window, so that the eater's end and its restart are measured as well.
    const eaten = fetch(`http://${eatIP}:8080/eat`).catch(() => {});
    await judgeNeighbours(`${calmIP}:8080`, disturb, (text) => t.diagnostic(text));
    await eaten;

    const found = await eventually("the memory eater runs again", async () => {
      const [status_] = (await pod("eat")).status?.containerStatuses ?? [];
      return (status_?.restartCount ?? 0) > 0 && status_?.state?.running ? status_ : undefined;
    });
    assert.equal(found.lastState?.terminated?.reason, "OOMKilled");
    assert.equal(found.lastState?.terminated?.exitCode, 137);
    const spinning = fetch(`http://${spinIP}:8080/for-ever`).catch(() => {});
    const used = await cpuShare((await pod("spin")).status?.containerStatuses?.[0]?.containerID ?? "");
    assert.ok(used > 0.1 && used < 0.3, `the spinning pod used ${used} of a processor`);
    await kubectl("delete pod spin --grace-period=1 --wait=true");
    await spinning;
  });

  test("a liveness probe that fails restarts it, a readiness probe takes it out of the Service", async () => {
    const source = `let bad = ""; export default { fetch(request) {
      const { pathname } = new URL(request.url); if (pathname.startsWith("/break/")) bad = pathname.slice(6);
      return new Response("", { status: pathname === bad ? 500 : 200 }) } }`;
    const probe = (path: string) => ({ httpGet: { path, port: 8080 }, periodSeconds: 1, failureThreshold: 1 });
    await apply(code("probed", source));
    await apply(isolate("probed", "probed", { livenessProbe: probe("/live"), readinessProbe: probe("/ready") }));
    await kubectl("wait --for=condition=Ready pod/probed --timeout=30s");
    const { podIP } = (await pod("probed")).status ?? {};

    await fetch(`http://${podIP}:8080/break/ready`);
    await kubectl("wait --for=condition=Ready=false pod/probed --timeout=30s");
    await fetch(`http://${podIP}:8080/break/live`);

    await eventually("it was restarted and is ready again", async () => {
      const [found] = (await pod("probed")).status?.containerStatuses ?? [];
      return found?.restartCount === 1 && found.ready;
    });
  });

  test("the node's process is killed: the same processes go on answering, and none is started twice", async () => {
    const enginesBefore = await eventually("the pool is full", async () => {
      const found = enginesOf(name);
      return found.length > 3 && found;
    });
    const ids = async () =>
      (JSON.parse(await kubectl("get pods -l app=hello -o json")) as { readonly items: readonly Pod[] }).items
        .map((it) => [it.metadata?.uid, it.status?.containerStatuses?.[0]?.containerID].join())
        .sort();
    const before = await ids();
    const pid = Number((await status()).processes.find((it) => it.role === "node")?.pid);

    process.kill(pid, "SIGKILL");
    await latencies(serviceIP, 3000); // every request is answered

    await eventually("the node is back", async () => {
      const now = (await status()).processes.find((it) => it.role === "node")?.pid;
      return now !== undefined && Number(now) !== pid && /True/.test(await readiness());
    });
    assert.deepEqual(await ids(), before);
    const stay = enginesBefore.filter((it) => enginesOf(name).includes(it));
    assert.ok(stay.length >= 4, "the pods' processes are those of before");
    await kubectl("scale deployment/hello --replicas=4");
    await kubectl("rollout status deployment/hello --timeout=60s");
  });

  test("deleted with its cluster, nothing of it is left", async () => {
    await cluster.nodeless(["delete", "--name", name]);

    assert.deepEqual(enginesOf(name), []);
  });

  const readiness = () => kubectl(`get node ${name} -o jsonpath={.status.conditions[?(@.type=="Ready")].status}`);
});

function code(name_: string, source: string): unknown {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: name_ }, data: { "index.js": source } };
}

function isolate(pod: string, configMap: string, container: Readonly<Record<string, unknown>> = {}): unknown {
  const main = { name: "main", image: "nodeless.dev/isolate", ...container };
  const mounted = { ...main, volumeMounts: [{ name: "code", mountPath: "/bundle" }] };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: pod },
    spec: {
      runtimeClassName: "isolate",
      containers: [configMap === "" ? main : mounted],
      ...(configMap !== "" && { volumes: [{ name: "code", configMap: { name: configMap } }] }),
    },
  };
}

const windowMs = 300;
const windows = 14;
/** How much later 99 of 100 answers may be there while a neighbour spins. */
const mostSlower = 1.5;

/**
 * Asks in windows by turns, with the neighbour quiet and disturbed, so that both see the same machine. What counts is the ratio of their p99s, in the median of all pairs of windows
 * beside each other: one that somebody else on the machine has spoilt is only one of many. How far quiet windows are from each other is the machine's own noise, by which the
 * bound grows. Measured once more when it fails, with twice as many windows; a second failure counts.
 */
async function judgeNeighbours(
  address: string,
  disturb: (forMs: number) => Promise<unknown>,
  say: (text: string) => void,
): Promise<void> {
  const first = await compareWindows(address, disturb, windows);
  say(
    `p99 beside a spinning neighbour: ${first.ratio.toFixed(2)} times, quiet windows differ by ${first.noise.toFixed(2)}`,
  );
  const { ratio, noise } =
    first.ratio <= mostSlower * first.noise ? first : await compareWindows(address, disturb, windows * 2);
  assert.ok(
    ratio <= mostSlower * noise,
    `99 of 100 answers took ${ratio.toFixed(2)} times as long while a neighbour was spinning, quiet windows differ by ${noise.toFixed(2)}`,
  );
}

async function compareWindows(
  address: string,
  disturb: (forMs: number) => Promise<unknown>,
  pairs: number,
): Promise<{ readonly ratio: number; readonly noise: number }> {
  const quiet = [await latencies(address, windowMs)];
  const disturbed: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const [during] = await Promise.all([latencies(address, windowMs), disturb(windowMs)]);
    disturbed.push(during);
    quiet.push(await latencies(address, windowMs));
  }
  const quietAt = (index: number) => quiet[index] ?? Number.NaN;
  // Of the two quiet ones beside it now the one, now the other: a machine that grows busier or quieter favours neither.
  const ratio = median(disturbed.map((during, index) => during / quietAt(index + (index % 2))));
  const noise = median(disturbed.map((_, index) => apart(quietAt(index), quietAt(index + 1))));
  return { ratio, noise };
}

function apart(one: number, other: number): number {
  return Math.max(one, other) / Math.min(one, other);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Milliseconds within which 99 of 100 requests were answered; every request must be. */
async function latencies(address: string, forMs: number): Promise<number> {
  const all: number[] = [];
  const untilMs = performance.now() + forMs;
  const ask = async () => {
    while (performance.now() < untilMs) {
      const begunMs = performance.now();
      const answer = await fetch(`http://${address}/0`, { headers: { connection: "close" } });
      assert.equal(answer.status, 200);
      await answer.text();
      all.push(performance.now() - begunMs);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  await Promise.all([ask(), ask()]);
  all.sort((a, b) => a - b);
  return all[Math.floor(all.length * 0.99)] ?? Number.NaN;
}

/** How much of a processor the container uses, over a second and a half. */
async function cpuShare(containerID: string): Promise<number> {
  const id = containerID.slice(containerID.indexOf("://") + 3);
  const pid = engines().find((it) => readCgroup(it).includes(id));
  const ticks = () => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = { ticks: ticks(), atMs: performance.now() };
  await new Promise((resolve) => setTimeout(resolve, 1500));
  return ((ticks() - before.ticks) * 10) / (performance.now() - before.atMs);
}

/** Processes of workerd in this cluster's control groups; its only node has its name. */
function enginesOf(cluster: string): number[] {
  return engines().filter((pid) => readCgroup(pid).includes(`/${cluster}/isolate-`));
}

function engines(): number[] {
  const listed = execFileSync("ps", ["-eo", "pid=,args="], { encoding: "utf8" }).split("\n");
  return listed.filter((line) => /\s\/workerd serve/.test(line)).map((line) => Number.parseInt(line, 10));
}

function readCgroup(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch {
    return "";
  }
}

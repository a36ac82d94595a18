/**
 * Nodeless as who is not root: a cluster whose pods are isolates on loopback addresses. When the tests run as root, it is brought up by a user that owns nothing else.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { Resolver } from "node:dns/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { ClusterStatus } from "#cli/machine.ts";
import { eventually, type Outcome, portArguments, repository, run } from "../support/cluster.ts";
import { startLoad } from "../support/load.ts";
import { findKubectl } from "../support/kubectl.ts";

const program = join(repository, "bin/nodeless");
const isRoot = process.getuid?.() === 0;
/** Nobody's on this machine. */
const uid = isRoot ? 64_321 : (process.getuid?.() ?? 0);
const asUser = isRoot ? ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--inh-caps=-all"] : ["env"];

function reasonToSkip(): string | false {
  const [command, ...args] = [...asUser, "test", "-r", join(repository, "dist/nodeless.js")];
  if (spawnSync(command ?? "", args).status === 0) return false;
  return "the repository is not for everybody to read, or setpriv is missing";
}

describe("without root", { skip: reasonToSkip() }, () => {
  const home = mkdtempSync(join(tmpdir(), "nl-user-"));
  const environment = { PATH: process.env["PATH"], HOME: home, NODELESS_LOG: process.env["NODELESS_LOG"] ?? "" };
  const nodeless = async (...args: string[]): Promise<Outcome> => {
    const [command = "", ...words] = [...asUser, program, ...args];
    return run(command, words, { environment, mayFail: true });
  };
  const kubectl = (args: string, options: { readonly mayFail?: boolean; readonly input?: string } = {}) =>
    run(findKubectl(), ["--kubeconfig", join(home, ".kube/config"), "--context", "nodeless", ...args.split(" ")], {
      environment: { ...process.env, HOME: home },
      ...options,
    });
  const apply = (...objects: readonly object[]) =>
    kubectl("apply -f -", { input: objects.map((object) => JSON.stringify(object)).join("\n") });
  const status = async () => JSON.parse((await nodeless("status", "-o", "json")).stdout) as ClusterStatus;
  const pod = async (name: string) => JSON.parse((await kubectl(`get pod ${name} -o json`)).stdout) as Pod;
  const pods = async (app: string) =>
    (JSON.parse((await kubectl(`get pods -l app=${app} -o json`)).stdout) as { items: Pod[] }).items;
  const clusterIP = async (service: string) =>
    (await kubectl(`get service ${service} -o jsonpath={.spec.clusterIP}`)).stdout;
  let nodePorts = "";

  before(() => {
    if (isRoot) chownSync(home, uid, uid);
  });
  after(async () => {
    await nodeless("delete");
    rmSync(home, { recursive: true, force: true });
  });

  test("up gives a node, on addresses that need no rights, and says what it cannot do", async () => {
    const up = await nodeless("up", ...portArguments());
    const { processes, addresses, isReady } = await status();
    nodePorts = addresses.nodePorts;

    assert.equal(up.code, 0, up.stdout + up.stderr);
    assert.match(up.stdout, /Without root: pods run as isolates only .* CPU limits are not enforced/);
    assert.deepEqual([isReady, processes.map(({ role }) => role)], [true, ["control-plane", "node"]]);
    assert.match(addresses.podRange, /^127\./);
    assert.match((await kubectl("get nodes")).stdout, /^nodeless +Ready/m);
    assert.match((await nodeless("doctor")).stdout, /CPU are not enforced/);
  });

  test("the example of isolates answers at its node port, each of the three at an address of its own", async () => {
    await kubectl(`apply -f ${join(repository, "examples/isolates/hello.yaml")}`);
    await kubectl("rollout status deployment/hello --timeout=60s");
    const addresses = new Set((await pods("hello")).map(({ status }) => status?.podIP));
    const names = new Set<string>();
    await eventually("answers of all three", async () => {
      names.add(await ask(`http://${nodePorts}:30090/`));
      return names.size === 3;
    });

    assert.equal(addresses.size, 3);
    assert.match([...addresses].join(" "), /^127\.\S+ 127\.\S+ 127\.\S+$/);
    assert.match((await kubectl("get --raw /api/v1/namespaces/default/services/hello/proxy/")).stdout, /^Hello from/);
  });

  test("restarted under load, none of the requests to its Service fails", async (context) => {
    const load = startLoad(`http://${nodePorts}:30090/`);
    await kubectl("rollout restart deployment/hello");
    await kubectl("rollout status deployment/hello --timeout=60s");
    await eventually("the old ones are gone", async () => (await pods("hello")).length === 3);
    const { count, failures } = await load.stop();

    context.diagnostic(`${count} requests`);
    assert.ok(count > 30);
    assert.deepEqual(failures, []);
  });

  test("a port that only root may have is named in an event", async (context) => {
    if (Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8")) <= 80)
      return context.skip("this machine gives out port 80 to everybody");

    const { stdout } = await eventually("the event", async () => {
      const events = await kubectl("get events --field-selector reason=PortNotServed -o jsonpath={.items[*].message}");
      return events.stdout !== "" && events;
    });

    assert.match(stdout, /Port 80 of 127\.\S+ is not served: .*ip_unprivileged_port_start/);
  });

  test("an isolate finds Services by their names, those that come later too, and nothing else of the machine's loopback", async () => {
    await apply(code("front", frontSource), isolatePod("front", 9000), service("front", 9000));
    await kubectl("wait --for=condition=Ready pod/front --timeout=30s");
    await apply(service("later", 8080, "hello"));
    const front = `http://${await clusterIP("front")}:9000/?u=`;

    await eventually("the name of a new Service", async () =>
      (await ask(`${front}http://later:8080/`)).startsWith("200 Hello"),
    );
    assert.match(await ask(`${front}http://later.default.svc.cluster.local:8080/`), /^200 Hello/);
    assert.match(await ask(`${front}http://127.0.0.1:${(await status()).ports.api}/`), /^failed/);
  });

  test("DNS answers at the cluster's address", async () => {
    const resolver = new Resolver({ timeout: 2000, tries: 2 });
    const address = await kubectl("get service kube-dns -n kube-system -o jsonpath={.spec.clusterIP}");
    const first = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
    resolver.setServers([`${address.stdout}:${first <= 53 ? 53 : 10_053}`]);

    assert.deepEqual(await resolver.resolve4("front.default.svc.cluster.local"), [await clusterIP("front")]);
  });

  test("a Service keeps a client to its endpoint when asked to, and refuses when it has none", async () => {
    const affine = { ...service("affine", 8081, "hello"), spec: { ...service("affine", 8081, "hello").spec } };
    Object.assign(affine.spec, { sessionAffinity: "ClientIP", ports: [{ port: 8081, targetPort: 8080 }] });
    await apply(affine);
    const url = `http://${await clusterIP("affine")}:8081/`;
    await eventually("an answer", () => ask(url));
    const answers = new Set(await Promise.all(Array.from({ length: 6 }, () => ask(url))));
    await kubectl("scale deployment/hello --replicas=0");
    await eventually("nobody listening", async () => (await codeOf(url)) === "ECONNREFUSED");
    await kubectl("scale deployment/hello --replicas=3");

    assert.equal(answers.size, 1);
    await kubectl("rollout status deployment/hello --timeout=60s");
    assert.match(await eventually("an answer", () => ask(url)), /^Hello/);
  });

  test("a pod that needs a container stays Pending, and its events say why and what to do", async () => {
    await kubectl("run box --image=nginx");
    const { stdout } = await eventually("both events", async () => {
      const found = await kubectl(
        "get events --field-selector involvedObject.name=box -o jsonpath={.items[*].message}",
      );
      return found.stdout.includes("isolates only") && found.stdout.includes("untolerated") && found;
    });

    assert.match(stdout, /runs without root: set runtimeClassName: isolate, or run nodeless with sudo/);
    assert.equal((await pod("box")).status?.phase, "Pending");
    await kubectl("delete pod box --wait=false");
  });

  test("logs are there, exec has nothing to run", async () => {
    const exec = await kubectl("exec front -- ls", { mayFail: true });

    assert.match((await kubectl("logs front")).stdout, /^asked for http/m);
    assert.match(exec.stderr, /an isolate has no programs/);
  });

  test("memory is bounded: who takes more is OOMKilled and started again", async () => {
    await apply(code("greedy", greedySource), isolatePod("greedy", 9001, { memory: "96Mi" }));
    await kubectl("wait --for=condition=Ready pod/greedy --timeout=30s");
    const { status: before } = await pod("greedy");
    await ask(`http://${before?.podIP}:9001/eat`).catch(() => {});

    const last = await eventually(
      "the end",
      async () => (await pod("greedy")).status?.containerStatuses?.[0]?.lastState?.terminated,
    );
    assert.deepEqual([last.reason, last.exitCode], ["OOMKilled", 137]);
    await kubectl("delete pod greedy --now");
  });

  test("the cage of an isolate: no new privileges, no capabilities, a filter, an empty root, its own processes", () => {
    const [pid] = engines();
    const facts = readFileSync(`/proc/${pid}/status`, "utf8");
    const fact = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(facts)?.[1];

    assert.deepEqual(
      [fact("NoNewPrivs"), fact("Seccomp"), fact("CapEff"), fact("CapBnd")],
      ["1", "2", "0".repeat(16), fact("NSpid")?.includes("\t") ? "0".repeat(16) : fact("CapBnd")],
    );
    if (!fact("NSpid")?.includes("\t")) return; // this machine forbids user namespaces
    assert.match(fact("NSpid") ?? "", /\t1$/);
    for (const kind of ["user", "mnt", "pid", "ipc", "uts"])
      assert.notEqual(readlinkSync(`/proc/${pid}/ns/${kind}`), readlinkSync(`/proc/self/ns/${kind}`), kind);
    if (isRoot) assert.doesNotMatch(readdirSync(`/proc/${pid}/root`).join(" "), /home|proc|tmp|usr|var/);
  });

  test("after kill -9 of the node, and then of both, the same processes run on", async () => {
    const before = engines();
    for (const roles of [["node"], ["node", "control-plane"]]) {
      const { processes } = await status();
      for (const { role, pid } of processes)
        if (pid !== undefined && roles.includes(role)) process.kill(pid, "SIGKILL");
      if (roles.length === 2) assert.equal((await nodeless("up")).code, 0);
      await eventually("an answer", () => ask(`http://${nodePorts}:30090/`));
      await eventually("a node", async () => (await status()).isReady);
    }
    const marked = `mark-${Date.now()}`;
    await ask(`http://${(await pod("front")).status?.podIP}:9000/?u=http://${marked}/`);

    // The pool of those that wait is made anew.
    assert.deepEqual(
      (await pods("hello")).map(({ status }) => status?.containerStatuses?.[0]?.restartCount),
      [0, 0, 0],
    );
    assert.equal((await pod("front")).status?.containerStatuses?.[0]?.restartCount, 0);
    assert.ok(before.filter((pid) => engines().includes(pid)).length >= 4, "the pods' processes are those of before");
    await eventually("the log", async () => (await kubectl("logs front")).stdout.includes(marked));
  });

  test("a second cluster has other addresses", async () => {
    const first = await status();
    const up = await nodeless("up", "--name", "second", ...portArguments());
    const second = JSON.parse((await nodeless("status", "--name", "second", "-o", "json")).stdout) as ClusterStatus;
    await nodeless("delete", "--name", "second");

    assert.equal(up.code, 0, up.stderr);
    assert.notEqual(second.addresses.podRange, first.addresses.podRange);
    assert.notEqual(second.addresses.nodePorts, first.addresses.nodePorts);
    assert.match((await nodeless("up", "--name", "third", "--nodes", "2")).stderr, /without root has one node/);
  });

  test("down stops everything, up brings it back, delete leaves nothing", async () => {
    await nodeless("down");
    const left = processesOfUser();
    await nodeless("up");
    const answer = await eventually("an answer", () => ask(`http://${nodePorts}:30090/`));
    const deleted = await nodeless("delete");

    assert.match(answer, /^Hello/);
    assert.equal(deleted.code, 0, deleted.stderr);
    if (!isRoot) return; // other processes of ours run
    assert.deepEqual(left, []);
    assert.deepEqual(processesOfUser(), []);
    assert.deepEqual(claimsOfUser(), []);
    assert.deepEqual(readdirSync(join(home, ".local/share/nodeless/clusters")), []);
    assert.doesNotMatch(execFileSync("cat", ["/proc/self/mountinfo"], { encoding: "utf8" }), new RegExp(home));
  });
});

const frontSource = `export default {
  async fetch(request) {
    const url = new URL(request.url).searchParams.get("u");
    console.log("asked for " + url);
    try {
      const answer = await fetch(url);
      return new Response(answer.status + " " + (await answer.text()));
    } catch (error) {
      return new Response("failed: " + error);
    }
  },
};`;

const greedySource = `const kept = [];
export default {
  async fetch(request) {
    while (request.url.endsWith("/eat")) {
      kept.push(new Uint8Array(4_000_000).fill(1));
      await scheduler.wait(1);
    }
    return new Response("ok");
  },
};`;

function code(name: string, source: string): object {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { "index.js": source } };
}

function isolatePod(name: string, port: number, limits: Readonly<Record<string, string>> = {}): object {
  const container = {
    name: "main",
    image: "nodeless.dev/isolate",
    ports: [{ containerPort: port }],
    resources: { limits },
    volumeMounts: [{ name: "code", mountPath: "/bundle" }],
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name } },
    spec: {
      runtimeClassName: "isolate",
      terminationGracePeriodSeconds: 1,
      containers: [container],
      volumes: [{ name: "code", configMap: { name } }],
    },
  };
}

function service(name: string, port: number, app = name) {
  return { apiVersion: "v1", kind: "Service", metadata: { name }, spec: { selector: { app }, ports: [{ port }] } };
}

async function ask(url: string): Promise<string> {
  const answer = await fetch(url, { headers: { connection: "close" }, signal: AbortSignal.timeout(5000) });
  return (await answer.text()).trim();
}

async function codeOf(url: string): Promise<string | undefined> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  try {
    await once(socket, "connect");
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  } finally {
    socket.destroy();
  }
}

/** The user's processes, zombies left out. */
function processesOfUser(): string[] {
  return ids().flatMap((pid) => {
    try {
      const facts = readFileSync(`/proc/${pid}/status`, "utf8");
      const isOurs = new RegExp(`^Uid:\\t${uid}\\t`, "m").test(facts) && !/^State:\s+Z/m.test(facts);
      return isOurs ? [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")] : [];
    } catch {
      return []; // ended meanwhile
    }
  });
}

function engines(): number[] {
  return ids().filter((pid) => {
    try {
      const isOurs = new RegExp(`^Uid:\\t${uid}\\t`, "m").test(readFileSync(`/proc/${pid}/status`, "utf8"));
      return isOurs && /^\S*workerd\0/.test(readFileSync(`/proc/${pid}/cmdline`, "latin1"));
    } catch {
      return false;
    }
  });
}

function claimsOfUser(): string[] {
  const found = spawnSync("find", ["/tmp/nodeless-slots", "-uid", String(uid), "-type", "f"], { encoding: "utf8" });
  return found.stdout.split("\n").filter(Boolean);
}

function ids(): number[] {
  return readdirSync("/proc").map(Number).filter(Boolean);
}

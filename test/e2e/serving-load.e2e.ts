/**
 * No request is lost: load on a Knative Service while it comes from zero, grows, changes its revision, loses a pod before its first byte, and goes to zero. The program dies of SIGTERM at once, so only
 * a pod that is drained first answers all it was sent.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ClusterStatus } from "#cli/machine.ts";
import {
  canRunContainers,
  eventually,
  loadExampleImages,
  repository,
  startCluster,
  type TestCluster,
} from "../support/cluster.ts";
import { ask, nodeService } from "../support/knative.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const name = "serving-load";
const limit = 4;
const mostPods = 3;

type Answer = { readonly revision: string; readonly pod: string; readonly most: number };

describe("a Knative Service under load", { skip }, () => {
  let cluster: TestCluster;
  let address: string;
  const kubectl = async (...args: readonly string[]) => (await cluster.kubectl(args)).stdout;
  const pods = async () => (await kubectl("get", "pods", "-o", "name")).split("\n").filter((line) => line !== "");
  const deploy = (version: string) => cluster.kubectl(["apply", "-f", "-"], { input: manifest(version) });

  before(async () => {
    cluster = await startCluster(name, { arguments: ["--serving"] });
    await loadExampleImages(cluster, ["tests/node"]);
    const { stdout } = await cluster.nodeless(["status", "--name", name, "-o", "json"]);
    address = (JSON.parse(stdout) as ClusterStatus).addresses.nodePorts;
    const code = `--from-file=answers.mjs=${join(repository, "test/e2e/serving/answers.mjs")}`;
    await kubectl("create", "configmap", "programs", code);
    await eventually("the Service is taken", async () => (await deploy("one")).code === 0);
    await eventually("no pod is left", async () => {
      const ready = await kubectl(
        "get",
        "ksvc",
        "answers",
        "-o",
        "jsonpath={.status.conditions[?(@.type=='Ready')].status}",
      );
      return ready === "True" && (await pods()).length === 0;
    });
  });
  after(() => cluster.remove());

  test("requests wake it, make it grow to its limit, and no pod has more at once than it may", async () => {
    const load = new Load(address, 24);
    await eventually("all pods are there", async () => (await podsThatAnswer(load)).size === mostPods);
    await load.stop();

    assert.deepEqual(load.failures, []);
    assert.ok(load.answers.length > 100, `${load.answers.length} answers`);
    const most = Math.max(...load.answers.map((answer) => answer.most));
    assert.equal(most, limit, "each pod is used as far as it may, and no further");
  });

  test("a new revision takes over, and the old one's pods go when they have answered", async () => {
    const load = new Load(address, 12);
    await deploy("two");
    await eventually("the new revision answers alone", async () => {
      const last = load.answers.slice(-30);
      return last.length === 30 && last.every(({ revision }) => revision === "answers-00002");
    });
    await eventually("the old revision's pods are gone", async () => {
      const left = await kubectl("get", "pods", "-l", "serving.knative.dev/revision=answers-00001", "-o", "name");
      return left.trim() === "";
    });
    await load.stop();

    assert.deepEqual(load.failures, []);
  });

  test("a pod that is killed before its first byte costs none of the requests that may be asked twice", async () => {
    const load = new Load(address, 8, ["GET"]);
    await eventually("answers", async () => load.answers.length > 20);
    for (const pid of programs()) process.kill(pid, "SIGKILL");
    const before = load.answers.length;
    await eventually("answers again", async () => load.answers.length > before + 50);
    await load.stop();

    assert.deepEqual(load.failures, []);
  });

  test("pods that are deleted under load are missed by nobody", async () => {
    const load = new Load(address, 8);
    await eventually("answers", async () => load.answers.length > 20);
    const before = new Set(await pods());
    await kubectl("delete", "pods", "--all", "--wait=false");
    await eventually("others have taken over", async () => {
      const now = await pods();
      return now.length > 0 && now.every((pod) => !before.has(pod));
    });
    await load.stop();

    assert.deepEqual(load.failures, []);
  });

  test("requests that come while it goes to zero are answered", async () => {
    const load = new Load(address, 0);
    await scaledToZero(cluster, "answers-00002-deployment");
    await Promise.all(["GET", "POST", "GET"].map((method) => load.ask(method)));
    await eventually("no pod is left", async () => (await pods()).length === 0);
    await Promise.all(["POST", "GET", "POST"].map((method) => load.ask(method)));
    await load.stop();

    assert.deepEqual(load.failures, []);
    assert.equal(load.answers.length, 6);
  });
});

/** So many requests at once, one after the other, until it is stopped. */
class Load {
  readonly answers: Answer[] = [];
  readonly failures: string[] = [];
  readonly #agent = new Agent({ keepAlive: true });
  readonly #address: string;
  readonly #workers: readonly Promise<void>[];
  #isStopping = false;

  constructor(address: string, workers: number, methods: readonly string[] = ["GET", "POST"]) {
    this.#address = address;
    this.#workers = Array.from({ length: workers }, (_, index) => this.#work(methods[index % methods.length] ?? "GET"));
  }

  async ask(method: string): Promise<void> {
    try {
      const path = `/?ms=${20 + Math.floor(Math.random() * 100)}`;
      const body = method === "POST" ? { body: "body" } : {};
      const asked = { host: "answers.default.localhost", path, method, agent: this.#agent, ...body };
      const { status, text, isBroken } = await ask(this.#address, asked);
      if (status === 200 && !isBroken) this.answers.push(JSON.parse(text) as Answer);
      else this.failures.push(`${method}: ${status} ${text}`);
    } catch (error) {
      this.failures.push(`${method}: ${(error as Error).message}`);
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#workers);
    this.#agent.destroy();
  }

  async #work(method: string): Promise<void> {
    while (!this.#isStopping) await this.ask(method);
  }
}

/** Resolves in the moment in which its pods are told to go. */
async function scaledToZero(cluster: TestCluster, deployment: string): Promise<void> {
  const format = "jsonpath={.spec.replicas}{'\\n'}";
  const watching = cluster.startKubectl(["get", "deployment", deployment, "--watch", "-o", format]);
  let said = "";
  try {
    for await (const piece of watching.stdout ?? []) if (/(^|\n)0\n$/.test((said += String(piece)))) return;
    throw new Error(`the watch ended after ${said}`);
  } finally {
    watching.kill();
  }
}

/** Pods among the last answers. */
async function podsThatAnswer(load: Load): Promise<ReadonlySet<string>> {
  return new Set(load.answers.slice(-60).map(({ pod }) => pod));
}

/** The processes of the containers. */
function programs(): readonly number[] {
  const all = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  return all.map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8") === "node\0/code/answers.mjs\0";
    } catch {
      return false; // it has ended
    }
  });
}

function manifest(version: string): string {
  const container = { env: [{ name: "VERSION", value: version }] };
  const scaling = { window: "6s", "max-scale": String(mostPods) };
  return JSON.stringify(
    nodeService("answers", "answers.mjs", { container, scaling, spec: { containerConcurrency: limit } }),
  );
}

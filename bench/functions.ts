/**
 * Serverless as it is asked for: Knative Services at zero, as isolates and as containers: request → answer one after the other and all at once, steady load beside the same handler asked directly, a
 * thousand that sleep, and a burst from nothing. A cluster of its own, removed afterwards. Run: `npm run bench -- functions [--json] [--requests=N] [--services=N] [--at-once=N] [--nodes=N] [--only=PART]` (root, after `npm run
 * bundle`). Parts: zero, once, steady, burst, many. `--profile=FOLDER` writes a CPU profile of the control plane, or of `--role=node`, while functions wake one
 * after the other, and under warm load.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { ClusterStatus } from "#cli/machine.ts";
import type { Client } from "#client/client.ts";
import { createHttpTransport } from "#client/http-transport.ts";
import { createClient } from "#client/rest-client.ts";
import { type PodAutoscaler, podAutoscalers, type Service, services } from "#serving/kinds.ts";
import { loadExampleImages, repository, startCluster, type TestCluster } from "../test/support/cluster.ts";
import { listeningMs } from "./functions/listening.ts";
import { quantile } from "./functions/quantile.ts";
import { ask, type Load, load } from "./functions/requests.ts";
import { containerCode, isolateCode, type Kind, serviceOf } from "./functions/services.ts";
import { CpuProfile } from "./support/cpu-profile.ts";

type Row = { readonly what: string; readonly measured: string; readonly goal: string };

const isJson = process.argv.includes("--json");
/** Requests at zero, one after the other, of each kind. */
const oneByOne = Number(optionOf("requests") ?? 20);
/** Services that sleep. */
const many = Number(optionOf("services") ?? 1000);
const only = optionOf("only");
const profileFolder = optionOf("profile");
/** After that processes have given back what the work before needed. */
const asleepMs = 90_000;
/** Functions at zero that are asked in the same moment. A node takes 110 pods: more than a hundred need `--nodes=2`. */
const atOnce = Number(optionOf("at-once") ?? 100);
const burstRequests = 500;
const burstMs = 8000;
const burstHandlerMs = 100;
const namespace = "default";
const core = (resource: string) => ({ group: "", version: "v1", resource });
const pods = { resource: core("pods"), namespace };

async function measure(made: TestCluster): Promise<readonly Row[]> {
  await loadExampleImages(made, ["tests/node"]);
  const bench = await Bench.open(made);
  const parts: Readonly<Record<string, () => Promise<readonly Row[]>>> = {
    zero: async () => [...(await bench.zero("isolate")), ...(await bench.zero("container"))],
    once: () => bench.once(),
    steady: () => bench.steady(),
    burst: () => bench.burst(),
    many: () => bench.many(),
  };
  const rows: Row[] = [];
  for (const [name, run] of Object.entries(parts)) {
    if (only !== undefined && only !== name) continue;
    const more = await run();
    rows.push(...more);
    if (!isJson)
      for (const { what, measured, goal } of more) console.log(`${what}: ${measured} ${goal && `(${goal})`}`);
  }
  return rows;
}

function optionOf(name: string): string | undefined {
  return process.argv.find((it) => it.startsWith(`--${name}=`))?.split("=")[1];
}

class Bench {
  readonly #client: Client;
  readonly #address: string;
  readonly #processes: Readonly<Record<string, number>>;

  private constructor(client: Client, address: string, processes: Readonly<Record<string, number>>) {
    this.#client = client;
    this.#address = address;
    this.#processes = processes;
  }

  static async open(made: TestCluster): Promise<Bench> {
    const { stdout } = await made.nodeless(["status", "--name", made.name, "-o", "json"]);
    const status = JSON.parse(stdout) as ClusterStatus;
    const client = clientOf(status);
    const processes = Object.fromEntries(status.processes.map(({ role, pid }) => [role, Number(pid)]));
    const bench = new Bench(client, status.addresses.nodePorts, processes);
    await bench.#prepare();
    return bench;
  }

  /** Nothing runs before it is asked for. */
  async #prepare(): Promise<void> {
    const configMap = (name: string, data: Readonly<Record<string, string>>, where = namespace) =>
      this.#client.create({ resource: core("configmaps"), namespace: where }, {
        metadata: { name },
        data,
      } as unknown as KubeObject);
    for (;;) {
      try {
        await configMap("config-autoscaler", { "allow-zero-initial-scale": "true" }, "knative-serving");
        break;
      } catch {
        await sleep(100); // Serving starts after everything else
      }
    }
    await configMap("isolate-code", { "index.js": isolateCode });
    await configMap("container-code", { "server.mjs": containerCode });
    // The webhooks come last.
    for (;;) {
      const [error] = await this.#deploy(["probe"], "isolate").then(
        () => [],
        (reason: unknown) => [reason],
      );
      if (error === undefined) return;
      await sleep(100);
    }
  }

  /** Creates the Services and waits until they are ready, at zero. */
  async #deploy(
    names: readonly string[],
    kind: Kind,
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const queue = [...names];
    const work = async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift())
        await this.#client.create({ resource: services, namespace }, serviceOf(name, kind, annotations));
    };
    await Promise.all(Array.from({ length: 8 }, work));
    const isReady = ({ status }: Service) =>
      status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") === true;
    for (let waiting = new Set(names); waiting.size > 0; ) {
      const { items } = await this.#client.list<Service>({ resource: services, namespace });
      waiting = new Set(names.filter((name) => !items.some((one) => one.metadata?.name === name && isReady(one))));
      if (waiting.size > 0) await sleep(100);
    }
  }

  async #remove(names: readonly string[]): Promise<void> {
    for (const name of names) await this.#client.delete({ resource: services, namespace, name });
    await this.#untilQuiet();
  }

  async #untilQuiet(): Promise<void> {
    while ((await this.#client.list<Pod>(pods)).items.length > 0) await sleep(200);
    await sleep(1000);
  }

  #ask(name: string, options: { readonly path?: string; readonly agent?: Agent } = {}): Promise<number> {
    const headers = { host: `${name}.${namespace}.localhost` };
    return ask({ host: this.#address, port: 80, headers, ...options });
  }

  /** Request at zero → answer, one function after the other; what the time went into, and what it cost. */
  async zero(kind: Kind): Promise<readonly Row[]> {
    const names = Array.from({ length: oneByOne }, (_, index) => `${kind}-${index}`);
    await this.#deploy(["warm-up", ...names], kind);
    await this.#ask("warm-up");
    await sleep(2000);
    const profiles = await this.#profile(kind);
    const before = this.#cpu();
    const all: number[] = [];
    for (const name of names) {
      all.push(await this.#ask(name));
      await sleep(kind === "isolate" ? 400 : 600);
    }
    const cpu = this.#cpu();
    for (const profile of profiles) await profile.stop();
    const parts = await this.#partsOf(names);
    const again = await this.#askAgain(names, kind);
    await this.#remove(["warm-up", ...names]);
    const own = kind === "container" ? await listeningMs() : 0;
    const goal = { isolate: ["≤ 20 ms", "≤ 80 ms"], container: ["≤ 120 ms beyond its own listening", ""] }[kind];
    const cost = (role: string) => ms(((cpu[role] ?? 0) - (before[role] ?? 0)) / oneByOne);
    const p50 = quantile(all, 0.5);
    const told =
      kind === "container" ? `${ms(p50)} (its own listening: ${ms(own)}, beyond it ${ms(p50 - own)})` : ms(p50);
    return [
      { what: `${kind} at zero → answer, p50 of ${oneByOne}`, measured: told, goal: goal[0] ?? "" },
      { what: `${kind} at zero → answer, p99`, measured: ms(quantile(all, 0.99)), goal: goal[1] ?? "" },
      { what: `${kind} at zero: what p50 went into`, measured: parts, goal: "" },
      {
        what: `${kind} at zero that ran before → answer, p50; p99`,
        measured: `${ms(quantile(again, 0.5))}; ${ms(quantile(again, 0.99))}`,
        goal: "",
      },
      {
        what: `${kind} at zero: CPU a cold start, control plane; node`,
        measured: `${cost("control-plane")}; ${cost("node")}`,
        goal: "",
      },
    ];
  }

  /** The same, when all have gone to sleep again. */
  async #askAgain(names: readonly string[], kind: Kind): Promise<readonly number[]> {
    await this.#untilQuiet();
    const all: number[] = [];
    for (const name of names) {
      all.push(await this.#ask(name));
      await sleep(kind === "isolate" ? 400 : 600);
    }
    return all;
  }

  async #profile(what: string): Promise<readonly CpuProfile[]> {
    if (profileFolder === undefined) return [];
    const role = optionOf("role") ?? "control-plane";
    return [await CpuProfile.start(this.#processes[role] ?? 0, join(profileFolder, `${what}-${role}.cpuprofile`))];
  }

  /** Medians of the parts of these Services' cold starts, as their PodAutoscalers tell. */
  async #partsOf(names: readonly string[]): Promise<string> {
    await sleep(1500);
    const { items } = await this.#client.list<PodAutoscaler>({ resource: podAutoscalers, namespace });
    const wanted = items.filter(({ metadata }) => names.includes((metadata?.name ?? "").replace(/-00001$/, "")));
    const lasts = wanted.flatMap(({ status }) => status?.coldStarts?.last ?? []) as unknown as Readonly<
      Record<string, number>
    >[];
    const parts = ["decision", "schedule", "start", "ready", "firstByte"];
    return parts
      .map(
        (part) =>
          `${part} ${ms(
            quantile(
              lasts.map((last) => last[`${part}Ms`] ?? Number.NaN),
              0.5,
            ),
          )}`,
      )
      .join(", ");
  }

  /** Many at zero, all asked in the same moment. */
  async once(): Promise<readonly Row[]> {
    const names = Array.from({ length: atOnce }, (_, index) => `once-${index}`);
    await this.#deploy(names, "isolate", { "scale-to-zero-pod-retention-period": "5m" });
    await sleep(2000);
    const results = await Promise.allSettled(names.map((name) => this.#ask(name)));
    const all = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    await this.#remove(names);
    const measured = `p50 ${ms(quantile(all, 0.5))}, last ${ms(Math.max(...all))}, ${atOnce - all.length} failed`;
    return [{ what: `${atOnce} isolates at zero asked at once`, measured, goal: "none fails" }];
  }

  /** The same handler through the engine and asked at its pod: what the hop adds. */
  async steady(): Promise<readonly Row[]> {
    await this.#deploy(["steady"], "isolate", { "min-scale": "1" });
    await this.#ask("steady");
    const [pod] = (await this.#client.list<Pod>(pods)).items;
    const headers = { host: `steady.${namespace}.localhost` };
    const direct = { host: pod?.status?.podIP ?? "", port: 8080, headers };
    const through = { host: this.#address, port: 80, headers };
    const limit = await startBytesOnly(direct.host, direct.port);
    const bytes = { host: "127.0.0.1", port: limit.port, headers };
    const profiles = await this.#profile("steady");
    const rows: Row[] = [];
    for (const connections of [1, 16]) {
      // By turns, so that what else the machine does weighs on both.
      const seen = { direct: [] as Load[], through: [] as Load[], bytes: [] as Load[] };
      for (let round = 0; round < 3; round++) {
        seen.direct.push(await load(direct, connections, 1500));
        const pid = this.#processes["node"] ?? 0;
        seen.through.push(await loadWithCost(pid, () => load(through, connections, 1500)));
        seen.bytes.push(await loadWithCost(limit.pid, () => load(bytes, connections, 1500)));
      }
      const p50 = (loads: readonly Load[]) =>
        quantile(
          loads.map((one) => one.p50Ms),
          0.5,
        );
      const rate = (loads: readonly Load[]) =>
        quantile(
          loads.map((one) => one.rate),
          0.5,
        );
      const cpu = (loads: readonly Load[]) =>
        quantile(
          loads.map((one) => one.cpuUs ?? 0),
          0.5,
        ).toFixed(0);
      rows.push({
        what: `warm, ${connections} connection${connections === 1 ? "" : "s"}: p50 and rate, asked directly; through the engine`,
        measured: `${ms(p50(seen.direct))}, ${rate(seen.direct).toFixed(0)}/s; ${ms(p50(seen.through))}, ${rate(seen.through).toFixed(0)}/s; the node's CPU ${cpu(seen.through)} µs a request, that of a Node proxy which passes bytes unread ${cpu(seen.bytes)}`,
        goal: "≤ 40 µs CPU",
      });
    }
    for (const profile of profiles) await profile.stop();
    limit.stop();
    await this.#remove(["steady"]);
    return rows;
  }

  /** From nothing to many at once: requests lost, and replicas beside those that were needed. */
  async burst(): Promise<readonly Row[]> {
    await this.#deploy(["burst"], "isolate", { window: "10s" });
    await sleep(1000);
    const agent = new Agent({ keepAlive: true });
    const until = Date.now() + burstMs;
    const failures = new Map<string, number>();
    const all: number[] = [];
    let most = 0;
    const work = async () => {
      while (Date.now() < until) {
        try {
          all.push(await this.#ask("burst", { path: `/?ms=${burstHandlerMs}`, agent }));
        } catch (error) {
          const { message } = error as Error;
          failures.set(message, (failures.get(message) ?? 0) + 1);
        }
      }
    };
    const watching = (async () => {
      while (Date.now() < until) {
        most = Math.max(most, (await this.#client.list<Pod>(pods)).items.length);
        await sleep(250);
      }
    })();
    await Promise.all([...Array.from({ length: burstRequests }, work), watching]);
    agent.destroy();
    await this.#remove(["burst"]);
    const needed = Math.ceil(burstRequests / 70);
    const lost = [...failures.values()].reduce((sum, count) => sum + count, 0);
    const why = [...failures].map(([message, count]) => ` (${count} × ${message})`).join("");
    return [
      {
        what: `burst from 0 to ${burstRequests} at once, ${burstHandlerMs} ms each`,
        measured: `${all.length} answered, ${lost} lost${why}; p50 ${ms(quantile(all, 0.5))}, p99 ${ms(quantile(all, 0.99))}`,
        goal: "none lost",
      },
      { what: "burst: replicas at most, needed by the algorithm", measured: `${most}, ${needed}`, goal: "" },
    ];
  }

  /** What it costs to have many that nobody asks. */
  async many(): Promise<readonly Row[]> {
    await sleep(asleepMs);
    const before = this.#memory();
    const startedMs = performance.now();
    const names = Array.from({ length: many }, (_, index) => `many-${index}`);
    await this.#deploy(names, "isolate");
    const tookMs = performance.now() - startedMs;
    await sleep(asleepMs);
    const after = this.#memory();
    const cpuBefore = this.#cpu();
    await sleep(10_000);
    const cpuAfter = this.#cpu();
    const idle = Object.keys(cpuAfter).reduce((sum, role) => sum + (cpuAfter[role] ?? 0) - (cpuBefore[role] ?? 0), 0);
    const grown = (role: string) => (after[role] ?? 0) - (before[role] ?? 0);
    const total = grown("control-plane") + grown("node");
    return [
      {
        what: `${many} Services at zero: memory (PSS) beyond none, control plane; node`,
        measured: `${total.toFixed(1)} MB (${grown("control-plane").toFixed(1)}; ${grown("node").toFixed(1)})`,
        goal: "≤ 50 MB",
      },
      { what: `${many} Services: created and ready`, measured: `${(tookMs / 1000).toFixed(1)} s`, goal: "" },
      {
        what: `${many} Services at zero: CPU at rest`,
        measured: `${(idle / 100).toFixed(2)} % of a core`,
        goal: "≤ 1 %",
      },
      { what: `one of ${many} at zero → answer`, measured: ms(await this.#ask(`many-${many >> 1}`)), goal: "" },
    ];
  }

  /** Milliseconds that each process has run. */
  #cpu(): Record<string, number> {
    return Object.fromEntries(Object.entries(this.#processes).map(([role, pid]) => [role, ticksOf(pid) * 10]));
  }

  /** MB. */
  #memory(): Record<string, number> {
    return Object.fromEntries(Object.entries(this.#processes).map(([role, pid]) => [role, pssOf(pid)]));
  }
}

/** What a hop costs at least on Node's sockets, at just this load. */
async function startBytesOnly(host: string, port: number): Promise<{ port: number; pid: number; stop: () => void }> {
  const child = fork(join(import.meta.dirname, "proxy/bytes-only.ts"), [String(port), host]);
  const [said] = (await once(child, "message")) as [{ readonly port: number }];
  return { port: said.port, pid: child.pid ?? 0, stop: () => child.disconnect() };
}

/** The load, and the CPU time of a process for each request of it. */
async function loadWithCost(pid: number, run: () => Promise<Load>): Promise<Load> {
  const before = ticksOf(pid);
  const seen = await run();
  return { ...seen, cpuUs: ((ticksOf(pid) - before) * 10_000) / seen.requests };
}

function clientOf({ dataFolder, apiServer }: ClusterStatus): Client {
  const read = (file: string) => readFileSync(join(dataFolder, "pki", file), "utf8");
  const clientCertificate = { certificate: read("admin.crt"), key: read("admin.key") };
  return createClient(
    createHttpTransport({ server: apiServer, ca: read("ca.crt"), clientCertificate, userAgent: "bench" }),
  );
}

function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

function pssOf(pid: number): number {
  const line = /^Pss: *(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
  return Number(line?.[1] ?? 0) / 1024;
}

function ms(value: number): string {
  return `${value.toFixed(value < 20 ? 1 : 0)} ms`;
}

if (!existsSync(join(repository, "dist/nodeless.js"))) throw new Error("no bundle: run `npm run bundle` first");
const nodes = Number(optionOf("nodes") ?? 1);
const cluster = await startCluster("fnbench", { nodes, arguments: ["--serving"] });
try {
  const rows = await measure(cluster);
  if (isJson) console.log(JSON.stringify(rows, null, 2));
  else console.table(rows);
} finally {
  await cluster.remove();
}

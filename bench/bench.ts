/**
 * The bundle's `nodeless` as a user meets it: the marks of time-to-k8s, first container, pods one after another and at once, what a minute of rest costs, beside the design's goals. A cluster
 * of its own, removed afterwards. Then the parts that fill the rest of the table: api, isolates, watches. Run: `npm run bench [-- --json]` (root, after `npm run bundle`). `npm run bench --
 * cluster` is the first alone, `npm run bench -- store` runs bench/store.ts, and so on for each file here.
 */
import { spawn, spawnSync } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pod, Service } from "#api/generated/types/core-v1.ts";
import type { ClusterStatus } from "#cli/machine.ts";
import type { Client } from "#client/client.ts";
import { createHttpTransport } from "#client/http-transport.ts";
import { createClient } from "#client/rest-client.ts";
import { ensureLayout } from "../tools/image-builder/build.ts";

type Row = { readonly what: string; readonly measured: string; readonly goal: string };

const repository = resolve(import.meta.dirname, "..");
function runPart(name: string): void {
  const file = join(import.meta.dirname, `${name}.ts`);
  if (!existsSync(file)) throw new Error(`there is no bench "${name}" in ${import.meta.dirname}`);
  const named = process.argv.indexOf(name, 2);
  const rest = named < 0 ? [] : process.argv.slice(named + 1);
  process.exitCode = spawnSync(process.execPath, [file, ...rest], { stdio: "inherit" }).status ?? 1;
}

/** What stands in the design's table beside a cluster's own rows. */
const parts = ["api", "isolates", "watches"];

async function runEverything(): Promise<void> {
  const rows = await runCluster();
  if (!process.argv.includes("--json")) {
    console.table(rows);
    for (const part of parts) {
      console.log(`\n${part}`);
      runPart(part);
    }
    return;
  }
  const others = Object.fromEntries(parts.map((part) => [part, jsonOf(part)]));
  console.log(JSON.stringify({ cluster: rows, ...others }, null, 2));
}

/** What a part says: its JSON, or its lines where it has none. */
function jsonOf(part: string): unknown {
  const file = join(import.meta.dirname, `${part}.ts`);
  const { stdout } = spawnSync(process.execPath, [file, "--json"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 26,
  });
  try {
    return JSON.parse(stdout);
  } catch {
    return stdout.split("\n").filter(Boolean);
  }
}

async function runCluster(): Promise<readonly Row[]> {
  if (!existsSync(join(repository, "dist/nodeless.js"))) throw new Error("no bundle: run `npm run bundle` first");
  const folder = mkdtempSync(join(tmpdir(), "nodeless-bench-"));
  const house = new House(folder);
  try {
    return await measure(house);
  } finally {
    await house.nodeless("delete", "--name", "bench").catch((error: unknown) => console.error(error));
    for (const root of [folder, house.runRoot]) rmSync(root, { recursive: true, force: true });
  }
}

/** A bench cluster's folders, and the command on it. */
class House {
  readonly runRoot = `/run/nodeless-bench-${process.pid}`;
  // Another bench may run beside this one, and its /readyz would be taken for ours.
  readonly port: number = 20_000 + (process.pid % 10_000);
  readonly #environment: NodeJS.ProcessEnv;

  constructor(folder: string) {
    this.#environment = {
      ...process.env,
      NODELESS_DATA_ROOT: join(folder, "data"),
      NODELESS_RUN_ROOT: this.runRoot,
      KUBECONFIG: join(folder, "kubeconfig"),
    };
  }

  async nodeless(...args: readonly string[]): Promise<string> {
    const child = spawn(join(repository, "bin/nodeless"), args, { env: this.#environment });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.stderr.on("data", (chunk) => (text += chunk));
    const code = await new Promise((done, fail) => child.on("error", fail).on("close", done));
    if (code !== 0) throw new Error(`nodeless ${args.join(" ")} ended with ${code}: ${text}`);
    return text;
  }

  /** Milliseconds until /readyz says ok; `meanwhile` runs from then on, before `up` has returned, and `onReturn` when it has. */
  async up(meanwhile: () => Promise<void> = async () => {}, onReturn: () => void = () => {}): Promise<number> {
    const startedMs = performance.now();
    const up = this.nodeless("up", "--name", "bench", "--api-port", String(this.port)).then(onReturn);
    up.catch(() => {}); // awaited below
    while (!(await this.#isReady())) {
      if (performance.now() - startedMs > 60_000) throw new Error("/readyz was not ok within 60 s");
      await sleep(5);
    }
    const tookMs = performance.now() - startedMs;
    await meanwhile();
    await up;
    return tookMs;
  }

  async status(): Promise<ClusterStatus> {
    return JSON.parse(await this.nodeless("status", "--name", "bench", "-o", "json")) as ClusterStatus;
  }

  /** A client with the administrator's certificate. It starts no command: that would be measured too. */
  client(): Client {
    const dataFolder = join(this.#environment["NODELESS_DATA_ROOT"] ?? "", "clusters/bench");
    const read = (file: string) => readFileSync(join(dataFolder, "pki", file), "utf8");
    const clientCertificate = { certificate: read("admin.crt"), key: read("admin.key") };
    const server = `https://127.0.0.1:${this.port}`;
    return createClient(createHttpTransport({ server, ca: read("ca.crt"), clientCertificate, userAgent: "bench" }));
  }

  // Only asks whether it is there, on loopback: the cluster's CA may not exist yet.
  #isReady(): Promise<boolean> {
    return new Promise((done) => {
      const options = { host: "127.0.0.1", port: this.port, path: "/readyz", rejectUnauthorized: false, agent: false };
      request(options, (answer) => void answer.resume().on("end", () => done(answer.statusCode === 200)))
        .on("error", () => done(false))
        .end();
    });
  }
}

async function measure(house: House): Promise<readonly Row[]> {
  await house.nodeless("image", "load", await ensureLayout("busybox"));
  const fresh: number[] = [];
  for (let i = 0; i < 5; i++) {
    if (i > 0) await house.nodeless("delete", "--name", "bench");
    fresh.push(await house.up());
  }
  const existing: number[] = [];
  for (let i = 0; i < 5; i++) {
    await house.nodeless("down", "--name", "bench");
    existing.push(await house.up());
  }
  await sleep(60_000);
  const idle = await idleCost(await clusterPids(house));
  await house.nodeless("delete", "--name", "bench");
  await house.nodeless("image", "load", await ensureLayout("busybox"));
  const marks = await timeToKubernetes(house);
  const client = house.client();
  const oneByOne: number[] = [];
  for (let i = 0; i < 30; i++) oneByOne.push(await podsReady(client, [`one-${i}`], "Ready"));
  await client.deleteCollection(pods, {}, { gracePeriodSeconds: 0 });
  await sleep(5000);
  const names = Array.from({ length: 30 }, (_, i) => `burst-${i}`);
  const lastMs = await podsReady(client, names, "Ready");
  return [
    { what: "up → /readyz, new cluster, median of 5", measured: ms(quantile(fresh, 0.5)), goal: "≤ 800 ms" },
    { what: "up → /readyz, existing, median of 5", measured: ms(quantile(existing, 0.5)), goal: "≤ 500 ms" },
    { what: "new cluster: `up` returns", measured: ms(marks.returnsMs), goal: "" },
    { what: "  API ready", measured: ms(marks.apiMs), goal: "≤ 800 ms" },
    { what: "  Service kubernetes", measured: ms(marks.serviceMs), goal: "" },
    { what: "  Service of DNS", measured: ms(marks.dnsServiceMs), goal: "" },
    { what: "  first container Running", measured: ms(marks.runningMs), goal: "≤ 1200 ms" },
    { what: "  DNS answers", measured: ms(marks.dnsMs), goal: "" },
    { what: "pod created → Ready, one by one, p50", measured: ms(quantile(oneByOne, 0.5)), goal: "≤ 100 ms" },
    { what: "pod created → Ready, one by one, p99", measured: ms(quantile(oneByOne, 0.99)), goal: "≤ 250 ms" },
    { what: "30 pods at once: rate", measured: `${(30_000 / lastMs).toFixed(1)}/s`, goal: "≥ 20/s" },
    { what: "30 pods at once: last Ready", measured: ms(lastMs), goal: "≤ 1500 ms" },
    { what: "idle memory, PSS, 60 s after ready", measured: `${idle.pssMb.toFixed(0)} MB`, goal: "≤ 200 MB" },
    { what: "idle CPU over a minute", measured: `${idle.cpuPercent.toFixed(1)} %`, goal: "≤ 1 %" },
    { what: "idle disk syncs over a minute", measured: idle.syncs, goal: "≤ 1/s" },
  ];
}

/** The marks of time-to-k8s, in milliseconds from the command on; those behind the API run beside each other. */
async function timeToKubernetes(house: House): Promise<Readonly<Record<`${string}Ms`, number>>> {
  const startedMs = performance.now();
  const marks: Record<`${string}Ms`, number> = {};
  const mark = (name: `${string}Ms`) => (marks[name] = performance.now() - startedMs);
  const service = async (client: Client, namespace: string, name: string): Promise<string> => {
    const resource = { group: "", version: "v1", resource: "services" };
    for (; ; await sleep(5)) {
      const found = await client.get<Service>({ resource, namespace, name }).catch(() => undefined);
      if (found !== undefined) return found.spec?.clusterIP ?? "";
    }
  };
  const dns = async (client: Client): Promise<void> => {
    const server = await service(client, "kube-system", "kube-dns");
    mark("dnsServiceMs");
    const resolver = new Resolver({ timeout: 200, tries: 1 });
    resolver.setServers([server]);
    while ((await resolver.resolve4("kubernetes.default.svc.cluster.local").catch(() => [])).length === 0)
      await sleep(5);
    mark("dnsMs");
  };
  marks["apiMs"] = await house.up(
    async () => {
      const client = house.client(); // one for all: each has a connection of its own, which costs the server
      await Promise.all([
        podsReady(client, ["first"], "Running").then(() => mark("runningMs")),
        service(client, "default", "kubernetes").then(() => mark("serviceMs")),
        dns(client),
      ]);
    },
    () => mark("returnsMs"),
  );
  return marks;
}

const pods = { resource: { group: "", version: "v1", resource: "pods" }, namespace: "default" };

/** Creates the pods and gives the milliseconds until the last of them is Running or Ready, as a watch tells. */
async function podsReady(client: Client, names: readonly string[], state: "Running" | "Ready"): Promise<number> {
  const abort = AbortSignal.timeout(60_000);
  const { metadata } = await client.list<Pod>(pods);
  const events = await client.watch<Pod>(pods, { resourceVersion: metadata?.resourceVersion ?? "0", signal: abort });
  const missing = new Set(names);
  const startedMs = performance.now();
  const created = Promise.all(names.map((name) => client.create<Pod>(pods, podNamed(name))));
  created.catch(() => {}); // awaited below
  for await (const event of events) {
    const { metadata: meta, status } = event.object as Pod;
    const isThere =
      state === "Running"
        ? status?.phase === "Running"
        : status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True");
    if (isThere === true) missing.delete(meta?.name ?? "");
    if (missing.size === 0) break;
  }
  const tookMs = performance.now() - startedMs;
  await created;
  if (missing.size > 0) throw new Error(`not ${state} within 60 s: ${[...missing].join(", ")}`);
  return tookMs;
}

function podNamed(name: string): Pod {
  const image = "docker.io/library/busybox:latest";
  const container = { name: "main", image, imagePullPolicy: "IfNotPresent", command: ["sleep", "3600"] };
  const spec = { terminationGracePeriodSeconds: 0, containers: [container] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default" }, spec } as Pod;
}

/** The cluster's processes and all that descend from them or name its folders, conmon included. */
async function clusterPids(house: House): Promise<readonly number[]> {
  const found = new Set((await house.status()).processes.map(({ pid }) => Number(pid)));
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const commandLine = read(`/proc/${pid}/cmdline`);
    if (Number(pid) !== process.pid && commandLine.includes(house.runRoot)) found.add(Number(pid));
    if (found.has(Number(/^PPid:\s*(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1]))) found.add(Number(pid));
  }
  return [...found];
}

type IdleCost = { readonly pssMb: number; readonly cpuPercent: number; readonly syncs: string };

async function idleCost(pids: readonly number[]): Promise<IdleCost> {
  const before = cpuTicks(pids);
  await sleep(60_000);
  // 100 ticks a second, over 60 s: 6,000 ticks are a whole core.
  const cpuPercent = (cpuTicks(pids) - before) / 60;
  const kilobytes = pids.map((pid) => Number(/^Pss:\s*(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0));
  return { pssMb: kilobytes.reduce((sum, it) => sum + it, 0) / 1024, cpuPercent, syncs: countSyncs(pids) };
}

/** In a minute of its own: being traced costs CPU. */
function countSyncs(pids: readonly number[]): string {
  const calls = "fsync,fdatasync,sync,syncfs,msync,sync_file_range";
  const traced = pids.flatMap((pid) => ["-p", String(pid)]);
  const { stderr, error } = spawnSync("timeout", ["60", "strace", "-f", "-qq", "-e", `trace=${calls}`, ...traced], {
    encoding: "utf8",
  });
  if (error !== undefined || stderr.includes("failed to run")) return "not counted: strace is missing";
  const count = stderr.split("\n").filter((line) => /\b\w*sync\w*\(/.test(line)).length;
  return `${(count / 60).toFixed(2)}/s`;
}

function cpuTicks(pids: readonly number[]): number {
  const ticks = pids.map((pid) => read(`/proc/${pid}/stat`).split(") ")[1]?.split(" ") ?? []);
  return ticks.reduce((sum, fields) => sum + Number(fields[11] ?? 0) + Number(fields[12] ?? 0), 0);
}

// A process may be gone between listing and reading.
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function ms(value: number = Number.NaN): string {
  return `${value.toFixed(0)} ms`;
}

const [part] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
if (part === undefined) await runEverything();
else if (part === "cluster") console.table(await runCluster());
else runPart(part);

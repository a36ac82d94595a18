/**
 * Isolates through the whole Kubernetes path: created → Ready one after another (beside containers in the same run) and 30 at once, requests, memory and CPU a pod.
 * A cluster of its own, removed afterwards. Run: `npm run bench -- isolates [--json]` (root, after `npm run bundle`).
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { ClusterStatus } from "#cli/machine.ts";
import type { Client } from "#client/client.ts";
import { createHttpTransport } from "#client/http-transport.ts";
import { createClient } from "#client/rest-client.ts";
import { repository, startCluster, type TestCluster } from "../test/support/cluster.ts";
import { ensureLayout } from "../tools/image-builder/build.ts";

type Row = { readonly what: string; readonly measured: string; readonly goal: string };

const podsIn = (namespace: string) => ({ resource: { group: "", version: "v1", resource: "pods" }, namespace });
const pods = podsIn("default");
const packedNamespace = "packed";
const oneByOne = 40;
const atOnce = 30;
const requests = 3000;
/** Long enough for the next process to be started ahead. */
const pauseMs = 700;

if (!existsSync(join(repository, "dist/nodeless.js"))) throw new Error("no bundle: run `npm run bundle` first");
const cluster = await startCluster("isobench");
const folder = mkdtempSync(join(tmpdir(), "isobench-"));
try {
  const rows = await measure(cluster, folder);
  if (process.argv.includes("--json")) console.log(JSON.stringify(rows, null, 2));
  else console.table(rows);
} finally {
  await cluster.remove();
  rmSync(folder, { recursive: true, force: true });
}

async function measure(made: TestCluster, bundle: string): Promise<readonly Row[]> {
  const status = JSON.parse(
    (await made.nodeless(["status", "--name", made.name, "-o", "json"])).stdout,
  ) as ClusterStatus;
  const client = clientOf(status);
  const source = `export default { fetch: (request, env) => new Response("hello " + env.NAME) }`;
  writeFileSync(join(bundle, "index.js"), source);
  await made.nodeless(["image", "load", bundle, "--tag", "isobench"]);
  await made.nodeless(["image", "load", await ensureLayout("busybox")]);

  const firstMs = await podsReady(client, ["first"], isolate);
  await sleep(3000);
  const ours = status.processes.map(({ pid }) => Number(pid));
  const ticksBefore = ticksOf(ours);
  const isolates = await startOneByOne(client, "isolate", isolate);
  const ticks = ticksOf(ours) - ticksBefore;
  const containers = await startOneByOne(client, "container", container);
  await sleep(2000);
  const names = Array.from({ length: atOnce }, (_, index) => `burst-${index}`);
  const lastMs = await podsReady(client, names, isolate);
  await sleep(3000);
  const engines = enginesOf(status.name, "isolate");
  await client.create(
    { resource: { group: "", version: "v1", resource: "namespaces" } },
    { metadata: { name: packedNamespace, labels: { "nodeless.dev/isolates": "packed" } } },
  );
  await podsReady(client, ["first"], packed);
  await sleep(3000);
  const packedMs = await startOneByOne(client, "packed", packed);
  const lastPackedMs = await podsReady(client, names, packed);
  await sleep(3000);
  const packs = enginesOf(status.name, "pack").map((pid) => memoryOf(pid, /^Private_\w+/));
  const load = await requestsTo((await client.get<Pod>({ ...pods, name: "burst-0" })).status?.podIP ?? "");
  return [
    { what: "the first isolate of a node: created → Ready", measured: ms(firstMs), goal: "" },
    { what: "isolate created → Ready, one by one, p50", measured: ms(quantile(isolates, 0.5)), goal: "≤ 15 ms" },
    { what: "isolate created → Ready, one by one, p99", measured: ms(quantile(isolates, 0.99)), goal: "≤ 60 ms" },
    { what: "the same with containers, p50", measured: ms(quantile(containers, 0.5)), goal: "≤ 100 ms" },
    { what: `${atOnce} isolates at once: rate`, measured: `${((atOnce * 1000) / lastMs).toFixed(1)}/s`, goal: "" },
    { what: `${atOnce} isolates at once: last Ready`, measured: ms(lastMs), goal: "" },
    {
      what: "CPU of nodeless for a start, an end and a process made ahead",
      measured: ms((ticks * 10) / oneByOne),
      goal: "",
    },
    {
      what: `memory of a pod: private, of ${engines.length} processes`,
      measured: `${average(engines.map((pid) => memoryOf(pid, /^Private_\w+/))).toFixed(1)} MB`,
      goal: "",
    },
    { what: "packed isolate created → Ready, one by one, p50", measured: ms(quantile(packedMs, 0.5)), goal: "" },
    { what: `${atOnce} packed isolates at once: last Ready`, measured: ms(lastPackedMs), goal: "" },
    {
      what: `memory of a packed pod: private, of ${atOnce + 1} in ${packs.length} processes, the one that waits included`,
      measured: `${(packs.reduce((sum, it) => sum + it, 0) / (atOnce + 1)).toFixed(1)} MB`,
      goal: "",
    },
    {
      what: "memory of a pod: its share of all (PSS)",
      measured: `${average(engines.map((pid) => memoryOf(pid, /^Pss$/))).toFixed(1)} MB`,
      goal: "9.4 MB",
    },
    { what: "requests to one isolate, 16 connections", measured: `${load.rate.toFixed(0)}/s`, goal: "" },
    { what: "requests to one isolate: CPU of its process", measured: `${load.cpuUs.toFixed(0)} µs`, goal: "" },
  ];
}

async function startOneByOne(client: Client, prefix: string, make: (name: string) => Pod): Promise<number[]> {
  const all: number[] = [];
  for (let index = 0; index < oneByOne; index++) {
    const name = `${prefix}-${index}`;
    all.push(await podsReady(client, [name], make));
    await sleep(pauseMs / 2);
    await client.delete({ ...podsIn(make(name).metadata?.namespace ?? ""), name }, { gracePeriodSeconds: 0 });
    await sleep(pauseMs / 2);
  }
  return all;
}

/** Creates the pods and gives the milliseconds until the last of them is Ready, as a watch tells. */
async function podsReady(client: Client, names: readonly string[], make: (name: string) => Pod): Promise<number> {
  const abort = AbortSignal.timeout(60_000);
  const all = podsIn(make("").metadata?.namespace ?? "");
  const { metadata } = await client.list<Pod>(all);
  const events = await client.watch<Pod>(all, { resourceVersion: metadata?.resourceVersion ?? "0", signal: abort });
  const missing = new Set(names);
  const startedMs = performance.now();
  const created = Promise.all(names.map((name) => client.create<Pod>(all, make(name))));
  created.catch(() => {}); // awaited below
  for await (const event of events) {
    const { metadata: meta, status } = event.object as Pod;
    if (status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True"))
      missing.delete(meta?.name ?? "");
    if (missing.size === 0) break;
  }
  const tookMs = performance.now() - startedMs;
  await created;
  if (missing.size > 0) throw new Error(`not Ready within 60 s: ${[...missing].join(", ")}`);
  return tookMs;
}

function isolate(name: string): Pod {
  const env = [{ name: "NAME", value: name }];
  return podOf(name, { runtimeClassName: "isolate" }, { image: "isobench", env });
}

function packed(name: string): Pod {
  const pod = isolate(name);
  return { ...pod, metadata: { ...pod.metadata, namespace: packedNamespace } };
}

function container(name: string): Pod {
  return podOf(name, {}, { image: "busybox", command: ["sleep", "3600"] });
}

function podOf(name: string, spec: Partial<Pod["spec"]>, main: Readonly<Record<string, unknown>>): Pod {
  const containers = [{ name: "main", imagePullPolicy: "IfNotPresent", ...main }];
  const metadata = { name, namespace: "default" };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { terminationGracePeriodSeconds: 0, containers, ...spec } };
}

/** Requests over kept connections, and what each costs the process at the other end. */
async function requestsTo(host: string): Promise<{ readonly rate: number; readonly cpuUs: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const call = request({ agent, host, port: 8080 }, (answer) => void answer.resume().on("end", () => resolve()));
      call.on("error", reject).end();
    });
  const run = async (count: number) => {
    let left = count;
    const worker = async () => {
      while (left-- > 0) await one();
    };
    await Promise.all(Array.from({ length: 16 }, worker));
  };
  await run(requests / 3);
  const engine = enginesOf("isobench", "isolate");
  const before = new Map(engine.map((pid) => [pid, ranNs(pid)]));
  const begunMs = performance.now();
  await run(requests);
  const tookMs = performance.now() - begunMs;
  agent.destroy();
  const used = Math.max(...engine.map((pid) => ranNs(pid) - (before.get(pid) ?? 0)));
  return { rate: (requests * 1000) / tookMs, cpuUs: used / 1000 / requests };
}

function clientOf({ dataFolder, apiServer }: ClusterStatus): Client {
  const read = (file: string) => readFileSync(join(dataFolder, "pki", file), "utf8");
  const clientCertificate = { certificate: read("admin.crt"), key: read("admin.key") };
  return createClient(
    createHttpTransport({ server: apiServer, ca: read("ca.crt"), clientCertificate, userAgent: "bench" }),
  );
}

/** Processes of workerd in the control groups of the cluster's node. */
function enginesOf(node: string, kind: "isolate" | "pack"): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(
      (pid) => read(pid, "cmdline").startsWith("/workerd\0") && read(pid, "cgroup").includes(`/${node}/${kind}-`),
    );
}

function memoryOf(pid: number, fields: RegExp): number {
  const lines = read(pid, "smaps_rollup").split("\n");
  const wanted = lines.filter((line) => fields.test(line.split(":")[0] ?? ""));
  return wanted.reduce((sum, line) => sum + Number(/\d+/.exec(line.split(":")[1] ?? "")?.[0] ?? 0), 0) / 1024;
}

function ticksOf(pids: readonly number[]): number {
  const fields = pids.map((pid) => read(pid, "stat").split(") ")[1]?.split(" ") ?? []);
  return fields.reduce((sum, it) => sum + Number(it[11] ?? 0) + Number(it[12] ?? 0), 0);
}

/** Of the main thread, in nanoseconds. */
function ranNs(pid: number): number {
  return Number(read(pid, "schedstat").split(" ")[0] ?? 0);
}

// A process may be gone between listing and reading.
function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

function average(values: readonly number[]): number {
  return values.reduce((sum, it) => sum + it, 0) / values.length;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function ms(value: number): string {
  return `${value.toFixed(value < 20 ? 1 : 0)} ms`;
}

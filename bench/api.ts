/**
 * The API rows of the design's table: the same load on our API server, on kube-apiserver with etcd where they can be had, and on an empty HTTP/2 server as the physical limit.
 * `npm run bench -- api [--ours] [--json] [--only=create,get] [--profile=FOLDER]`. Throughput is noisy on a busy machine; the servers' CPU time for each operation is not.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { applied, configMap, pod } from "./api/bodies.ts";
import type { Access } from "./api/http2-client.ts";
import type { Phase, PhaseResult } from "./api/load-worker.ts";
import { findPeerBinaries } from "./api/peer-binaries.ts";
import { cpuMicros, memoryOf } from "./api/process-cost.ts";
import { startEmpty, startOurs, startUpstream, type Target } from "./api/targets.ts";

/** `goal` compares with upstream's throughput; `goalP99Ms` is ours alone. */
type Step = Phase & { readonly name: string; readonly goal?: number; readonly goalP99Ms?: number };

type Figure = PhaseResult & { readonly serverCpuMicros: number };

const configMaps = "/api/v1/namespaces/default/configmaps";
const pods = "/api/v1/namespaces/default/pods";
/** Until memory afterwards is read. */
const SETTLE_MS = 65_000;
const PROTOBUF = "application/vnd.kubernetes.protobuf";
const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io";
const MERGE = "application/merge-patch+json";
const APPLY = "application/apply-patch+yaml";

function objectSteps(clients: number): readonly Step[] {
  const total = clients === 1 ? 1000 : 10_000;
  const object = `${configMaps}/c${clients}-$N`;
  const many = { clients, total };
  const durable = clients === 1 ? {} : { goal: 4, goalP99Ms: 50 };
  const body = configMap(`c${clients}-$N`);
  return [
    { name: "create", method: "POST", path: configMaps, body, ...many, ...durable },
    {
      name: "get",
      method: "GET",
      path: object,
      clients,
      total: total * 2,
      distinct: total,
      ...(clients > 1 && { goal: 4 }),
    },
    {
      name: "merge patch",
      method: "PATCH",
      path: object,
      type: MERGE,
      body: '{"data":{"c":"$N"}}',
      ...many,
      ...durable,
    },
    {
      name: "server-side apply",
      method: "PATCH",
      path: `${configMaps}/a${clients}-$N?fieldManager=bench&force=true`,
      type: APPLY,
      body: applied(`a${clients}-$N`),
      ...many,
      ...(clients > 1 && { goal: 3 }),
    },
    { name: "delete", method: "DELETE", path: object, ...many, ...durable },
  ];
}

const listSteps: readonly Step[] = [
  { name: "create pod", method: "POST", path: pods, body: pod("p-$N"), clients: 64, total: 10_000, goal: 4 },
  ...["first", "again"].flatMap((which): readonly Step[] => {
    const once = { method: "GET", path: pods, clients: 1, total: which === "first" ? 1 : 3 };
    return [
      { name: `list 10,000 pods, JSON, ${which}`, ...once, goal: 10 },
      { name: `list 10,000 pods, protobuf, ${which}`, ...once, accept: PROTOBUF, goal: 5 },
      { name: `list 10,000 pods, Table, ${which}`, ...once, accept: TABLE, goal: 3 },
    ];
  }),
  {
    name: "list 10,000 pods, pages of 500",
    method: "GET",
    path: `${pods}?limit=500`,
    clients: 1,
    total: 20,
    isPaged: true,
    goal: 10,
  },
];

const { values: flags } = parseArgs({
  args: process.argv.slice(2),
  options: {
    ours: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    profile: { type: "string", default: "" },
  },
});
const only = flags.only.split(",").filter((name) => name !== "");
const steps = [...objectSteps(1), ...objectSteps(64), ...listSteps].filter(
  ({ name }) => only.length === 0 || only.some((part) => name.startsWith(part)),
);

/** The load's process. */
class Worker {
  readonly #child: ChildProcess = fork(join(import.meta.dirname, "api/load-worker.ts"));

  async ask(message: { readonly access?: Access; readonly phase?: Phase }): Promise<PhaseResult> {
    this.#child.send(message);
    const { result, error } = await nextMessage<{ readonly result: PhaseResult; readonly error?: string }>(this.#child);
    if (error !== undefined) throw new Error(error);
    return result;
  }

  stop(): void {
    this.#child.disconnect();
  }
}

async function measure(worker: Worker, target: Target, step: Step): Promise<Figure> {
  const { child } = target;
  const profile =
    flags.profile === "" || child === undefined ? undefined : join(resolve(flags.profile), fileName(step));
  if (profile !== undefined && child !== undefined) await tell(child, { profile: "start" });
  const before = cpuMicros(target.pids);
  const result = await worker.ask({ phase: step });
  const serverCpuMicros = (cpuMicros(target.pids) - before) / step.total;
  if (profile !== undefined && child !== undefined) await tell(child, { profile });
  if (!flags.json)
    console.log(`${target.name}: ${step.name}, ${clientsOf(step)}: ${shown(step, { ...result, serverCpuMicros })}`);
  return { ...result, serverCpuMicros };
}

function fileName({ name, clients }: Step): string {
  return `${name.replaceAll(/[^a-zA-Z0-9]+/g, "-")}-${clients}.cpuprofile`;
}

async function tell(child: ChildProcess, message: { readonly profile: string }): Promise<void> {
  child.send(message);
  await nextMessage(child);
}

function nextMessage<T>(child: ChildProcess): Promise<T> {
  return new Promise((done) => child.once("message", (message) => done(message as T)));
}

type Run = {
  readonly figures: ReadonlyMap<Step, Figure>;
  readonly atOnceMb: number;
  readonly rssMb: number;
  readonly pssMb: number;
};

async function runOn(worker: Worker, target: Target, what: readonly Step[]): Promise<Run> {
  try {
    await worker.ask({ access: target.access });
    if (target.name !== "empty http2 server") await prepareDefault(worker);
    const figures = new Map<Step, Figure>();
    for (const step of what) figures.set(step, await measure(worker, target, step));
    const atOnceMb = memoryOf(target.pids).rssMb;
    // Both give back what only the load needed, when it has ended.
    if (only.length === 0) await sleep(SETTLE_MS);
    const memory = memoryOf(target.pids);
    if (!flags.json)
      console.log(
        `${target.name}: afterwards ${atOnceMb.toFixed(0)} MB resident, later ${memory.rssMb.toFixed(0)}, ${memory.pssMb.toFixed(0)} MB PSS`,
      );
    return { figures, atOnceMb, ...memory };
  } finally {
    await target.stop();
  }
}

// Pods need it, and no controller is here to make it.
async function prepareDefault(worker: Worker): Promise<void> {
  const body = '{"metadata":{"name":"default"}}';
  const path = "/api/v1/namespaces/default/serviceaccounts";
  await worker.ask({ phase: { method: "POST", path, body, clients: 1, total: 1 } });
}

function clientsOf({ clients }: Phase): string {
  return clients === 1 ? "1 client" : `${clients} clients`;
}

function shown(step: Step, { perSecond, p50Ms, p99Ms, serverCpuMicros, clientCpuMicros, bytes }: Figure): string {
  const cpu = `server ${serverCpuMicros.toFixed(0)} µs CPU, client ${clientCpuMicros.toFixed(0)} µs`;
  if (step.total < 10) return `${p50Ms.toFixed(0)} ms, ${(bytes / 1e6).toFixed(1)} MB, ${cpu}`;
  return `${perSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms, ${cpu}`;
}

/** One line of the result. */
type Row = {
  readonly what: string;
  readonly clients: number;
  readonly ours: Figure;
  readonly upstream?: Figure;
  /** Our throughput to upstream's, and upstream's server CPU to ours. */
  readonly ratio?: number;
  readonly cpuRatio?: number;
  readonly goal?: number;
  readonly goalP99Ms?: number;
};

function rowOf(step: Step, ours: Figure, upstream: Figure | undefined): Row {
  const { name, clients, goal, goalP99Ms } = step;
  return {
    what: name,
    clients,
    ours,
    ...(upstream && {
      upstream,
      ratio: upstream.p50Ms / ours.p50Ms,
      cpuRatio: upstream.serverCpuMicros / ours.serverCpuMicros,
    }),
    ...(upstream && step.total >= 1000 && { ratio: ours.perSecond / upstream.perSecond }),
    ...(goal === undefined ? {} : { goal }),
    ...(goalP99Ms === undefined ? {} : { goalP99Ms }),
  };
}

function tableRow({
  what,
  clients,
  ours,
  upstream,
  ratio,
  cpuRatio,
  goal,
  goalP99Ms,
}: Row): Readonly<Record<string, string>> {
  const speed = (it: Figure | undefined) =>
    it === undefined ? "" : it.perSecond < 20 ? `${it.p50Ms.toFixed(0)} ms` : `${it.perSecond.toFixed(0)}/s`;
  const times = (value: number | undefined) => (value === undefined ? "" : `${value.toFixed(1)}×`);
  return {
    what: `${what}, ${clients}`,
    ours: speed(ours),
    "p99 ms": ours.p99Ms.toFixed(1) + (goalP99Ms === undefined ? "" : ` (≤ ${goalP99Ms})`),
    "server µs": ours.serverCpuMicros.toFixed(0),
    upstream: speed(upstream),
    "its p99 ms": upstream?.p99Ms.toFixed(1) ?? "",
    "its µs": upstream?.serverCpuMicros.toFixed(0) ?? "",
    ratio: times(ratio) + (goal === undefined ? "" : ` (≥ ${goal})`),
    "CPU ratio": times(cpuRatio),
    "client µs": ours.clientCpuMicros.toFixed(0),
  };
}

const folder = mkdtempSync(join(tmpdir(), "nodeless-bench-"));
if (flags.profile !== "") mkdirSync(flags.profile, { recursive: true });
const worker = new Worker();
try {
  const inFolder = (name: string): string => {
    mkdirSync(join(folder, name));
    return join(folder, name);
  };
  const gets = steps.filter(({ name }) => name === "get");
  const empty = flags.ours ? undefined : await runOn(worker, await startEmpty(inFolder("empty")), gets);
  const ours = await runOn(worker, await startOurs(inFolder("ours")), steps);
  const binaries = flags.ours ? undefined : findPeerBinaries();
  const upstream = binaries && (await runOn(worker, await startUpstream(inFolder("upstream"), binaries), steps));
  const rows = steps.map((step) => rowOf(step, ours.figures.get(step) as Figure, upstream?.figures.get(step)));
  const limits = gets.flatMap((step) => empty?.figures.get(step) ?? []);
  const memory = {
    ours: { atOnceMb: ours.atOnceMb, rssMb: ours.rssMb, pssMb: ours.pssMb },
    ...(upstream && { upstream: { atOnceMb: upstream.atOnceMb, rssMb: upstream.rssMb, pssMb: upstream.pssMb } }),
    goalMb: 350,
  };
  if (flags.json) console.log(JSON.stringify({ rows, emptyServerGets: limits, memory }, null, 2));
  else {
    console.table(rows.map(tableRow));
    for (const [index, limit] of limits.entries())
      console.log(`empty HTTP/2 server, ${clientsOf(gets[index] as Step)}: ${shown(gets[index] as Step, limit)}`);
    console.log(
      `memory afterwards: ${ours.rssMb.toFixed(0)} MB, ${ours.pssMb.toFixed(0)} MB PSS (≤ 350)${upstream ? `; upstream ${upstream.rssMb.toFixed(0)} MB` : ""}`,
    );
  }
} finally {
  worker.stop();
  rmSync(folder, { recursive: true, force: true });
}

/**
 * What node and pods use, as stats/v1alpha1 Summary and as Prometheus text (/metrics/resource). Names as pkg/kubelet/{apis/stats,metrics/collectors}.
 */
import { readFile, statfs } from "node:fs/promises";
import type { ContainerUsage, PodUsage } from "#kubelet/provider.ts";
import { family } from "./metric-text.ts";

/** One reading. CPU counts nanoseconds since the machine's start. */
export type NodeStatistics = {
  readonly startTimeMs: number;
  readonly cpuUsageNanoseconds: number;
  readonly memoryUsageBytes: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryAvailableBytes: number;
  readonly pods: readonly PodUsage[];
  /** The file system that pods write to; undefined where it cannot be read. */
  readonly disk?:
    | {
        readonly capacityBytes: number;
        readonly availableBytes: number;
        readonly usedBytes: number;
        readonly inodes: number;
        readonly inodesFree: number;
      }
    | undefined;
  /** CPU in use just now, by "" for the node and "uid/container"; from the reading before. */
  readonly nanoCores: ReadonlyMap<string, number>;
};

/** What a node uses that shares its machine with others. CPU counts up. */
export type NodeUsage = Pick<NodeStatistics, "cpuUsageNanoseconds" | "memoryUsageBytes" | "memoryWorkingSetBytes">;

/** Reads the machine's figures; `pods` are asked by the caller. */
export class StatisticsReader {
  readonly #folder: string;
  readonly #ownUsage: () => NodeUsage | undefined;
  #last: { readonly atMs: number; readonly cpu: ReadonlyMap<string, number> } | undefined;

  /** `folder` lies on the disk that pods write to; `ownUsage` is what the node uses where it is not the whole machine. */
  constructor(folder: string, ownUsage: () => NodeUsage | undefined = () => undefined) {
    this.#folder = folder;
    this.#ownUsage = ownUsage;
  }

  async read(pods: readonly PodUsage[], nowMs: number): Promise<NodeStatistics> {
    const [stat, meminfo, disk] = await Promise.all([
      readFile("/proc/stat", "utf8").catch(() => ""),
      readFile("/proc/meminfo", "utf8").catch(() => ""),
      readDisk(this.#folder),
    ]);
    const memory = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
    const total = memory("MemTotal");
    const usage = this.#ownUsage() ?? {
      cpuUsageNanoseconds: busyNanoseconds(stat),
      memoryUsageBytes: total - memory("MemFree"),
      memoryWorkingSetBytes: total - memory("MemAvailable"),
    };
    const nanoCores = this.#rates(cpuByName(usage.cpuUsageNanoseconds, pods), nowMs);
    return {
      startTimeMs: Number(/^btime (\d+)/m.exec(stat)?.[1] ?? 0) * 1000,
      ...usage,
      memoryAvailableBytes: memory("MemAvailable"),
      pods,
      disk,
      nanoCores,
    };
  }

  #rates(cpu: ReadonlyMap<string, number>, nowMs: number): ReadonlyMap<string, number> {
    const last = this.#last;
    this.#last = { atMs: nowMs, cpu };
    if (!last || nowMs <= last.atMs) return new Map();
    const seconds = (nowMs - last.atMs) / 1000;
    const rates = [...cpu].flatMap(([name, value]): [string, number][] => {
      const before = last.cpu.get(name);
      return before === undefined || before > value ? [] : [[name, Math.round((value - before) / seconds)]];
    });
    return new Map(rates);
  }
}

/** The Summary API's answer. */
export function statsSummary(nodeName: string, statistics: NodeStatistics, nowMs: number): object {
  const time = isoTime(nowMs);
  const cpu = (name: string, total: number) => {
    const now = statistics.nanoCores.get(name);
    return { time, ...(now === undefined ? {} : { usageNanoCores: now }), usageCoreNanoSeconds: total };
  };
  return {
    node: {
      nodeName,
      startTime: isoTime(statistics.startTimeMs),
      cpu: cpu("", statistics.cpuUsageNanoseconds),
      memory: {
        time,
        availableBytes: statistics.memoryAvailableBytes,
        usageBytes: statistics.memoryUsageBytes,
        workingSetBytes: statistics.memoryWorkingSetBytes,
      },
      ...diskSummary(statistics, time),
    },
    pods: statistics.pods.map(({ ref, containers, network }) => ({
      podRef: { name: ref.name, namespace: ref.namespace, uid: ref.uid },
      startTime: isoTime(Math.min(...containers.map((it) => it.startTimeMs), nowMs)),
      containers: containers.map((it) => ({
        name: it.name,
        startTime: isoTime(it.startTimeMs),
        cpu: cpu(`${ref.uid}/${it.name}`, it.cpuUsageNanoseconds),
        memory: { time, usageBytes: it.memoryUsageBytes, workingSetBytes: it.memoryWorkingSetBytes },
      })),
      cpu: cpu(
        ref.uid,
        sum(containers, (it) => it.cpuUsageNanoseconds),
      ),
      // The first device is the pod's main one.
      ...(network?.[0] === undefined ? {} : { network: { time, ...network[0], interfaces: network } }),
      memory: {
        time,
        usageBytes: sum(containers, (it) => it.memoryUsageBytes),
        workingSetBytes: sum(containers, (it) => it.memoryWorkingSetBytes),
      },
    })),
  };
}

/** Pods and images lie on one file system here. */
function diskSummary({ disk }: NodeStatistics, time: string): object {
  if (!disk) return {};
  const { capacityBytes, availableBytes, usedBytes, inodes, inodesFree } = disk;
  const fs = { time, availableBytes, capacityBytes, usedBytes, inodesFree, inodes, inodesUsed: inodes - inodesFree };
  return { fs, runtime: { imageFs: fs } };
}

/** The text of /metrics/resource. Labels are sorted by name, as Prometheus' own libraries write them. */
export function resourceMetrics(statistics: NodeStatistics, nowMs: number): string {
  const { pods } = statistics;
  const perContainer = (value: (usage: ContainerUsage) => number) =>
    pods.flatMap(({ ref, containers }) =>
      containers.map(
        (it) => `{container="${it.name}",namespace="${ref.namespace}",pod="${ref.name}"} ${value(it)} ${nowMs}`,
      ),
    );
  const perPod = (value: (usage: ContainerUsage) => number) =>
    pods.map(
      ({ ref, containers }) => `{namespace="${ref.namespace}",pod="${ref.name}"} ${sum(containers, value)} ${nowMs}`,
    );
  const seconds = (usage: ContainerUsage) => usage.cpuUsageNanoseconds / 1e9;
  const bytes = (usage: ContainerUsage) => usage.memoryWorkingSetBytes;
  return [
    family(
      "container_cpu_usage_seconds_total",
      "counter",
      "Cumulative cpu time consumed by the container in core-seconds",
      perContainer(seconds),
    ),
    family(
      "container_memory_working_set_bytes",
      "gauge",
      "Current working set of the container in bytes",
      perContainer(bytes),
    ),
    family(
      "container_start_time_seconds",
      "gauge",
      "Start time of the container since unix epoch in seconds",
      perContainer((it) => it.startTimeMs / 1000),
    ),
    family("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds", [
      ` ${statistics.cpuUsageNanoseconds / 1e9} ${nowMs}`,
    ]),
    family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes", [
      ` ${statistics.memoryWorkingSetBytes} ${nowMs}`,
    ]),
    family(
      "pod_cpu_usage_seconds_total",
      "counter",
      "Cumulative cpu time consumed by the pod in core-seconds",
      perPod(seconds),
    ),
    family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes", perPod(bytes)),
    family("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise", [
      " 0",
    ]),
  ].join("");
}

async function readDisk(folder: string): Promise<NodeStatistics["disk"]> {
  const facts = await statfs(folder).catch(() => undefined);
  return (
    facts && {
      capacityBytes: facts.blocks * facts.bsize,
      availableBytes: facts.bavail * facts.bsize,
      usedBytes: (facts.blocks - facts.bfree) * facts.bsize,
      inodes: facts.files,
      inodesFree: facts.ffree,
    }
  );
}

function cpuByName(node: number, pods: readonly PodUsage[]): ReadonlyMap<string, number> {
  const entries = pods.flatMap(({ ref, containers }): [string, number][] => [
    [ref.uid, sum(containers, (it) => it.cpuUsageNanoseconds)],
    ...containers.map((it): [string, number] => [`${ref.uid}/${it.name}`, it.cpuUsageNanoseconds]),
  ]);
  return new Map([["", node], ...entries]);
}

// user, nice, system, irq, softirq, steal of the first line; ticks of 10 ms.
function busyNanoseconds(stat: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (/^cpu +(.*)/.exec(stat)?.[1] ?? "")
    .split(" ")
    .map(Number);
  return (user + nice + system + irq + softirq + steal) * 10_000_000;
}

function sum(containers: readonly ContainerUsage[], value: (usage: ContainerUsage) => number): number {
  return containers.reduce((total, it) => total + value(it), 0);
}

function isoTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/**
 * /metrics/cadvisor: what containers, pods and the machine use, under cAdvisor's names, for dashboards that are made for them. CPU, memory, network, limits and
 * starts; not disks.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import { refOf } from "#kubelet/pod-object.ts";
import type { ContainerUsage, InterfaceUsage, PodUsage } from "#kubelet/provider.ts";
import { amountsOf } from "#kubelet/resources/pod-resources.ts";
import { family, labels } from "./metric-text.ts";
import type { NodeStatistics } from "./node-statistics.ts";

/** A group of processes as cAdvisor lists them: the machine, a pod, a container. */
type Entry = {
  readonly labels: Readonly<Record<string, string>>;
  readonly usage: Pick<ContainerUsage, "cpuUsageNanoseconds" | "memoryUsageBytes" | "memoryWorkingSetBytes">;
  readonly startTimeMs: number;
  readonly container?: Container;
};

const quotaPeriod = 100_000;

/** The text in Prometheus' format. */
export function cadvisorMetrics(
  statistics: NodeStatistics,
  pods: readonly Pod[],
  machine: { readonly cpus: number; readonly memoryBytes: number; readonly nowMs: number },
): string {
  const byUid = new Map(pods.map((pod) => [refOf(pod).uid, pod]));
  const entries = [machineEntry(statistics), ...statistics.pods.flatMap((usage) => podEntries(usage, byUid))];
  const { nowMs } = machine;
  const all = (value: (entry: Entry) => number | undefined, more: Readonly<Record<string, string>> = {}) =>
    entries.flatMap((entry) => {
      const number = value(entry);
      return number === undefined ? [] : [`${labels({ ...entry.labels, ...more })} ${number} ${nowMs}`];
    });
  const gauge = (name: string, help: string, value: (entry: Entry) => number | undefined) =>
    family(name, "gauge", help, all(value));
  const network = (name: string, help: string, value: (device: InterfaceUsage) => number) =>
    family(`container_network_${name}_total`, "counter", help, deviceSamples(statistics.pods, value, nowMs));
  const limits = ({ container }: Entry) => container && amountsOf(container.resources?.limits);
  return [
    family(
      "container_cpu_usage_seconds_total",
      "counter",
      "Cumulative cpu time consumed in seconds.",
      all(({ usage }) => usage.cpuUsageNanoseconds / 1e9, { cpu: "total" }),
    ),
    gauge("container_last_seen", "Last time a container was seen by the exporter", () => Math.floor(nowMs / 1000)),
    gauge(
      "container_memory_usage_bytes",
      "Current memory usage in bytes, including all memory regardless of when it was accessed",
      ({ usage }) => usage.memoryUsageBytes,
    ),
    gauge(
      "container_memory_working_set_bytes",
      "Current working set in bytes.",
      ({ usage }) => usage.memoryWorkingSetBytes,
    ),
    family("container_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise", [
      " 0",
    ]),
    network("receive_bytes", "Cumulative count of bytes received", (it) => it.rxBytes),
    network("receive_errors", "Cumulative count of errors encountered while receiving", (it) => it.rxErrors),
    network("transmit_bytes", "Cumulative count of bytes transmitted", (it) => it.txBytes),
    network("transmit_errors", "Cumulative count of errors encountered while transmitting", (it) => it.txErrors),
    gauge("container_spec_cpu_period", "CPU period of the container.", (it) => limits(it)?.["cpu"] && quotaPeriod),
    gauge("container_spec_cpu_quota", "CPU quota of the container.", (it) => quotaOf(limits(it)?.["cpu"])),
    gauge("container_spec_memory_limit_bytes", "Memory limit for the container.", (it) =>
      it.container ? (limits(it)?.["memory"] ?? 0) : undefined,
    ),
    gauge(
      "container_start_time_seconds",
      "Start time of the container since unix epoch in seconds.",
      ({ startTimeMs }) => startTimeMs / 1000,
    ),
    family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", [` ${machine.cpus}`]),
    family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.", [` ${machine.memoryBytes}`]),
  ].join("");
}

function deviceSamples(
  pods: readonly PodUsage[],
  value: (device: InterfaceUsage) => number,
  nowMs: number,
): readonly string[] {
  return pods.flatMap(({ ref, network = [] }) =>
    network.map((device) => {
      const names = { container: "", id: `/pod${ref.uid}`, image: "", interface: device.name, name: "" };
      return `${labels({ ...names, namespace: ref.namespace, pod: ref.name })} ${value(device)} ${nowMs}`;
    }),
  );
}

function quotaOf(millicores: number | undefined): number | undefined {
  return millicores === undefined ? undefined : (millicores * quotaPeriod) / 1000;
}

function machineEntry(statistics: NodeStatistics): Entry {
  const nothing = { container: "", id: "/", image: "", name: "", namespace: "", pod: "" };
  return { labels: nothing, usage: statistics, startTimeMs: statistics.startTimeMs };
}

function podEntries({ ref, containers }: PodUsage, pods: ReadonlyMap<string, Pod>): readonly Entry[] {
  const pod = pods.get(ref.uid);
  const common = { namespace: ref.namespace, pod: ref.name };
  const id = `/pod${ref.uid}`;
  const sum = (value: (usage: ContainerUsage) => number) => containers.reduce((total, it) => total + value(it), 0);
  const whole: Entry = {
    labels: { ...common, container: "", id, image: "", name: "" },
    usage: {
      cpuUsageNanoseconds: sum((it) => it.cpuUsageNanoseconds),
      memoryUsageBytes: sum((it) => it.memoryUsageBytes),
      memoryWorkingSetBytes: sum((it) => it.memoryWorkingSetBytes),
    },
    startTimeMs: Math.min(...containers.map((it) => it.startTimeMs)),
  };
  const entries = containers.map((usage): Entry => {
    const status = statusesOf(pod).find((it) => it.name === usage.name);
    const name = status?.containerID?.replace(/^.*:\/\//, "") ?? "";
    const container = containersOf(pod).find((it) => it.name === usage.name);
    return {
      labels: { ...common, container: usage.name, id: `${id}/${name}`, image: status?.imageID ?? "", name },
      usage,
      startTimeMs: usage.startTimeMs,
      ...(container === undefined ? {} : { container }),
    };
  });
  return [whole, ...entries];
}

function containersOf(pod: Pod | undefined): readonly Container[] {
  return [...(pod?.spec?.initContainers ?? []), ...(pod?.spec?.containers ?? [])];
}

function statusesOf(pod: Pod | undefined): NonNullable<NonNullable<Pod["status"]>["containerStatuses"]> {
  return [...(pod?.status?.initContainerStatuses ?? []), ...(pod?.status?.containerStatuses ?? [])];
}

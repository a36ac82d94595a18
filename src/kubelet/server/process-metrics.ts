/**
 * /metrics of the kubelet: this process, and how many pods and containers run.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { family, labels } from "./metric-text.ts";

/** The text in Prometheus' format. */
export function processMetrics(nodeName: string, pods: readonly Pod[]): string {
  const { rss } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  const started = Date.now() / 1000 - process.uptime();
  const containers = pods.flatMap((pod) => pod.status?.containerStatuses ?? []);
  const running = containers.filter((it) => it.state?.running).length;
  const exited = containers.filter((it) => it.state?.terminated).length;
  const desired = pods.filter((pod) => pod.status?.phase !== "Succeeded" && pod.status?.phase !== "Failed").length;
  return [
    family("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.", [
      `${labels({ node: nodeName })} 1`,
    ]),
    family("kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox", [
      ` ${pods.filter((pod) => pod.status?.phase === "Running").length}`,
    ]),
    family("kubelet_desired_pods", "gauge", "The number of pods the kubelet is being instructed to run", [
      ` ${desired}`,
    ]),
    family("kubelet_running_containers", "gauge", "Number of containers currently running", [
      `{container_state="exited"} ${exited}`,
      `{container_state="running"} ${running}`,
    ]),
    family("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds", [
      ` ${(user + system) / 1e6}`,
    ]),
    family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes", [` ${rss}`]),
    family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds", [
      ` ${started}`,
    ]),
  ].join("");
}

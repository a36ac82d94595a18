/**
 * The part of a kubelet's /metrics/resource that the metrics API needs, out of Prometheus' text format.
 */

/** Counters and gauges of a container (or of the whole node, which has no start) at one moment. */
export type UsagePoint = {
  /** When it was read, ms since 1970. */
  readonly atMs: number;
  /** When it began to count; 0 when that is not known. */
  readonly startedMs: number;
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
};

/** One node's answer. */
export type NodeReading = {
  readonly node: UsagePoint | undefined;
  /** By "namespace/pod", then by container. */
  readonly pods: ReadonlyMap<string, ReadonlyMap<string, UsagePoint>>;
};

type MutablePoint = {
  atMs: number;
  startedMs: number;
  cpuSeconds: number | undefined;
  memoryBytes: number | undefined;
};

const line = /^(\w+)(?:\{([^}]*)\})? ([^ ]+)(?: (\d+))?$/;
const label = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Reads the text. What lacks a CPU or a memory figure is left out. `nowMs` stands in for times that the node does not tell. */
export function parseResourceText(text: string, nowMs: number): NodeReading {
  const node = newPoint();
  const pods = new Map<string, Map<string, MutablePoint>>();
  for (const row of text.split("\n")) {
    if (row === "" || row.startsWith("#")) continue;
    const [, name = "", labels, value, at] = line.exec(row) ?? [];
    const sample = { name, value: Number(value), atMs: at === undefined ? nowMs : Number(at) };
    if (name.startsWith("node_")) note(node, sample);
    else if (name.startsWith("container_")) note(containerPoint(pods, labels ?? ""), sample);
  }
  return {
    node: whole(node),
    pods: new Map([...pods].map(([key, containers]) => [key, wholeOnes(containers)])),
  };
}

function newPoint(): MutablePoint {
  return { atMs: 0, startedMs: 0, cpuSeconds: undefined, memoryBytes: undefined };
}

function containerPoint(pods: Map<string, Map<string, MutablePoint>>, labels: string): MutablePoint {
  const named = new Map([...labels.matchAll(label)].map((found) => [found[1], found[2] ?? ""]));
  const key = `${named.get("namespace")}/${named.get("pod")}`;
  const containers = pods.get(key) ?? new Map<string, MutablePoint>();
  pods.set(key, containers);
  const name = named.get("container") ?? "";
  const point = containers.get(name) ?? newPoint();
  containers.set(name, point);
  return point;
}

function note(
  point: MutablePoint,
  { name, value, atMs }: { readonly name: string; readonly value: number; readonly atMs: number },
): void {
  if (!Number.isFinite(value)) return;
  if (name.endsWith("_cpu_usage_seconds_total")) {
    point.cpuSeconds = value;
    point.atMs = atMs;
  }
  if (name.endsWith("_memory_working_set_bytes")) point.memoryBytes = value;
  if (name === "container_start_time_seconds") point.startedMs = value * 1000;
}

function whole({ atMs, startedMs, cpuSeconds, memoryBytes }: MutablePoint): UsagePoint | undefined {
  if (cpuSeconds === undefined || memoryBytes === undefined) return undefined;
  return { atMs, startedMs, cpuSeconds, memoryBytes };
}

function wholeOnes(containers: ReadonlyMap<string, MutablePoint>): ReadonlyMap<string, UsagePoint> {
  return new Map(
    [...containers].flatMap(([name, point]): [string, UsagePoint][] => {
      const found = whole(point);
      return found === undefined ? [] : [[name, found]];
    }),
  );
}

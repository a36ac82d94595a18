/**
 * NodeMetrics and PodMetrics: objects, columns and schemas, as metrics-server shows them.
 */
import type { KubeObject, ObjectMeta } from "#apimachinery/meta.ts";
import { formatDuration } from "#apimachinery/duration.ts";
import { addQuantities, formatQuantity, parseQuantity, quantityOf } from "#apimachinery/quantity.ts";
import type { Draft, TablePrinter } from "#api/strategy.ts";
import type { JsonObject } from "#apiserver/openapi/definitions.ts";
import type { PodUsage, Usage } from "./usage-rates.ts";

const apiVersion = "metrics.k8s.io/v1beta1";

type ResourceList = { readonly cpu: string; readonly memory: string };

/** What a NodeMetrics or PodMetrics takes from the object that it is about. */
export type MetricsSubject = { readonly metadata?: ObjectMeta };

/** What the node used. */
export function nodeMetrics(node: MetricsSubject, usage: Usage, nowMs: number): KubeObject {
  const object = { ...headOf("NodeMetrics", node, nowMs), ...timeOf(usage), usage: resourcesOf(usage) };
  return object as KubeObject;
}

/** What the pod's containers used; the time is that of the one that was read first. */
export function podMetrics(pod: MetricsSubject, containers: PodUsage, nowMs: number): KubeObject {
  const [first] = [...containers.values()].sort((a, b) => a.atMs - b.atMs);
  const object = {
    ...headOf("PodMetrics", pod, nowMs),
    ...timeOf(first as Usage),
    containers: [...containers].map(([name, usage]) => ({ name, usage: resourcesOf(usage) })),
  };
  return object as KubeObject;
}

function headOf(kind: string, { metadata = {} }: MetricsSubject, nowMs: number): object {
  const { name, namespace, labels } = metadata;
  return {
    kind,
    apiVersion,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      creationTimestamp: timeText(nowMs),
      ...(labels === undefined ? {} : { labels }),
    },
  };
}

function timeOf({ atMs, windowMs }: Usage): object {
  return { timestamp: timeText(atMs), window: formatDuration(Math.round(windowMs)) };
}

function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function resourcesOf({ nanoCores, memoryBytes }: Usage): ResourceList {
  return {
    cpu: formatQuantity({ nanos: nanoCores, format: "DecimalSI" }),
    memory: formatQuantity(quantityOf(Math.round(memoryBytes), "BinarySI")),
  };
}

const columns: TablePrinter["columns"] = [
  { name: "Name", type: "string", format: "name", description: "Name of the resource", priority: 0 },
  { name: "cpu", type: "string", format: "quantity", description: "", priority: 0 },
  { name: "memory", type: "string", format: "quantity", description: "", priority: 0 },
  { name: "Window", type: "string", format: "duration", description: "", priority: 0 },
];

/** Columns of NodeMetrics. */
export const nodeMetricsTable: TablePrinter = {
  columns,
  row: (object) => {
    const { metadata, usage, window } = object as Draft & { usage: ResourceList; window: string };
    return [metadata?.name ?? "", usage.cpu, usage.memory, window];
  },
};

/** Columns of PodMetrics: all containers together. */
export const podMetricsTable: TablePrinter = {
  columns,
  row: (object) => {
    const { metadata, containers, window } = object as Draft & {
      containers: readonly { readonly usage: ResourceList }[];
      window: string;
    };
    const total = (name: keyof ResourceList) => {
      const amounts = containers.map(({ usage }) => parseQuantity(usage[name]));
      return formatQuantity(amounts.reduce(addQuantities, quantityOf(0)));
    };
    return [metadata?.name ?? "", total("cpu"), total("memory"), window];
  },
};

const usageSchema: JsonObject = {
  type: "object",
  additionalProperties: { type: "string", "x-kubernetes-int-or-string": true },
};
const times: JsonObject = { timestamp: { type: "string", format: "date-time" }, window: { type: "string" } };

export const nodeMetricsSchema: JsonObject = {
  type: "object",
  required: ["timestamp", "window", "usage"],
  properties: { ...times, usage: usageSchema },
};

export const podMetricsSchema: JsonObject = {
  type: "object",
  required: ["timestamp", "window", "containers"],
  properties: {
    ...times,
    containers: {
      type: "array",
      items: {
        type: "object",
        required: ["name", "usage"],
        properties: { name: { type: "string" }, usage: usageSchema },
      },
    },
  },
};

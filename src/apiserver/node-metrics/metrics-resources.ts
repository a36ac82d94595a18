/**
 * nodes and pods of metrics.k8s.io/v1beta1: get and list. Which objects there are, and which of them selectors choose, is asked of the nodes and pods themselves; what is
 * answered is made of the newest readings. Errors as metrics-server's.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { ResourceFacts } from "#api/kind-facts.ts";
import type { TablePrinter } from "#api/strategy.ts";
import { formatApiVersion, type KubeObject } from "#apimachinery/meta.ts";
import { notFound } from "#apimachinery/status-error.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import type { HandlerParts, SubresourceHandler } from "#apiserver/handlers/handler-parts.ts";
import { parseListOptions } from "#apiserver/handlers/list-options.ts";
import type { JsonObject } from "#apiserver/openapi/definitions.ts";
import { readList } from "#apiserver/registry/read.ts";
import { createServedResource, type ServedResource } from "#apiserver/registry/served-resource.ts";
import { StoredObject, toStoredBytes } from "#apiserver/storage/stored-object.ts";
import { createStoredResource, keyOf } from "#apiserver/storage/stored-resource.ts";
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import {
  nodeMetrics,
  nodeMetricsSchema,
  nodeMetricsTable,
  podMetrics,
  podMetricsSchema,
  podMetricsTable,
} from "./metrics-objects.ts";
import { NodeReadings, type ReadingPair } from "./node-readings.ts";
import { parseResourceText } from "./resource-text.ts";
import { nodeUsage, podUsage } from "./usage-rates.ts";

/** A resource of which nothing is kept, and how its get and list are answered. */
export type ComputedResource = { readonly served: ServedResource; readonly handle: SubresourceHandler };

type Readings = ReadonlyMap<string, ReadingPair>;
/** The metrics of a node or pod; undefined when nothing is known of it. */
type Make = (source: StoredObject, readings: Readings, nowMs: number) => KubeObject | undefined;

export type MetricsParts = {
  /** This server's own client. A function: the server is made after its resources. */
  readonly client: () => Client;
  /** The text of a node's /metrics/resource. */
  readonly readNode: (node: string, signal: AbortSignal) => Promise<string>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Makes both resources. */
export function createMetricsResources(parts: MetricsParts): readonly ComputedResource[] {
  const { client, readNode, clock, logger } = parts;
  const readings = new NodeReadings({
    nodes: async () => {
      const { items } = await client().list({ resource: { group: "", version: "v1", resource: "nodes" } });
      return items.map(({ metadata }) => metadata?.name ?? "");
    },
    read: async (node, signal) => parseResourceText(await readNode(node, signal), clock.now()),
    clock,
    logger,
  });
  const handler = (make: Make) => createHandler({ readings, make, clock });
  return [
    { served: servedResource("nodes", nodeMetricsTable, nodeMetricsSchema), handle: handler(makeNodeMetrics) },
    { served: servedResource("pods", podMetricsTable, podMetricsSchema), handle: handler(makePodMetrics) },
  ];
}

const makeNodeMetrics: Make = (node, readings, nowMs) => {
  const pair = readings.get(node.name);
  const usage = pair && nodeUsage(pair.earlier, pair.later);
  return usage && nodeMetrics(node.object, usage, nowMs);
};

const makePodMetrics: Make = (pod, readings, nowMs) => {
  const { spec } = pod.object as Pod;
  const pair = readings.get(spec?.nodeName ?? "");
  const usage = pair && podUsage(pair.earlier, pair.later, `${pod.namespace}/${pod.name}`);
  return usage && podMetrics(pod.object, usage, nowMs);
};

type HandlerOptions = { readonly readings: NodeReadings; readonly make: Make; readonly clock: Clock };

function createHandler(options: HandlerOptions): SubresourceHandler {
  return (parts, resource, context) =>
    context.info.verb === "list" ? list(options, parts, resource, context) : get(options, parts, resource, context);
}

async function list(
  { readings, make, clock }: HandlerOptions,
  { registry }: HandlerParts,
  resource: ServedResource,
  { info, request, takeSteps }: RequestContext,
): Promise<ApiResult> {
  const source = registry.core(resource.resource);
  const { namespace, name } = info;
  const asked = await parseListOptions(request.query, { resource: source, namespace, name, isWatch: false, takeSteps });
  // There are no pages of what changes all the time, and no past of it.
  const options = { ...asked, limit: 0, continueToken: "", resourceVersion: "" };
  const pairs = await readings.pairs();
  const page = await readList(registry, source, options);
  const nowMs = clock.now();
  const objects = [...page.objects].flatMap((object) => {
    const made = make(object, pairs, nowMs);
    return made === undefined ? [] : [asStored(resource, made)];
  });
  return { type: "list", page: { resource, metadata: {}, objects } };
}

async function get(
  { readings, make, clock }: HandlerOptions,
  { registry }: HandlerParts,
  resource: ServedResource,
  { info }: RequestContext,
): Promise<ApiResult> {
  const { namespace, name } = info;
  const pairs = await readings.pairs();
  const source = await registry.storageOf(registry.core(resource.resource)).find(namespace, name);
  const made = source && make(source, pairs, clock.now());
  if (made === undefined) {
    const subject = { group: resource.group, resource: resource.kind.toLowerCase() };
    throw notFound({ ...subject, name: namespace === "" ? name : `${namespace}/${name}` });
  }
  return { type: "stored", status: 200, resource, object: asStored(resource, made) };
}

function asStored({ stored }: ServedResource, object: KubeObject): StoredObject {
  const { namespace = "", name = "" } = object.metadata ?? {};
  const init = { key: keyOf(stored, namespace, name), revision: 0, bytes: toStoredBytes(stored, object) };
  return new StoredObject(stored, { ...init, parsed: object });
}

function servedResource(resource: "nodes" | "pods", table: TablePrinter, schema: JsonObject): ServedResource {
  const facts: ResourceFacts = {
    group: "metrics.k8s.io",
    version: "v1beta1",
    storageVersion: "v1beta1",
    resource,
    singular: "",
    kind: resource === "nodes" ? "NodeMetrics" : "PodMetrics",
    isNamespaced: resource === "pods",
    verbs: ["get", "list"],
    shortNames: [],
    categories: [],
    subresources: [],
    isEnabledByDefault: true,
  };
  const stored = createStoredResource({
    groupResource: `${resource}.${facts.group}`,
    isNamespaced: facts.isNamespaced,
    kind: facts.kind,
    apiVersion: formatApiVersion(facts),
  });
  const openApi = { listKind: `${facts.kind}List`, schema };
  return createServedResource({
    facts,
    stored,
    strategy: { table },
    schema: undefined,
    isCustom: true,
    isStandIn: true,
    openApi,
  });
}

/**
 * Pods of revisions, as a data plane needs them: where they take requests and how they are. Read from the pods themselves: their EndpointSlices tell the same later.
 */
import type { Container, ContainerStatus, Pod } from "#api/generated/types/core-v1.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import { pods } from "#serving/common/context.ts";
import { labels, userPortName } from "#serving/names.ts";

/** A place where a revision's requests may go. */
export type PodEndpoint = {
  readonly address: string;
  readonly port: number;
  /** The pod's uid: its address may be another's later. */
  readonly pod: string;
  readonly node: string;
  readonly state: "ready" | "starting" | "terminating";
};

/** Index of pods by "namespace/revision". */
export const podsByRevision = "serving-pods";

/** The pods of revisions, and no others, with no more of each than is needed here. */
export function revisionPods(informers: InformerFactory): Informer<Pod> {
  return informers.informer<Pod>({
    resource: pods,
    labelSelector: labels.revision,
    transform: essence,
    indexes: { [podsByRevision]: (pod) => [revisionOf(pod)] },
  });
}

export function isOfRevision({ metadata }: Pod): boolean {
  return metadata?.labels?.[labels.revision] !== undefined;
}

/** "namespace/revision" of a revision's pod. */
export function revisionOf({ metadata }: Pod): string {
  return `${metadata?.namespace}/${metadata?.labels?.[labels.revision]}`;
}

/** Undefined until its program runs at an address, and once it has ended. Before it runs its port may be open already: an isolate's process waits for its code. */
export function endpointOf({ metadata, spec, status }: Pod): PodEndpoint | undefined {
  const { podIP: address, phase, conditions = [] } = status ?? {};
  const user = userContainerOf(spec?.containers ?? []);
  if (!address || user === undefined || phase === "Succeeded" || phase === "Failed") return undefined;
  const own = status?.containerStatuses?.find(({ name }) => name === user.name);
  if (own?.state?.running === undefined) return undefined;
  const isReady = conditions.some((condition) => condition.type === "Ready" && condition.status === "True");
  const state = metadata?.deletionTimestamp !== undefined ? "terminating" : isReady ? "ready" : "starting";
  return { address, port: user.port, pod: metadata?.uid ?? "", node: spec?.nodeName ?? "", state };
}

function userContainerOf(
  containers: readonly Container[],
): { readonly name: string; readonly port: number } | undefined {
  return containers
    .flatMap(({ name, ports = [] }) => ports.map((port) => ({ name, port: port.containerPort, called: port.name })))
    .find(({ called }) => called === userPortName);
}

/** What is kept of a pod. */
function essence(pod: Pod): Pod {
  const { name, namespace, uid, resourceVersion, labels: own, deletionTimestamp } = pod.metadata ?? {};
  const { podIP, phase, conditions, containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const revision = own?.[labels.revision] ?? "";
  const containers = (pod.spec?.containers ?? []).flatMap(({ name: container, ports }) =>
    ports === undefined ? [] : [{ name: container, ports }],
  );
  const told = (conditions ?? []).filter(
    ({ type, status }) => type === "Ready" || (type === "PodScheduled" && status === "False"),
  );
  const waiting = initContainerStatuses.filter(({ state }) => state?.waiting !== undefined).map(stateOf);
  return Object.freeze({
    metadata: { name, namespace, uid, resourceVersion, labels: { [labels.revision]: revision }, deletionTimestamp },
    spec: { nodeName: pod.spec?.nodeName, containers },
    status: {
      podIP,
      phase,
      conditions: told,
      containerStatuses: containerStatuses.map(stateOf),
      ...(waiting.length === 0 ? {} : { initContainerStatuses: waiting }),
    },
  } as unknown as Pod);
}

function stateOf({ name, state }: ContainerStatus): Pick<ContainerStatus, "name" | "state"> {
  return { name, ...(state === undefined ? {} : { state }) };
}

/**
 * What a data plane needs of a Revision: how many requests at once, how long they may take, and how its containers say that they are ready. Every node keeps that of every Revision of the cluster.
 */
import type { Revision } from "#serving/kinds.ts";

/** The Revision without what only its pods are made of. */
export function dataPlanePart({ kind, apiVersion, metadata, spec }: Revision): Revision {
  const { name, namespace, uid, resourceVersion } = metadata ?? {};
  const { containers, containerConcurrency, runtimeClassName } = spec ?? {};
  const { timeoutSeconds, responseStartTimeoutSeconds, idleTimeoutSeconds } = spec ?? {};
  const kept = {
    kind,
    apiVersion,
    metadata: { name, namespace, uid, resourceVersion },
    spec: {
      containers: containers?.map(({ name: container, ports, readinessProbe }) => ({
        name: container,
        ports,
        readinessProbe,
      })),
      containerConcurrency,
      runtimeClassName,
      timeoutSeconds,
      responseStartTimeoutSeconds,
      idleTimeoutSeconds,
    },
  };
  return kept as unknown as Revision;
}

/**
 * What runs in the cluster while things die: a web server of busybox, and a pod that asks for it by name over and over.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { eventually } from "../support/cluster.ts";

export const pods = { group: "", version: "v1", resource: "pods" };
export const deployments = { group: "apps", version: "v1", resource: "deployments" };
export const replicaSets = { group: "apps", version: "v1", resource: "replicasets" };
const services = { group: "", version: "v1", resource: "services" };
const namespaces = { group: "", version: "v1", resource: "namespaces" };

const image = "docker.io/library/busybox:latest";
export const webPort = 8080;

/** A Deployment as this test writes it. */
export type DeploymentOptions = {
  readonly namespace: string;
  readonly name: string;
  readonly replicas: number;
  readonly command: string;
  readonly maxSurge?: number;
  readonly maxUnavailable?: number;
  readonly probePort?: number;
};

/** One container that runs `command` in a shell. */
export function deployment({ namespace, name, replicas, command, ...more }: DeploymentOptions): KubeObject {
  const probe = more.probePort && { readinessProbe: { tcpSocket: { port: more.probePort }, periodSeconds: 1 } };
  const container = { name: "main", image, imagePullPolicy: "IfNotPresent", command: ["sh", "-c", command], ...probe };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      strategy: { rollingUpdate: { maxSurge: more.maxSurge ?? 1, maxUnavailable: more.maxUnavailable ?? 0 } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 1, containers: [container] },
      },
    },
  } as KubeObject;
}

/** Serves "ok" until it is told to stop. */
export const webCommand: string = `mkdir /www; echo ok > /www/index.html; trap 'exit 0' TERM; httpd -f -p ${webPort} -h /www & wait`;

/** Sleeps until it is told to stop, which it does at once. */
export const idleCommand: string = "trap 'exit 0' TERM; sleep 1000000 & wait";

export async function createNamespace(client: Client, name: string): Promise<void> {
  await client.create({ resource: namespaces }, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const account = {
    resource: { group: "", version: "v1", resource: "serviceaccounts" },
    namespace: name,
    name: "default",
  };
  await eventually("the namespace's service account", () => client.get(account));
}

/** Deletes a namespace and waits until it has gone. Throws with what it says of itself, or with what the API answers. */
export async function deleteNamespace(client: Client, name: string): Promise<void> {
  const ref = { resource: namespaces, name };
  let last: unknown;
  const isGone = async () => {
    try {
      last = ((await client.delete(ref)) as KubeObject & { readonly status?: unknown }).status;
      return false;
    } catch (error) {
      last = (error as Error).message;
      return (error as { readonly reason?: string }).reason === "NotFound";
    }
  };
  await eventually(`no namespace ${name}`, isGone).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; it says ${JSON.stringify(last)}`, { cause: error });
  });
}

/** Creates it and waits until all of its pods are ready. */
export async function deploy(client: Client, options: DeploymentOptions): Promise<void> {
  const ref = { resource: deployments, namespace: options.namespace };
  await client.create(ref, deployment(options));
  await rolledOut(client, { ...ref, name: options.name });
}

/** Waits until a Deployment is what it should be: all pods new, ready, and no more. */
export async function rolledOut(client: Client, ref: ResourceRef, timeoutMs = 90_000): Promise<void> {
  await eventually(
    `${ref.name} rolled out`,
    async () => {
      const { metadata, spec, status } = await client.get<DeploymentState>(ref);
      const { replicas } = spec;
      return (
        status.observedGeneration === metadata.generation &&
        [status.replicas, status.updatedReplicas, status.availableReplicas].every((count) => (count ?? 0) === replicas)
      );
    },
    timeoutMs,
  );
}

type DeploymentState = KubeObject & {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas: number };
  readonly status: Readonly<
    Record<"observedGeneration" | "replicas" | "updatedReplicas" | "availableReplicas", number>
  >;
};

/** A Service over the web pods; gives its address and node port. */
export async function exposeWeb(
  client: Client,
  namespace: string,
): Promise<{ readonly clusterIP: string; readonly nodePort: number }> {
  const service = await client.create<ServiceState>({ resource: services, namespace }, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace },
    spec: { type: "NodePort", selector: { app: "web" }, ports: [{ port: 80, targetPort: webPort }] },
  } as unknown as ServiceState);
  return { clusterIP: service.spec.clusterIP, nodePort: service.spec.ports[0]?.nodePort ?? 0 };
}

type ServiceState = KubeObject & {
  readonly spec: { readonly clusterIP: string; readonly ports: readonly { readonly nodePort: number }[] };
};

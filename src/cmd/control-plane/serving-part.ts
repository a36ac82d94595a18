/**
 * Knative Serving's control side, when the cluster is to have it: loaded and started once everything else runs, so that no start waits for it.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { ControllerContext } from "#client/controller.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { ImageResolver } from "#serving/revision/image-resolver.ts";
import { networkGroup } from "./cluster-objects.ts";
import { LatePart } from "./late-part.ts";

/** A part that stands on Serving's kinds, and starts when they are there. */
export type PartOnServing = (signal: AbortSignal) => Promise<Pick<Service, "stop">>;

/** What it works with. */
export type ServingPartOptions = ControllerContext & {
  readonly parts: readonly PartOnServing[];
  readonly signal: AbortSignal;
  /** The machine's images. */
  readonly imagesFolder: string;
  /** Says how this machine reaches registries. */
  readonly environment: NodeJS.ProcessEnv;
};

/** Serving, and what stands on it. */
export function servingPart(options: ServingPartOptions): LatePart {
  return new LatePart({
    ...options,
    title: "Knative Serving",
    usedBy: { group: "serving.knative.dev", version: "v1", resource: "services" },
    begin: (signal) => begin(options, signal),
  });
}

async function begin(options: ServingPartOptions, signal: AbortSignal): Promise<Pick<Service, "stop">> {
  const { client, clock } = options;
  const [{ startServing }, { installCustomResources }, { ClusterDataPlane }, images] = await Promise.all([
    import("#serving/serving.ts"),
    import("#serving/crds/install.ts"),
    import("#serving/engine/cluster-data-plane.ts"),
    loadImages(options),
  ]);
  await Promise.all([installCustomResources(client, { clock, signal }), ensureDataPlaneRights(client, signal)]);
  const dataPlane = new ClusterDataPlane(options);
  const serving = await startServing({ ...options, dataPlane, images, certificateReaders: networkGroup, signal });
  const end = await dataPlane.start(serving.stats, signal);
  const parts: Pick<Service, "stop">[] = [];
  const stop = async () => {
    for (const part of parts.toReversed()) await part.stop();
    end();
    await serving.stop();
  };
  try {
    for (const start of options.parts) parts.push(await start(signal));
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

async function loadImages(options: ServingPartOptions): Promise<ImageResolver> {
  const [{ ImageDigests }, { registrySettings }] = await Promise.all([
    import("./image-digests.ts"),
    import("#cmd/node/registry-settings.ts"),
  ]);
  return new ImageDigests({ ...options, settings: () => registrySettings(options.environment) });
}

/** Nodes read what leads requests to revisions, and write what they see of them. */
async function ensureDataPlaneRights(client: Client, signal: AbortSignal): Promise<void> {
  const group = "rbac.authorization.k8s.io";
  const name = "nodeless:node-data-plane";
  const read = ["get", "list", "watch"];
  const rules = [
    { apiGroups: ["serving.knative.dev"], resources: ["revisions"], verbs: read },
    { apiGroups: ["networking.internal.knative.dev"], resources: ["ingresses"], verbs: read },
    {
      apiGroups: ["nodeless.dev"],
      resources: ["dataplanes", "dataplanes/status"],
      verbs: ["get", "create", "update", "patch"],
    },
  ];
  const head = { apiVersion: `${group}/v1`, metadata: { name } };
  const role = { ...head, kind: "ClusterRole", rules };
  const roleRef = { apiGroup: group, kind: "ClusterRole", name };
  const binding = {
    ...head,
    kind: "ClusterRoleBinding",
    roleRef,
    subjects: [{ apiGroup: group, kind: "Group", name: networkGroup }],
  };
  const ensure = async (resource: string, object: KubeObject) => {
    const ref = { resource: { group, version: "v1", resource } };
    try {
      await client.create(ref, object, { signal });
    } catch (error) {
      if (!hasReason(error, "AlreadyExists")) throw error;
    }
  };
  await Promise.all([ensure("clusterroles", role), ensure("clusterrolebindings", binding)]);
}

/**
 * Knative Serving's control side, when the cluster is to have it: loaded and started once everything else runs, so that no start waits for it.
 */
import type { Node } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { ControllerContext } from "#client/controller.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { ImageResolver } from "#serving/revision/image-resolver.ts";
import type { Serving } from "#serving/serving.ts";
import { networkGroup } from "./cluster-objects.ts";

/** Longest wait for a node: kinds are wanted without one too. */
const patienceMs = 10_000;
const quietMs = 500;
/** A start that failed is tried again after this. */
const retryMs = 5000;

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

/** Starts in the background; stopping ends a start that is under way. */
export class ServingPart {
  readonly #context: ServingPartOptions;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  #running: Promise<void> | undefined;
  #stop: (() => Promise<void>) | undefined;

  constructor(context: ServingPartOptions) {
    this.#context = context;
    this.#signal = AbortSignal.any([context.signal, this.#abort.signal]);
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error("Serving stops"));
    await this.#running;
    await this.#stop?.();
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#context;
    if (!(await this.#isUsed())) await this.#untilQuiet().catch(() => {}); // the loop sees that it was aborted
    while (!this.#signal.aborted) {
      try {
        await this.#begin();
        logger.info("Started Knative Serving");
        return;
      } catch (error) {
        if (this.#signal.aborted) return;
        logger.error("Knative Serving could not be started", { error });
        await clock.sleep(retryMs, this.#signal).catch(() => {}); // the loop sees that it was aborted
      }
    }
  }

  /** After a restart, whoever has Services waits for it. */
  async #isUsed(): Promise<boolean> {
    const resource = { group: "serving.knative.dev", version: "v1", resource: "services" };
    try {
      return (await this.#context.client.list({ resource }, { limit: 1, signal: this.#signal })).items.length > 0;
    } catch {
      return false; // the kinds are not there yet
    }
  }

  /** A start's own work goes first: a node is ready, and what was waiting for it is on its way. */
  async #untilQuiet(): Promise<void> {
    const { informers, clock } = this.#context;
    const nodes = informers.informer<Node>({ resource: { group: "", version: "v1", resource: "nodes" } });
    const ready = Promise.withResolvers<void>();
    const look = ({ status }: Node) => {
      if (status?.conditions?.some((one) => one.type === "Ready" && one.status === "True")) ready.resolve();
    };
    const remove = nodes.addHandler({ onAdd: look, onUpdate: (_before, node) => look(node) });
    try {
      await Promise.race([ready.promise, clock.sleep(patienceMs, this.#signal)]);
    } finally {
      remove();
    }
    await clock.sleep(quietMs, this.#signal);
  }

  async #begin(): Promise<void> {
    const context = this.#context;
    const signal = this.#signal;
    const [{ startServing }, { installCustomResources }, { ClusterDataPlane }, images] = await Promise.all([
      import("#serving/serving.ts"),
      import("#serving/crds/install.ts"),
      import("#serving/engine/cluster-data-plane.ts"),
      this.#loadImages(),
    ]);
    await Promise.all([
      installCustomResources(context.client, { clock: context.clock, signal }),
      ensureDataPlaneRights(context.client, signal),
    ]);
    const dataPlane = new ClusterDataPlane(context);
    const serving: Serving = await startServing({
      ...context,
      dataPlane,
      images,
      certificateReaders: networkGroup,
      signal,
    });
    const end = await dataPlane.start(serving.stats, signal);
    const parts: Pick<Service, "stop">[] = [];
    this.#stop = async () => {
      for (const part of parts.toReversed()) await part.stop();
      end();
      await serving.stop();
    };
    for (const start of context.parts) parts.push(await start(signal));
  }

  async #loadImages(): Promise<ImageResolver> {
    const { environment } = this.#context;
    const [{ ImageDigests }, { registrySettings }] = await Promise.all([
      import("./image-digests.ts"),
      import("#cmd/node/registry-settings.ts"),
    ]);
    return new ImageDigests({ ...this.#context, settings: () => registrySettings(environment) });
  }
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

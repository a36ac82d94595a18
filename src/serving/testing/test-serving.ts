/**
 * Serving on a real API server in this process, with the controllers it stands on, a data plane that is only an address, and a node agent that is played: for tests of scenarios.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { formatTime } from "#apimachinery/time.ts";
import { allowAll, startTestApiServer, type TestApiServer, trustAll } from "#apiserver/testing/test-api-server.ts";
import type { Client } from "#client/client.ts";
import type { NamedController } from "#client/controller.ts";
import type { EventInput, EventRecorder } from "#client/event-recorder.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import { settle } from "#client/testing/settle.ts";
import { FakeClock, systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createDeploymentController } from "#controllers/deployment/deployment-controller.ts";
import { createEndpointSliceController } from "#controllers/endpointslice/endpointslice-controller.ts";
import { createReplicaSetController } from "#controllers/replicaset/replicaset-controller.ts";
import { inProcessWebhooks } from "#knative/testing/in-process-webhooks.ts";
import { comeToRest, PartNamespace } from "#knative/testing/part-namespace.ts";
import { servingReviewers } from "#serving/admission/reviewers.ts";
import { Autoscaler } from "#serving/autoscaler/autoscaler.ts";
import { byRevision, podInformer, pods } from "#serving/common/context.ts";
import { type ConfigStore, createConfigStore, defaultServingConfig } from "#serving/config/config-store.ts";
import { ClusterDataPlane } from "#serving/engine/cluster-data-plane.ts";
import { installCustomResources } from "#serving/crds/install.ts";
import type { DataPlane, RevisionStat } from "#serving/data-plane.ts";
import { servingNamespace } from "#serving/names.ts";
import { ColdStartLog } from "#serving/podautoscaler/cold-start-log.ts";
import type { ImageResolver } from "#serving/revision/image-resolver.ts";
import { createServingControllers } from "#serving/serving.ts";

const nodeName = "n1";

/** How a pod of some image behaves: it becomes ready, never does, or ends again and again. */
export type Behaviour =
  | "ready"
  | "starting"
  | { readonly exitCode: number; readonly message: string }
  | { readonly waiting: string; readonly message: string };

/** What a test may want otherwise. */
export type TestServingOptions = {
  readonly behaviourOf?: (image: string) => Behaviour;
  readonly images?: ImageResolver;
  /** Addresses of the data plane, or "nodes": as nodes' DataPlane objects say. Default: one. */
  readonly dataPlane?: readonly string[] | "nodes";
  /** Where pods are. Default 10.40.0.9. */
  readonly podIP?: string;
};

/** A running Serving. Stop it at the end of the test. */
export class TestServing {
  readonly clock: FakeClock;
  /** What controllers told, in order. */
  readonly events: EventInput[] = [];
  readonly autoscaler: Autoscaler;
  readonly #api: TestApiServer;
  readonly #informers: InformerFactory;
  readonly #config: ConfigStore;
  readonly #options: TestServingOptions;
  #controllers: readonly NamedController[] = [];
  #played = Promise.resolve();

  private constructor(api: TestApiServer, clock: FakeClock, options: TestServingOptions) {
    this.clock = clock;
    this.#api = api;
    this.#options = options;
    this.#informers = createInformerFactory({ client: api.client, clock, logger: silentLogger });
    this.#config = createConfigStore(this.#informers, silentLogger);
    const lister = podInformer({ informers: this.#informers }).lister;
    const readyPods = (key: string) =>
      lister.byIndex(byRevision, key).filter(({ status }) => status?.conditions?.some(({ type }) => type === "Ready"))
        .length;
    this.autoscaler = new Autoscaler({ clock, readyPods });
  }

  static async start(options: TestServingOptions = {}): Promise<TestServing> {
    const clock = new FakeClock();
    const started: { serving?: TestServing } = {};
    const current = () => (started.serving === undefined ? defaultServingConfig() : started.serving.#config.current);
    const reviewers = servingReviewers(current);
    // On the machine's clock: only what Serving decides by time is turned by hand.
    const api = await startTestApiServer({
      access: () => ({
        authenticator: trustAll,
        authorizer: allowAll,
        admission: [inProcessWebhooks("serving", reviewers)],
      }),
    });
    const serving = new TestServing(api, clock, options);
    started.serving = serving;
    await serving.#start();
    return serving;
  }

  get client(): Client {
    return this.#api.client;
  }

  async #start(): Promise<void> {
    const { client, clock } = this;
    const { signal } = new AbortController();
    await installCustomResources(client, { clock: systemClock, signal });
    const namespaces = { group: "", version: "v1", resource: "namespaces" };
    const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: servingNamespace } };
    await client.create({ resource: namespaces }, namespace);
    const nodes = { group: "", version: "v1", resource: "nodes" };
    await client.create({ resource: nodes }, { apiVersion: "v1", kind: "Node", metadata: { name: nodeName } });
    const recorder: EventRecorder = { record: (_about, event) => this.events.push(event) };
    const kube = { client, informers: this.#informers, recorderFor: () => recorder, clock, logger: silentLogger };
    const { images } = this.#options;
    const planes = new ClusterDataPlane({ informers: this.#informers, clock });
    const given = this.#options.dataPlane ?? ["10.99.0.1"];
    const dataPlane: DataPlane =
      given === "nodes" ? planes : { addresses: () => given, httpPort: 8081, onChange: () => () => {} };
    const { autoscaler } = this;
    const coldStarts = new ColdStartLog();
    const context = { ...kube, config: this.#config, autoscaler, coldStarts, dataPlane };
    this.#controllers = [
      createDeploymentController(kube),
      createReplicaSetController(kube),
      createEndpointSliceController(kube),
      ...createServingControllers({ ...context, ...(images === undefined ? {} : { images }) }),
    ];
    this.#config.start();
    podInformer({ informers: this.#informers }).addHandler({
      onAdd: (pod) => this.#play(pod),
      onUpdate: (_before, pod) => this.#play(pod),
    });
    await this.#informers.start(signal);
    await Promise.all(this.#controllers.map((controller) => controller.start(signal)));
    const stats = {
      record: (stat: RevisionStat) => autoscaler.record(stat),
      recordColdStart: (...start: Parameters<ColdStartLog["recordColdStart"]>) => coldStarts.recordColdStart(...start),
    };
    await planes.start(stats, signal);
    await this.settle();
  }

  async stop(): Promise<void> {
    this.autoscaler.stop();
    await Promise.all(this.#controllers.map((controller) => controller.stop()));
    await this.#informers.stop();
    await this.#api.stop();
  }

  /** Lets all come to rest, in the time that first retries take and no more. */
  async settle(): Promise<void> {
    await comeToRest(this.clock, this.#controllers, () => this.#played);
  }

  /** Turns the clock, a second at a time, doing something in each. */
  async pass(seconds: number, each: () => void = () => {}): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      await this.clock.advance(1000);
      each();
      await settle(3);
    }
    await this.settle();
  }

  /** A namespace of its own, for one test. */
  async namespace(name: string): Promise<TestNamespace> {
    const resource = { group: "", version: "v1", resource: "namespaces" };
    await this.client.create({ resource }, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    return new TestNamespace(this, name);
  }

  /** The node agent: pods run at once, as their image behaves; those being deleted go. */
  #play(pod: Pod): void {
    this.#played = this.#played.then(() => this.#playOne(pod)).catch(() => {}); // the pod has changed meanwhile
  }

  async #playOne(pod: Pod): Promise<void> {
    const { name = "", namespace = "default", deletionTimestamp } = pod.metadata ?? {};
    const ref = { resource: pods, namespace, name };
    if (deletionTimestamp !== undefined) {
      await this.client.delete(ref, { gracePeriodSeconds: 0 });
      return;
    }
    if (pod.status?.conditions !== undefined && pod.status.conditions.length > 0) return;
    const target = { apiVersion: "v1", kind: "Binding", metadata: { name }, target: { kind: "Node", name: nodeName } };
    if (!pod.spec?.nodeName) await this.client.create({ ...ref, subresource: "binding" }, target);
    const containers = pod.spec?.containers ?? [];
    const behaviours = containers.map(({ image = "" }) => this.#options.behaviourOf?.(image) ?? "ready");
    const isReady = behaviours.every((behaviour) => behaviour === "ready");
    const containerStatuses = containers.map(({ name: container, image = "" }, index) => ({
      name: container,
      image,
      imageID: "",
      ready: isReady,
      restartCount: 0,
      ...stateOf(behaviours[index] ?? "ready", this.clock.now()),
    }));
    const now = formatTime(this.clock.now());
    const { podIP = "10.40.0.9" } = this.#options;
    const status = {
      phase: "Running",
      podIP,
      podIPs: [{ ip: podIP }],
      conditions: [{ type: "Ready", status: isReady ? "True" : "False", lastTransitionTime: now }],
      containerStatuses,
    };
    await this.client.patch({ ...ref, subresource: "status" }, { type: "merge", body: { status } });
  }
}

/** Serving, as one test sees it. Writes return when all has come to rest. */
export class TestNamespace extends PartNamespace {
  readonly #serving: TestServing;

  constructor(serving: TestServing, name: string) {
    super(serving, name);
    this.#serving = serving;
  }

  /** Turns the clock, a second at a time, doing something in each. */
  pass(seconds: number, each?: () => void): Promise<void> {
    return this.#serving.pass(seconds, each);
  }

  /** One second's report of requests to a revision. */
  report(revision: string, concurrency: number, requests: number = concurrency): void {
    this.#serving.autoscaler.record({
      revision: { namespace: this.name, name: revision },
      reporter: "node",
      atMs: this.#serving.clock.now(),
      averageConcurrentRequests: concurrency,
      requestCount: requests,
    });
  }
}

function stateOf(behaviour: Behaviour, nowMs: number): object {
  const startedAt = formatTime(nowMs);
  if (behaviour === "ready") return { state: { running: { startedAt } } };
  if (behaviour === "starting") return { state: { waiting: { reason: "ContainerCreating" } } };
  if ("waiting" in behaviour) return { state: { waiting: { reason: behaviour.waiting, message: behaviour.message } } };
  const terminated = { ...behaviour, reason: "Error", startedAt, finishedAt: startedAt };
  return { state: { waiting: { reason: "CrashLoopBackOff" } }, lastState: { terminated } };
}

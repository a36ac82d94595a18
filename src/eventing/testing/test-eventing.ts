/**
 * Eventing's objects' side on a real API server in this process, with its webhooks and controllers, and a dispatcher that is only an endpoint: for tests of scenarios.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { allowAll, startTestApiServer, type TestApiServer, trustAll } from "#apiserver/testing/test-api-server.ts";
import { createSubjectAccessReviewHandler } from "#apiserver/virtual-resources/access-reviews.ts";
import type { Client } from "#client/client.ts";
import type { NamedController } from "#client/controller.ts";
import type { EventInput, EventRecorder } from "#client/event-recorder.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { createInformerFactory, type InformerFactory } from "#client/informer-factory.ts";
import { FakeClock, systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { eventingReviewers } from "#eventing/admission/reviewers.ts";
import {
  createEventingConfigStore,
  defaultEventingConfig,
  type EventingConfigStore,
} from "#eventing/config/config-store.ts";
import { createEventingControllers } from "#eventing/controllers.ts";
import { eventingDefinitions, eventingKinds } from "#eventing/crds/custom-resources.ts";
import { eventingRoles } from "#eventing/crds/roles.ts";
import { eventingNamespace, ingressService } from "#eventing/names.ts";
import { noConverter } from "#eventing/testing/no-converter.ts";
import { endpointSlices } from "#knative/kube-services.ts";
import { ensureClusterRoles } from "#knative/roles.ts";
import { inProcessWebhooks } from "#knative/testing/in-process-webhooks.ts";
import { comeToRest, PartNamespace } from "#knative/testing/part-namespace.ts";

const namespaces: GroupVersionResource = { group: "", version: "v1", resource: "namespaces" };
export const services: GroupVersionResource = { group: "", version: "v1", resource: "services" };

/** Whoever asks who may do what hears that everybody may, but for service accounts of this name. */
const powerless = "powerless";
const virtualResources = new Map([
  [
    "authorization.k8s.io/subjectaccessreviews",
    createSubjectAccessReviewHandler({
      authorize: async ({ name }) => ({ allowed: !name.endsWith(`:${powerless}`), reason: "" }),
    }),
  ],
]);

/** A running Eventing. Stop it at the end of the test. */
export class TestEventing {
  readonly clock: FakeClock = new FakeClock();
  /** What controllers told, in order. */
  readonly events: EventInput[] = [];
  readonly #api: TestApiServer;
  readonly #informers: InformerFactory;
  readonly #config: EventingConfigStore;
  #controllers: readonly NamedController[] = [];

  private constructor(api: TestApiServer) {
    this.#api = api;
    this.#informers = createInformerFactory({ client: api.client, clock: this.clock, logger: silentLogger });
    this.#config = createEventingConfigStore(this.#informers, silentLogger);
  }

  static async start(): Promise<TestEventing> {
    const started: { eventing?: TestEventing } = {};
    const current = () => (started.eventing === undefined ? defaultEventingConfig : started.eventing.#config.current);
    const admission = [inProcessWebhooks("eventing", eventingReviewers(current))];
    const api = await startTestApiServer({
      access: () => ({ authenticator: trustAll, authorizer: allowAll, admission, virtualResources }),
    });
    const eventing = new TestEventing(api);
    started.eventing = eventing;
    await eventing.#start();
    return eventing;
  }

  get client(): Client {
    return this.#api.client;
  }

  /** Somebody who is not the control plane. */
  get somebody(): Client {
    return this.#api.clientAs({ name: "jane", groups: ["system:masters", "system:authenticated"] });
  }

  async #start(): Promise<void> {
    const { client, clock } = this;
    const { signal } = new AbortController();
    await installDefinitions(client, eventingDefinitions(eventingKinds, noConverter), { clock: systemClock, signal });
    await ensureClusterRoles(client, eventingRoles(), signal);
    await client.create({ resource: namespaces }, namespace(eventingNamespace));
    await this.listen();
    const recorder: EventRecorder = { record: (_about, event) => this.events.push(event) };
    const context = { client, informers: this.#informers, recorderFor: () => recorder, clock, logger: silentLogger };
    this.#controllers = createEventingControllers(
      { ...context, config: this.#config },
      { apiServerUrl: "https://10.41.0.1:443", bucketFolder: (name, bucket) => `/objects/${name}/${bucket}` },
    );
    this.#config.start();
    await this.#informers.start(signal);
    await Promise.all(this.#controllers.map((controller) => controller.start(signal)));
    await this.settle();
  }

  /** The dispatcher begins to listen, or ends. */
  async listen(isReady = true): Promise<void> {
    const at = { resource: endpointSlices, namespace: eventingNamespace };
    const endpoints = [{ addresses: ["10.42.255.1"], conditions: { ready: isReady } }];
    const slice = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: ingressService, labels: { "kubernetes.io/service-name": ingressService } },
      addressType: "IPv4",
      endpoints,
      ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    } as KubeObject;
    try {
      await this.client.create(at, slice);
    } catch {
      await this.client.patch({ ...at, name: ingressService }, { type: "merge", body: { endpoints } });
    }
    await this.settle();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#controllers.map((controller) => controller.stop()));
    await this.#informers.stop();
    await this.#api.stop();
  }

  /** Lets all come to rest, in the time that first retries take and no more. */
  async settle(): Promise<void> {
    await comeToRest(this.clock, this.#controllers);
  }

  /** A namespace of its own, for one test. */
  async namespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<TestNamespace> {
    await this.client.create({ resource: namespaces }, namespace(name, labels));
    await this.settle();
    return new TestNamespace(this, name);
  }

  /** Writes one of Eventing's ConfigMaps. */
  async configure(name: string, data: Readonly<Record<string, string>>): Promise<void> {
    const at = { resource: { group: "", version: "v1", resource: "configmaps" }, namespace: eventingNamespace };
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data } as KubeObject;
    await this.client.patch({ ...at, name }, { type: "apply", body }, { fieldManager: "test", force: true });
    await this.settle();
  }
}

/** Eventing, as one test sees it. Writes return when all has come to rest. */
export class TestNamespace extends PartNamespace {
  readonly #eventing: TestEventing;

  constructor(eventing: TestEventing, name: string) {
    super(eventing, name);
    this.#eventing = eventing;
  }

  /** As somebody who is not the control plane. */
  async mergeAsSomebody(resource: GroupVersionResource, name: string, body: object): Promise<void> {
    const ref = { resource, namespace: this.name, name };
    await this.#eventing.somebody.patch(ref, { type: "merge", body });
  }

  async mergeStatus(resource: GroupVersionResource, name: string, status: object): Promise<void> {
    const ref = { resource, namespace: this.name, name, subresource: "status" };
    await this.#eventing.client.patch(ref, { type: "merge", body: { status } });
    await this.#eventing.settle();
  }

  /** A Kubernetes Service, and a reference to it. */
  async service(name: string): Promise<{ readonly ref: object; readonly url: string }> {
    const spec = { ports: [{ port: 80 }], selector: { app: name } };
    await this.create(services, { apiVersion: "v1", kind: "Service", metadata: { name }, spec });
    return {
      ref: { apiVersion: "v1", kind: "Service", name },
      url: `http://${name}.${this.name}.svc.cluster.local`,
    };
  }
}

function namespace(name: string, labels: Readonly<Record<string, string>> = {}): KubeObject {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } };
}

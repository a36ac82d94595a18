/**
 * Starts Eventing's objects' side. At the start there are only its kinds and a webhook server that waits: controllers, and whatever else is needed to deliver, begin with the first object of one of its kinds. Writes of these
 * kinds all pass the webhooks, so nobody has to watch for it.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Reviewers } from "#knative/admission/admission-review.ts";
import { ensureWebhookConfigurations } from "#knative/admission/webhook-configurations.ts";
import { conversionPath, startWebhookServer, type WebhookServer } from "#knative/admission/webhook-server.ts";
import { kubeServices } from "#knative/kube-services.ts";
import { ensureNamespace } from "#knative/namespace.ts";
import { ensureClusterRoles } from "#knative/roles.ts";
import { eventingRules } from "./admission/rules.ts";
import type { EventingConfigStore } from "./config/config-store.ts";
import { eventingDefinitions, eventingKinds } from "./crds/custom-resources.ts";
import { eventingRoles } from "./crds/roles.ts";
import { annotations, eventingNamespace, ingressService } from "./names.ts";
import { type SinkBinding, sinkBindings } from "./sources/kinds.ts";
import type { SourceOptions } from "./sources/source-controllers.ts";

/** Something that is needed once there are objects of Eventing's. */
export type PartOfEventing = (signal: AbortSignal) => Promise<Pick<Service, "stop">>;

/** What Eventing works with. The informer factory runs already. */
export type EventingOptions = ControllerContext & {
  /** Started with the first object, beside the controllers. */
  readonly parts: readonly PartOfEventing[];
  readonly sources: SourceOptions;
  readonly signal: AbortSignal;
};

/** Eventing as it runs. */
export type Eventing = Pick<Service, "stop"> & {
  /** True once there was an object of one of its kinds. */
  readonly isUsed: boolean;
  /** Resolves when the controllers run, if there was reason to start them. */
  settled(): Promise<void>;
};

/** A start that failed is tried again after this. */
const retryMs = 5000;

/** Resolves when its kinds can be used. Starting it again, after a crash too, finds things as they are. */
export async function startEventing(options: EventingOptions): Promise<Eventing> {
  const { client, clock, logger, signal } = options;
  const lazy = new LazyEventing(options);
  const webhooks = await startWebhookServer({
    part: "eventing",
    reviewers: () => lazy.reviewers(),
    converter: async () => (await import("./eventtype/convert-event-type.ts")).convertEventType,
    clock,
    logger,
  });
  try {
    await install(options, webhooks);
    if (await hasObjects(client, signal)) lazy.begin();
  } catch (error) {
    await webhooks.stop();
    throw error;
  }
  const forget = beginForNamespaces(options, () => lazy.begin());
  return {
    get isUsed() {
      return lazy.isUsed;
    },
    settled: () => lazy.settled(),
    async stop() {
      forget();
      await lazy.stop();
      await webhooks.stop();
    },
  };
}

async function install({ client, clock, signal }: EventingOptions, webhooks: WebhookServer): Promise<void> {
  // Before the kinds: an object that is written before anybody looks at it would stay without its defaults, its Broker's class among them.
  await ensureWebhookConfigurations(client, webhooks, { part: "eventing", rules: eventingRules, signal });
  const converter = { url: `${webhooks.url}${conversionPath}`, ca: webhooks.ca };
  await Promise.all([
    installDefinitions(client, eventingDefinitions(eventingKinds, converter), { clock, signal }),
    ensureNamespace(
      client,
      { name: eventingNamespace, labels: { "app.kubernetes.io/name": eventingNamespace } },
      signal,
    ),
    ensureClusterRoles(client, eventingRoles(), signal),
  ]);
}

/** After a restart: objects that were there before are nobody's write. */
async function hasObjects(client: Client, signal: AbortSignal): Promise<boolean> {
  const found = await Promise.all(
    eventingKinds.map(async ({ group, version, plural }) => {
      const resource = { group, version, resource: plural };
      return (await client.list({ resource }, { limit: 1, metadataOnly: true, signal })).items.length > 0;
    }),
  );
  return found.includes(true);
}

/** A namespace may ask for a Broker by its label: that is a write of none of our kinds. */
function beginForNamespaces({ informers }: EventingOptions, begin: () => void): () => void {
  const look = ({ metadata }: KubeObject) => {
    if (metadata?.labels?.[annotations.injection] === "enabled") begin();
  };
  const namespaces = informers.informer({ resource: { group: "", version: "v1", resource: "namespaces" } });
  return namespaces.addHandler({ onAdd: look, onUpdate: (_before, namespace) => look(namespace) });
}

/** The Service in front of whoever takes events; who that is is for the dispatcher to say, in a slice. */
async function ensureIngressService(client: Client, signal: AbortSignal): Promise<void> {
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: ingressService, labels: { "app.kubernetes.io/name": eventingNamespace } },
    spec: { ports: [{ name: "http", port: 80, protocol: "TCP" }] },
  } as KubeObject;
  try {
    await client.create({ resource: kubeServices, namespace: eventingNamespace }, service, { signal });
  } catch (error) {
    if (!hasReason(error, "AlreadyExists")) throw error;
  }
}

/** What is loaded and started when it is needed, once. */
class LazyEventing {
  readonly #options: EventingOptions;
  readonly #abort = new AbortController();
  #loading: Promise<Reviewers> | undefined;
  #store: Promise<EventingConfigStore> | undefined;
  #endConfig: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #parts: Pick<Service, "stop">[] = [];

  constructor(options: EventingOptions) {
    this.#options = options;
  }

  get isUsed(): boolean {
    return this.#running !== undefined;
  }

  /** What the webhooks say; asking is the first sign of an object. */
  reviewers(): Promise<Reviewers> {
    this.begin();
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** Starts the controllers in the background. */
  begin(): void {
    this.#running ??= this.#run();
  }

  async settled(): Promise<void> {
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error("Eventing stops"));
    await this.#running;
    for (const part of this.#parts.toReversed()) await part.stop();
    this.#endConfig?.();
  }

  async #run(): Promise<void> {
    const { clock, logger, signal } = this.#options;
    const until = AbortSignal.any([signal, this.#abort.signal]);
    while (!until.aborted) {
      try {
        await this.#start(until);
        logger.info("Started Knative Eventing");
        return;
      } catch (error) {
        if (until.aborted) return;
        logger.error("Knative Eventing could not be started", { error });
        for (const part of this.#parts.splice(0).toReversed()) await part.stop();
        await clock.sleep(retryMs, until).catch(() => {}); // the loop sees that it was aborted
      }
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    const [{ createEventingControllers }, config] = await Promise.all([import("./controllers.ts"), this.#config()]);
    await ensureIngressService(this.#options.client, signal);
    const controllers: readonly NamedController[] = createEventingControllers(
      { ...this.#options, config },
      this.#options.sources,
    );
    this.#parts.push(...controllers);
    await Promise.all(controllers.map((controller) => controller.start(signal)));
    for (const start of this.#options.parts) this.#parts.push(await start(signal));
  }

  async #load(): Promise<Reviewers> {
    const [{ eventingReviewers }, config] = await Promise.all([import("./admission/reviewers.ts"), this.#config()]);
    const { informers, signal } = this.#options;
    const bindings = informers.informer<SinkBinding>({ resource: sinkBindings });
    await bindings.waitForSync(signal);
    return eventingReviewers(
      () => config.current,
      () => bindings.lister.list(),
    );
  }

  #config(): Promise<EventingConfigStore> {
    this.#store ??= this.#readConfig().catch((error: unknown) => {
      this.#store = undefined;
      throw error;
    });
    return this.#store;
  }

  async #readConfig(): Promise<EventingConfigStore> {
    const { informers, logger, signal } = this.#options;
    const { createEventingConfigStore } = await import("./config/config-store.ts");
    const config = createEventingConfigStore(informers, logger);
    this.#endConfig = config.start();
    await config.informer.waitForSync(signal);
    return config;
  }
}

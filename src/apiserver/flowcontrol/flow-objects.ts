/**
 * Stores the default flow schemas and priority levels, follows what people change of them, and says in each schema's status whether its level exists.
 */
import type { FlowSchema, PriorityLevelConfiguration } from "#api/generated/types/flowcontrol-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { createInformerFactory, type InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { defaultFlowSchemas, defaultPriorityLevels } from "./default-flows.ts";
import type { FlowControl } from "./flow-control.ts";

const resourceOf = (resource: string) => ({ group: "flowcontrol.apiserver.k8s.io", version: "v1", resource });
const schemas = { resource: resourceOf("flowschemas") };
const levels = { resource: resourceOf("prioritylevelconfigurations") };

/** What it works with. */
export type FlowObjectsOptions = {
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly control: FlowControl;
};

/** Keeps the objects and the control in step. */
export class FlowObjects {
  readonly #options: FlowObjectsOptions;
  readonly #informers: InformerFactory;
  readonly #schemas: Informer<FlowSchema>;
  readonly #levels: Informer<PriorityLevelConfiguration>;
  readonly #stopping = new AbortController();
  #isScheduled = false;

  constructor(options: FlowObjectsOptions) {
    this.#options = options;
    this.#informers = createInformerFactory(options);
    this.#schemas = this.#informers.informer<FlowSchema>(schemas);
    this.#levels = this.#informers.informer<PriorityLevelConfiguration>(levels);
  }

  /** Runs beside everything else: requests are served by the defaults meanwhile. */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      await Promise.all([
        ...defaultPriorityLevels.map((level) => this.#ensure(levels, level)),
        ...defaultFlowSchemas.map((schema) => this.#ensure(schemas, schema)),
      ]);
      if (signal.aborted) return;
      await this.#informers.start(signal);
      await this.#informers.waitForSync(signal);
      const onChange = (): void => this.#changed();
      this.#schemas.addHandler({ onAdd: onChange, onUpdate: onChange, onDelete: onChange });
      this.#levels.addHandler({ onAdd: onChange, onUpdate: onChange, onDelete: onChange });
    } catch (error) {
      if (!signal.aborted) this.#options.logger.warn("Failed to keep flow schemas", { error });
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#informers.stop();
  }

  async #ensure(ref: ResourceRef, object: KubeObject): Promise<void> {
    const { client } = this.#options;
    const name = object.metadata?.name ?? "";
    try {
      await client.get({ ...ref, name });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
      await client.create(ref, object).catch((failure: unknown) => {
        if (!hasReason(failure, "AlreadyExists")) throw failure;
      });
    }
  }

  // Many changes at once are one.
  #changed(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (this.#stopping.signal.aborted) return;
      const all = this.#schemas.lister.list();
      this.#options.control.configure(all, this.#levels.lister.list());
      for (const schema of all) void this.#sayWhetherItDangles(schema);
    });
  }

  async #sayWhetherItDangles(schema: FlowSchema): Promise<void> {
    const { client, clock, logger } = this.#options;
    const level = schema.spec?.priorityLevelConfiguration.name ?? "";
    const isThere = this.#levels.lister.find("", level) !== undefined;
    const status = isThere ? "False" : "True";
    if (schema.status?.conditions?.find(({ type }) => type === "Dangling")?.status === status) return;
    const about = `This FlowSchema references the PriorityLevelConfiguration object named "${level}"`;
    const condition = {
      type: "Dangling",
      status,
      lastTransitionTime: formatTime(clock.now()),
      reason: isThere ? "Found" : "NotFound",
      message: isThere ? `${about} and it exists` : `${about} but there is no such object`,
    };
    const ref = { ...schemas, name: schema.metadata?.name ?? "", subresource: "status" };
    try {
      await client.patch(ref, { type: "strategic", body: { status: { conditions: [condition] } } });
    } catch (error) {
      if (!this.#stopping.signal.aborted && !hasReason(error, "NotFound"))
        logger.warn("Failed to write the status of a flow schema", { flowSchema: ref.name, error });
    }
  }
}

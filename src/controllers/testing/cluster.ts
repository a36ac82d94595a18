/**
 * A control plane for tests of controllers: the API in memory, informers, recorders and a clock that is turned by hand.
 */
import type { Event, Pod } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import { silentLogger } from "#component-base/logger.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { Client, ListOptions } from "#client/client.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import type { FakeHook } from "#client/testing/fake-transport.ts";
import { settle } from "#client/testing/settle.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";

/** A running control plane. Stop it at the end of the test. */
export class TestCluster {
  readonly clock: FakeClock = new FakeClock();
  readonly transport: FakeTransport;
  readonly client: Client;
  readonly context: ControllerContext;
  readonly #recorders: (EventRecorder & Service)[] = [];
  readonly #controllers: NamedController[] = [];

  constructor(options: { readonly hook?: FakeHook } = {}) {
    this.transport = new FakeTransport({ clock: this.clock, ...options });
    this.client = createClient(this.transport);
    const { clock, client } = this;
    const informers = createInformerFactory({ client, clock, logger: silentLogger });
    const recorderFor = (component: string) => {
      const recorder = createEventRecorder({ client, component, clock, logger: silentLogger });
      this.#recorders.push(recorder);
      return recorder;
    };
    this.context = { client, informers, recorderFor, clock, logger: silentLogger };
  }

  /** Makes and starts controllers. */
  async start(...makers: readonly ((context: ControllerContext) => NamedController)[]): Promise<void> {
    const { signal } = new AbortController();
    this.#controllers.push(...makers.map((make) => make(this.context)));
    await this.context.informers.start(signal);
    await Promise.all(this.#controllers.map((controller) => controller.start(signal)));
    await this.settle();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#controllers.map((controller) => controller.stop()));
    await Promise.all(this.#recorders.map((recorder) => recorder.stop()));
    await this.context.informers.stop();
  }

  /** Lets all controllers come to rest, without time passing beyond the first retries: until none has work or sends requests any more. */
  async settle(): Promise<void> {
    let quietRounds = 0;
    for (let round = 0; round < 50 && quietRounds < 4; round++) {
      const before = this.transport.log.length;
      await settle(4);
      await this.clock.advance(20);
      const isQuiet =
        this.transport.log.length === before && this.#controllers.every((controller) => controller.isIdle);
      quietRounds = isQuiet ? quietRounds + 1 : 0;
    }
  }

  async create<T extends KubeObject>(resource: GroupVersionResource, object: T, namespace = "default"): Promise<T> {
    return await this.client.create<T>({ resource, namespace }, object);
  }

  /** Creates an object without a namespace. */
  async createClusterScoped<T extends KubeObject>(resource: GroupVersionResource, object: T): Promise<T> {
    return await this.client.create<T>({ resource }, object);
  }

  async get<T extends KubeObject>(resource: GroupVersionResource, name: string, namespace = "default"): Promise<T> {
    return await this.client.get<T>({ resource, namespace, name });
  }

  async list<T extends KubeObject>(resource: GroupVersionResource, options?: ListOptions): Promise<readonly T[]> {
    return (await this.client.list<T>({ resource }, options)).items;
  }

  async merge(resource: GroupVersionResource, name: string, body: object, subresource?: string): Promise<void> {
    const ref = { resource, namespace: "default", name, ...(subresource === undefined ? {} : { subresource }) };
    await this.client.patch(ref, { type: "merge", body });
  }

  async eventReasons(): Promise<readonly string[]> {
    const events = await this.list<Event>({ group: "", version: "v1", resource: "events" });
    return events.map((event) => event.reason ?? "");
  }

  /** Plays kubelet: binds the pods, runs them and calls them ready. */
  async runPods(all?: readonly Pod[], node = "n1"): Promise<void> {
    const pods = { group: "", version: "v1", resource: "pods" };
    const now = formatTime(this.clock.now());
    for (const pod of all ?? (await this.list<Pod>(pods))) {
      if (pod.status?.phase !== "Pending") continue;
      const { name = "", namespace = "default" } = pod.metadata ?? {};
      if (!pod.spec?.nodeName)
        await this.client.patch(
          { resource: pods, namespace, name },
          { type: "merge", body: { spec: { nodeName: node } } },
        );
      const conditions = [{ type: "Ready", status: "True", lastTransitionTime: now }];
      const status = {
        phase: "Running",
        conditions,
        podIP: `10.0.0.${name.length}`,
        podIPs: [{ ip: `10.0.0.${name.length}` }],
      };
      await this.client.patch(
        { resource: pods, namespace, name, subresource: "status" },
        { type: "merge", body: { status } },
      );
    }
    await this.settle();
  }

  /** Plays kubelet: sets a pod's phase. */
  async setPodPhase(name: string, phase: string, more: object = {}): Promise<void> {
    await this.merge({ group: "", version: "v1", resource: "pods" }, name, { status: { phase, ...more } }, "status");
  }

  /** Plays kubelet: lets pods that are being deleted go. */
  async reapPods(): Promise<void> {
    const pods = { group: "", version: "v1", resource: "pods" };
    for (const pod of await this.list<Pod>(pods)) {
      const { name = "", namespace = "default", deletionTimestamp } = pod.metadata ?? {};
      if (deletionTimestamp !== undefined)
        await this.client.delete({ resource: pods, namespace, name }, { gracePeriodSeconds: 0 });
    }
    await this.settle();
  }
}

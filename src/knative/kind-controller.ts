/**
 * The frame of a controller of one of Knative's kinds: a look at the object gives marks and the rest of its status, which is written when it differs; what it owns and what it refers to brings
 * it back into the queue. As upstream's generated reconcilers.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { type ControllerContext, KeyedController, type NamedController } from "#client/controller.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { AddressableResolver, type Resolved } from "./addressable-resolver.ts";
import { Conditions } from "./conditions.ts";
import type { Destination } from "./destination.ts";
import type { Conditioned, DuckStatus } from "./duck.ts";
import { writeStatus } from "./objects.ts";
import { type TrackedReference, Tracker } from "./tracker.ts";

/** What is particular to one kind's controller. */
export type KindControllerOptions<T extends Conditioned> = {
  /** "eventing-trigger". */
  readonly name: string;
  /** "Trigger": owner references name it so. */
  readonly kind: string;
  readonly resource: GroupVersionResource;
  /** Conditions that decide over Ready. */
  readonly dependents: readonly string[];
  /** Does what is to be done for the object, marks the conditions, and gives the rest of its status. Called again when it throws. */
  readonly look: (object: T, look: Look) => Promise<Omit<DuckStatus, "conditions">>;
  /** Which objects are this controller's affair; absent: all. */
  readonly isOurs?: (object: T) => boolean;
};

/** One look at an object. */
export type Look = {
  readonly conditions: Conditions;
  readonly signal: AbortSignal;
  /** Where a destination is; the object is looked at again when what it refers to changes. Throws Unresolved. */
  resolve(destination: Destination): Promise<Resolved>;
  /** Has the object looked at again after a while, once its status is written: for what nobody would tell of. */
  retry(problem: Error): void;
  /** An object of any kind, or undefined; followed from now on. Throws UnknownKind. */
  find<R extends KubeObject>(reference: TrackedReference): Promise<R | undefined>;
};

/** A controller of one kind. */
export class KindController<T extends Conditioned> implements NamedController {
  readonly name: string;
  readonly objects: Informer<T>;
  readonly events: EventRecorder;
  readonly #context: ControllerContext;
  readonly #options: KindControllerOptions<T>;
  readonly #frame: KeyedController;
  readonly #tracker: Tracker;
  readonly #resolver: AddressableResolver;

  constructor(context: ControllerContext, options: KindControllerOptions<T>) {
    const { name, resource } = options;
    this.name = name;
    this.#context = context;
    this.#options = options;
    this.events = context.recorderFor(`${name}-controller`);
    this.#frame = new KeyedController(context, { name, reconcile: (key, signal) => this.#reconcile(key, signal) });
    const { queue } = this.#frame;
    this.#tracker = new Tracker({ ...context, onChange: (follower) => queue.add(follower) });
    this.#resolver = new AddressableResolver({ tracker: this.#tracker, clusterDomain: "cluster.local" });
    const enqueue = (object: T) => queue.add(keyOf(object));
    this.objects = this.#frame.watch(context.informers.informer<T>({ resource }), {
      onAdd: enqueue,
      onUpdate: (_before, object) => enqueue(object),
      onDelete: enqueue,
    });
  }

  get isIdle(): boolean {
    return this.#frame.isIdle;
  }

  /** Objects of another kind; `toKeys` says which of ours are to be looked at when one of them changes. Before the start. */
  watch<O extends KubeObject>(resource: GroupVersionResource, toKeys: (object: O) => readonly string[]): Informer<O> {
    const enqueue = (object: O) => {
      for (const key of toKeys(object)) this.#frame.queue.add(key);
    };
    return this.#frame.watch(this.#context.informers.informer<O>({ resource }), {
      onAdd: enqueue,
      onUpdate: (before, object) => {
        enqueue(before);
        enqueue(object);
      },
      onDelete: enqueue,
    });
  }

  /** Objects that ours own. Before the start. */
  watchOwned<O extends KubeObject>(resource: GroupVersionResource): Informer<O> {
    return this.watch<O>(resource, (object) => {
      const owner = controllerOf(object);
      return owner?.kind === this.#options.kind ? [`${object.metadata?.namespace}/${owner.name}`] : [];
    });
  }

  /** All of ours are to be looked at: something that holds for all has changed. */
  enqueueAll(): void {
    for (const object of this.objects.lister.list()) this.#frame.queue.add(keyOf(object));
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#frame.start(signal);
  }

  async stop(): Promise<void> {
    this.#tracker.stop();
    await this.#frame.stop();
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { resource, dependents, look, isOurs = () => true } = this.#options;
    const { namespace, name } = splitKey(key);
    this.#tracker.forget(key);
    const object = this.objects.lister.find(namespace, name);
    if (object === undefined || object.metadata?.deletionTimestamp !== undefined || !isOurs(object)) return;
    const conditions = new Conditions(object.status?.conditions, dependents);
    const problems: Error[] = [];
    const rest = await look(object, {
      conditions,
      retry: (problem) => problems.push(problem),
      signal,
      resolve: (destination) => this.#resolver.resolve(destination, { follower: key, namespace, signal }),
      find: (reference) => this.#tracker.find(reference, key, signal),
    });
    const status = { ...rest, conditions: conditions.result(this.#context.clock.now()) };
    try {
      await writeStatus(this.#context.client, resource, { object, status, signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
    const [problem] = problems;
    if (problem !== undefined) throw problem;
  }
}

/**
 * Makes Functions run: source → image → Knative Service, and says in the status how far it is. What runs goes on running while something newer does not build.
 */
import { createHash } from "node:crypto";
import { controllerOf, isControlledBy } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { type ControllerContext, KeyedController, type NamedController } from "#client/controller.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import type { BuildFailure } from "#functions/build/build-error.ts";
import type { BuildListener } from "#functions/build/build-process.ts";
import type { FunctionName, KeptImages } from "#functions/build/kept-images.ts";
import type { BuildJob, BuildOutcome, BuildSettings } from "#functions/build/job.ts";
import { buildLogName, type FunctionObject, functions, type FunctionStatus } from "#api/nodeless/function.ts";
import { type KnativeService, knativeServices } from "#functions/kinds.ts";
import { conditionsOf, isFalse, isTrue, isUnknown, type Mark } from "#knative/conditions.ts";
import type { Condition } from "#knative/duck.ts";
import { RefusedWrites, WriteRefused } from "#knative/refused-writes.ts";
import { inputHashOf, jobOf } from "./build-inputs.ts";
import { BuildLog } from "./build-log.ts";
import { Builds } from "./builds.ts";
import { serviceOf } from "./service-of.ts";

/** What it works with. */
export type FunctionControllerContext = ControllerContext & {
  /** As configured now. */
  readonly settings: () => BuildSettings;
  /** Builds in a process of its own. Rejects only when it is aborted. */
  readonly build: (
    job: Omit<BuildJob, "work">,
    options: { readonly listener: BuildListener; readonly signal: AbortSignal },
  ) => Promise<BuildOutcome>;
  /** What was built for functions, so that it goes with them. */
  readonly kept: Pick<KeptImages, "list" | "remove">;
};

const fieldManager = "nodeless-functions";
/** Says of which wanted form a Service is: what others change in it is theirs until the function changes. */
const formAnnotation = "nodeless.dev/function-form";
/** How long what was built for a function outlives it: its pods are ending. */
const keptMs = 5000;
/** How long when nobody saw it go: a source may have been pushed for one that is about to be made. */
const foundMs = 60_000;
const lookAgainMs = 15_000;
/** What may pass by itself is tried again, sooner at first. */
const retryMs = [2000, 10_000, 30_000, 120_000];

/** The controller of Functions. */
export function createFunctionController(context: FunctionControllerContext): NamedController {
  return new FunctionController(context);
}

/** The conditions that Ready depends on. */
type Dependent = "SourceReady" | "Built" | "ServiceReady";

/** How an image is come by. */
type ImageState = {
  readonly marks: Pick<Record<Dependent, Mark>, "SourceReady" | "Built">;
  /** The newest that was built, perhaps of older inputs. */
  readonly image?: string;
  readonly build?: FunctionStatus["build"];
  readonly againAfterMs?: number;
};

const notBuilt: ImageState = {
  marks: {
    SourceReady: isUnknown("NotFetched", "Nothing is fetched or built while another Service has the name."),
    Built: isUnknown("SourceNotReady", "The source is not there yet."),
  },
};

class FunctionController implements NamedController {
  readonly name = "functions";
  readonly #context: FunctionControllerContext;
  readonly #frame: KeyedController;
  readonly #events: EventRecorder;
  readonly #functions: Informer<FunctionObject>;
  readonly #services: Informer<KnativeService>;
  readonly #builds: Builds;
  /** By key: failures in a row of the kind that may pass. */
  readonly #attempts = new Map<
    string,
    { readonly inputHash: string; readonly failure: BuildFailure; readonly count: number }
  >();
  readonly #refused: RefusedWrites;
  /** Of builds under way. */
  readonly #fetched = new Set<string>();

  constructor(context: FunctionControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("function-controller");
    this.#refused = new RefusedWrites(context.clock);
    this.#frame = new KeyedController(context, {
      name: "functions",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.#frame;
    this.#builds = new Builds((key) => queue.add(key));
    this.#functions = this.#frame.watch(context.informers.informer<FunctionObject>({ resource: functions }), {
      onAdd: (fn) => queue.add(keyOf(fn)),
      onUpdate: (_before, fn) => queue.add(keyOf(fn)),
      onDelete: (fn) => queue.add(keyOf(fn)),
    });
    // Its own has its name, and so has somebody else's that is in its way.
    const ofFunction = (service: KnativeService) => {
      const { namespace = "", name = "" } = service.metadata ?? {};
      if (this.#functions.lister.find(namespace, name) !== undefined) queue.add(keyOf(service));
    };
    this.#services = this.#frame.watch(context.informers.informer<KnativeService>({ resource: knativeServices }), {
      onAdd: ofFunction,
      onUpdate: (_before, service) => ofFunction(service),
      onDelete: ofFunction,
    });
  }

  /** Builds are not waited for: they take as long as they take. */
  get isIdle(): boolean {
    return this.#frame.isIdle;
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#frame.start(signal);
    // Functions that went while nobody was here.
    void this.#context.kept.list().then(
      (names) => names.forEach((one) => this.#forgetLater(one, foundMs)),
      (error: unknown) => this.#context.logger.warn("Could not list what is kept of functions", { error }),
    );
  }

  async stop(): Promise<void> {
    await this.#frame.stop();
    await this.#builds.stop();
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const fn = this.#functions.lister.find(namespace, name);
    if (fn === undefined || fn.metadata?.deletionTimestamp !== undefined) {
      this.#builds.forget(key);
      this.#attempts.delete(key);
      this.#refused.forget(key);
      if (fn === undefined) this.#forgetLater({ namespace, name });
      return;
    }
    const state = this.#isTaken(fn) ? notBuilt : this.#ensureImage(key, fn);
    // What is asked for beside the code comes with the code that it is about.
    const image = state.marks.Built.status === "True" ? state.image : undefined;
    const service = await this.#ensureService(fn, image, signal);
    await this.#writeStatus(fn, state, service, signal);
    return state.againAfterMs;
  }

  /** True when its name is another Service's: what is built could not run. One of a function that had this name before is about to go. */
  #isTaken({ metadata }: FunctionObject): boolean {
    const { namespace = "", name = "" } = metadata ?? {};
    const found = this.#services.lister.find(namespace, name);
    const owner = found && controllerOf(found);
    return found !== undefined && !(owner?.kind === "Function" && owner.name === name);
  }

  #forgetLater(one: FunctionName, delayMs = keptMs): void {
    const { clock, kept, logger } = this.#context;
    const isThere = () => this.#functions.lister.find(one.namespace, one.name) !== undefined;
    if (isThere()) return;
    const sinceMs = clock.now();
    const fields = { function: `${one.namespace}/${one.name}` };
    clock.setTimer(delayMs, () => {
      if (isThere()) return;
      kept.remove(one, sinceMs).then(
        (removal) => {
          if (removal === "removed") logger.info("Removed images of a function", fields);
          else this.#forgetLater(one, removal === "inUse" ? lookAgainMs : foundMs);
        },
        (error: unknown) => logger.warn("Could not remove images of a function", { ...fields, error }),
      );
    });
  }

  /** The image of the function as it is now, or how far it is on the way there. */
  #ensureImage(key: string, fn: FunctionObject): ImageState {
    const { source } = fn.spec ?? {};
    if (source?.image !== undefined) return { marks: { SourceReady: isTrue, Built: isTrue }, image: source.image };
    const inputHash = inputHashOf(fn, this.#context.settings());
    const { image, build, conditions } = fn.status ?? {};
    const kept = image === undefined ? {} : { image };
    if (build?.inputHash === inputHash && image !== undefined && wasBuilt(conditions))
      return { marks: { SourceReady: isTrue, Built: isTrue }, image, build };
    const outcome = this.#builds.outcome(key, inputHash);
    if (outcome !== undefined && "image" in outcome) {
      this.#attempts.delete(key);
      const { commit } = outcome;
      return {
        marks: { SourceReady: isTrue, Built: isTrue },
        image: outcome.image,
        build: { inputHash, ...(commit === undefined ? {} : { commit }) },
      };
    }
    if (outcome !== undefined) return { ...this.#failed(key, inputHash, outcome.failure), ...kept };
    // After a restart: what failed for good is not built again and again.
    const marks = build?.inputHash === inputHash ? marksOfFailure(conditions) : undefined;
    if (marks !== undefined) return { ...kept, marks, ...(build === undefined ? {} : { build }) };
    this.#beginBuild(key, fn, inputHash);
    return { ...kept, marks: this.#marksOfRunning(key) };
  }

  #failed(key: string, inputHash: string, failure: BuildFailure): ImageState {
    const failed = isFalse(failure.reason, failure.message);
    const marks =
      failure.stage === "source"
        ? { SourceReady: failed, Built: isUnknown("SourceNotReady", "The source is not there yet.") }
        : { SourceReady: isTrue, Built: failed };
    if (!failure.isPassing) return { marks, build: { inputHash } };
    this.#retryLater(key, inputHash, failure);
    return { marks };
  }

  /** Once for each failure, however often it is looked at. */
  #retryLater(key: string, inputHash: string, failure: BuildFailure): void {
    const known = this.#attempts.get(key);
    if (known?.failure === failure) return;
    const count = known?.inputHash === inputHash ? known.count : 0;
    this.#attempts.set(key, { inputHash, failure, count: count + 1 });
    this.#context.clock.setTimer(retryMs[Math.min(count, retryMs.length - 1)] ?? 0, () => {
      // Something newer may be built by now.
      if (this.#builds.outcome(key, inputHash) === undefined) return;
      this.#builds.forget(key);
      this.#frame.queue.add(key);
    });
  }

  #marksOfRunning(key: string): ImageState["marks"] {
    if (!this.#fetched.has(key))
      return {
        SourceReady: isUnknown("Fetching", "The source is being fetched."),
        Built: isUnknown("SourceNotReady", "The source is not there yet."),
      };
    return { SourceReady: isTrue, Built: isUnknown("Building", "The image is being built.") };
  }

  #beginBuild(key: string, fn: FunctionObject, inputHash: string): void {
    if (this.#builds.isRunning(key, inputHash)) return;
    const { build, settings, client, clock, logger } = this.#context;
    const job = jobOf(fn, settings());
    this.#fetched.delete(key);
    this.#builds.ensure(key, inputHash, async (signal) => {
      const log = new BuildLog(fn, inputHash, { client, clock, logger });
      const startedMs = clock.now();
      const listener: BuildListener = {
        onLine: (line) => log.add(line),
        onFetched: () => {
          this.#fetched.add(key);
          this.#frame.queue.add(key);
        },
      };
      const outcome = await build(job, { listener, signal });
      if ("failure" in outcome) log.add(`error: ${outcome.failure.message}`);
      await log.end();
      this.#tell(fn, outcome, (clock.now() - startedMs) / 1000);
      return outcome;
    });
  }

  #tell(fn: FunctionObject, outcome: BuildOutcome, seconds: number): void {
    if ("image" in outcome) {
      const message = `Built ${outcome.image} in ${seconds.toFixed(1)} s`;
      this.#events.record(fn, { type: "Normal", reason: "Built", message });
    } else {
      const { reason, message } = outcome.failure;
      this.#events.record(fn, { type: "Warning", reason, message });
    }
  }

  /** The Service, brought up to date when there is an image; a Mark where it cannot be. */
  async #ensureService(
    fn: FunctionObject,
    image: string | undefined,
    signal: AbortSignal,
  ): Promise<KnativeService | Mark | undefined> {
    const { namespace = "", name = "" } = fn.metadata ?? {};
    const found = this.#services.lister.find(namespace, name);
    if (found !== undefined && !isControlledBy(found, fn))
      return isFalse("NotOwned", `There is an existing Service ${JSON.stringify(name)} that we do not own.`);
    if (image === undefined) return found;
    const plain = serviceOf(fn, image);
    const form = createHash("sha256").update(JSON.stringify(plain)).digest("hex").slice(0, 16);
    if (found?.metadata?.annotations?.[formAnnotation] === form) return found;
    const annotations = { ...plain.metadata?.annotations, [formAnnotation]: form };
    const body: KnativeService = { ...plain, metadata: { ...plain.metadata, annotations } };
    const ref = { resource: knativeServices, namespace, name };
    try {
      return await this.#refused.attempt(keyOf(fn), { wanted: body, what: "write the Service" }, () =>
        this.#context.client.patch<KnativeService>(ref, { type: "apply", body }, { fieldManager, force: true, signal }),
      );
    } catch (error) {
      if (!(error instanceof WriteRefused)) throw error;
      const { cause, isNews, retryAfterMs } = error;
      if (isNews) this.#events.record(fn, { type: "Warning", reason: "ServiceRefused", message: cause.message });
      this.#frame.queue.addAfter(keyOf(fn), retryAfterMs);
      return error.mark("ServiceRefused", cause.message);
    }
  }

  async #writeStatus(
    fn: FunctionObject,
    state: ImageState,
    service: KnativeService | Mark | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock } = this.#context;
    const { name = "", namespace = "", generation } = fn.metadata ?? {};
    const isService = service !== undefined && !("status" in service && typeof service.status === "string");
    const found = isService ? (service as KnativeService) : undefined;
    const ServiceReady = isService
      ? serviceMark(found)
      : ((service as Mark | undefined) ?? isUnknown("NotBuilt", "There is no image yet."));
    const { url, address, latestCreatedRevisionName, latestReadyRevisionName } = found?.status ?? {};
    const hasBuild = fn.spec?.source?.image === undefined;
    const status: FunctionStatus = {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: conditionsOf(
        { ...state.marks, ServiceReady },
        {
          notes: notesOf(fn),
          before: fn.status?.conditions,
          nowMs: clock.now(),
        },
      ),
      ...(url === undefined ? {} : { url }),
      ...(address === undefined ? {} : { address }),
      ...(state.image === undefined ? {} : { image: state.image }),
      ...(state.build === undefined ? {} : { build: state.build }),
      ...(hasBuild ? { buildLog: { configMapName: buildLogName(name) } } : {}),
      ...(latestCreatedRevisionName === undefined ? {} : { latestCreatedRevisionName }),
      ...(latestReadyRevisionName === undefined ? {} : { latestReadyRevisionName }),
    };
    if (semanticEqual(fn.status, status)) return;
    const ref = { resource: functions, namespace, name, subresource: "status" };
    try {
      await client.update<FunctionObject>(ref, { ...fn, status }, { signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }
}

function wasBuilt(conditions: readonly Condition[] | undefined): boolean {
  return conditions?.some(({ type, status }) => type === "Built" && status === "True") ?? false;
}

/** What a build of the same inputs came to before this process was there. */
function marksOfFailure(conditions: readonly Condition[] = []): ImageState["marks"] | undefined {
  const mark = (type: Dependent): Mark | undefined => {
    const found = conditions.find((condition) => condition.type === type);
    return found && { status: found.status, reason: found.reason ?? "", message: found.message ?? "" };
  };
  const [SourceReady, Built] = [mark("SourceReady"), mark("Built")];
  if (SourceReady === undefined || Built === undefined) return undefined;
  const isFailure = SourceReady.status === "False" || Built.status === "False";
  return isFailure ? { SourceReady: SourceReady.status === "True" ? isTrue : SourceReady, Built } : undefined;
}

/** Ready as the Service says it of its newest form. */
function serviceMark(service: KnativeService | undefined): Mark {
  const { metadata, status } = service ?? {};
  if (service === undefined || status?.observedGeneration !== metadata?.generation)
    return isUnknown("Deploying", "The Service is being brought up to date.");
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  if (ready === undefined) return isUnknown("Deploying", "The Service is being brought up to date.");
  if (ready.status === "True") return isTrue;
  return { status: ready.status, reason: ready.reason ?? "Deploying", message: ready.message ?? "" };
}

/** What was asked for and does not hold, said instead of being left out in silence. */
function notesOf({ spec = {} }: FunctionObject): Readonly<Record<string, Mark>> {
  const { runtime = "isolate", network, source } = spec;
  if (network?.outbound === undefined) return {};
  if (runtime === "isolate" && source?.image === undefined) return { OutboundRulesEnforced: isTrue };
  const what = source?.image === undefined ? `runtime ${runtime}` : "an image that was built elsewhere";
  return {
    OutboundRulesEnforced: isFalse("NotPossible", `network.outbound is enforced for isolates only, not for ${what}.`),
  };
}

/**
 * One pod on this node, from its creation to its removal. Everything that happens (a container ends, a probe decides, the spec changes, a wait is over) only says « look
 * again »; a look compares what is with what should be (pod-actions.ts) and sets the next steps going. Steps run beside each other and end with another look. What the steps
 * are stands by phase: container-starts.ts, restart-holds.ts, container-kills.ts, container-resizes.ts, pod-restart.ts, pod-reporter.ts.
 */
import type { Container, ContainerStatus, Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import type { ContainerState, Sandbox } from "#kubelet/container-runtime.ts";
import { findContainerStatus, podKey, refOf, sameJson } from "#kubelet/pod-object.ts";
import type { PodRef } from "#kubelet/provider.ts";
import { ActiveDeadline, deadlineVerdict } from "./active-deadline.ts";
import { ContainerKills } from "./container-kills.ts";
import { ContainerResizes } from "./container-resizes.ts";
import { ContainerStarts } from "./container-starts.ts";
import { StopDeadline, withinGrace } from "./container-stop.ts";
import type { StopContext } from "./container-stop.ts";
import type { EngineParts } from "./engine-parts.ts";
import { computePodActions } from "./pod-actions.ts";
import { PodContainers } from "./pod-containers.ts";
import { attemptsOnDisk, terminationMessagePath } from "./pod-folders.ts";
import { PodGround } from "./pod-ground.ts";
import { PodProbes } from "./pod-probes.ts";
import { writePodRecord } from "./pod-record.ts";
import { PodReporter } from "./pod-reporter.ts";
import { PodRestart } from "./pod-restart.ts";
import type { PodView } from "./pod-view.ts";
import { allContainers, findContainer } from "./pod-view.ts";
import { RestartHolds } from "./restart-holds.ts";
import { restartsSomething } from "./restart-policy.ts";
import { readTerminationMessage } from "./termination-message.ts";
import type { WorkerCore } from "./worker-core.ts";
import { WorkerTasks } from "./worker-tasks.ts";

/** What a worker knew before: of a pod that ran when the agent started. */
export type Adopted = {
  readonly sandbox: Sandbox | undefined;
  readonly containers: readonly ContainerState[];
  /** The status of a pod that has ended. */
  readonly finalStatus: PodStatus | undefined;
  /** The pod's own record was lost, and its spec is guessed: it is left as it is until the API gives the true one or it is deleted. */
  readonly isGuess?: boolean;
};

/** Runs one pod. */
export class PodWorker {
  readonly ref: PodRef;
  readonly #parts: EngineParts;
  readonly #containers = new PodContainers();
  readonly #messages = new Map<string, string>();
  readonly #tasks: WorkerTasks;
  readonly #ends = new Map<string, AbortController>();
  readonly #ground: PodGround;
  readonly #probes: PodProbes;
  readonly #holds: RestartHolds;
  readonly #starts: ContainerStarts;
  readonly #kills: ContainerKills;
  readonly #resizes: ContainerResizes;
  readonly #restart: PodRestart;
  readonly #activeDeadline: ActiveDeadline;
  readonly #reporter: PodReporter;
  #pod: Pod;
  #before: readonly ContainerStatus[];
  // Nothing is started any more, so looking again would find the same to do, for ever.
  #isReleased = false;
  #deadline: StopDeadline | undefined;
  #verdict: { readonly reason: string; readonly message: string } | undefined;
  #finalStatus: PodStatus | undefined;
  #removal: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #looks = false;
  readonly #isAdopted: boolean;
  #isGuess: boolean;

  constructor(parts: EngineParts, pod: Pod, adopted?: Adopted) {
    this.#parts = parts;
    this.#pod = pod;
    this.ref = refOf(pod);
    this.#before = statusesOf(pod);
    const current = () => this.#pod;
    const look = () => this.look();
    this.#tasks = new WorkerTasks({
      onEnd: look,
      onFailure: (error) => parts.logger.error("Step of pod failed", { pod: podKey(this.ref), error }),
    });
    const isInUse = (adopted?.containers.length ?? 0) > 0;
    this.#ground = new PodGround(parts, current, look, { sandbox: adopted?.sandbox, isInUse });
    const core: WorkerCore = {
      parts,
      ref: this.ref,
      pod: current,
      containers: this.#containers,
      podIPs: () => this.#ground.podIPs,
      look,
      run: (step) => this.#tasks.run(step),
      runUntilEnded: (step) => this.#tasks.runUntilEnded(step),
    };
    const onContainer = (state: ContainerState) => this.onContainer(state);
    const stopContext = () => this.#stopContext();
    const nextAttempt = (name: string) => this.#nextAttempt(name);
    this.#probes = new PodProbes(core);
    this.#holds = new RestartHolds(core);
    const phase = { core, holds: this.#holds, probes: this.#probes, stopContext, onContainer };
    this.#starts = new ContainerStarts({
      ...phase,
      nextAttempt,
      isHidden: (path) => this.#ground.isHidden(path),
    });
    this.#kills = new ContainerKills(phase);
    this.#resizes = new ContainerResizes({ core, holds: this.#holds, starts: this.#starts, kills: this.#kills });
    this.#restart = new PodRestart({ core, holds: this.#holds, kills: this.#kills });
    this.#activeDeadline = new ActiveDeadline(core);
    this.#reporter = new PodReporter(core);
    this.#isAdopted = adopted !== undefined;
    this.#isGuess = adopted?.isGuess ?? false;
    this.#finalStatus = adopted?.finalStatus;
    if (this.#finalStatus) this.#reporter.closeRecord();
    for (const state of adopted?.containers ?? []) this.#containers.set(state);
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** The newest status; undefined before the first look. */
  get status(): PodStatus | undefined {
    return this.#reporter.status;
  }

  /** Begins, or goes on with what was adopted. */
  async start(): Promise<void> {
    if (this.#finalStatus) return this.#reporter.tell(this.#finalStatus);
    if (this.#isGuess) return;
    this.#parts.objects.register(this.#pod, () => this.#onObjects());
    if (this.#containers.all().length === 0) this.#parts.images.lookAhead(this.#pod, firstContainers(this.#pod));
    const ended = this.#containers.all().filter(({ phase }) => phase === "exited");
    await Promise.all(ended.map((state) => this.#hearLastWords(state)));
    for (const state of this.#containers.running())
      this.#probes.watch(state, findContainerStatus(this.#before, state.name));
    this.look();
  }

  /** The API's object changed. */
  update(pod: Pod): void {
    const isFirst = this.#before.length === 0;
    const before = this.#pod;
    this.#pod = pod;
    if (isFirst) this.#before = statusesOf(pod);
    if (this.#finalStatus) return this.#reporter.tell({ ...this.#finalStatus, ...observed(pod) });
    if (this.#isGuess) {
      this.#isGuess = false;
      void this.#tasks.run(() => this.start());
      return;
    }
    this.#parts.objects.register(pod, () => this.#onObjects());
    if (!sameJson(before, pod)) this.#reporter.writeRecord();
    this.#ground.renew();
    this.#holds.releaseConfig();
    this.look();
  }

  /** The runtime says that a container is another than it was. */
  onContainer(state: ContainerState): void {
    if (!this.#containers.set(state)) return;
    if (state.phase !== "exited") return this.look();
    this.#probes.forget(state.id);
    this.#resizes.forget(state.id);
    this.#ends.get(state.id)?.abort(new Error("the container has ended"));
    this.#ends.delete(state.id);
    void this.#tasks.run(() => this.#hearLastWords(state));
  }

  /** Stops and removes everything within the grace. Resolves when gone. */
  delete(graceSeconds: number): Promise<void> {
    this.#stopWithin(graceSeconds);
    this.#reporter.closeRecord();
    this.#removal ??= this.#remove();
    return this.#removal;
  }

  /** Leaves containers as they are and forgets the pod: the agent stops. */
  async release(): Promise<void> {
    this.#activeDeadline.clear();
    this.#holds.clear();
    this.#ground.stop();
    this.#isReleased = true;
    this.#probes.stop();
    this.#starts.end("the kubelet stops");
    this.#parts.objects.unregister(this.ref.uid);
    this.#reporter.release();
    await this.#tasks.settledButEnds();
  }

  /** The container of this name that is newest, or the one before it. */
  findContainer(name: string, previous: boolean): ContainerState | undefined {
    return previous ? this.#containers.previous(name) : this.#containers.latest(name);
  }

  findById(id: string): ContainerState | undefined {
    return this.#containers.find(id);
  }

  /** Aborts when this container has ended; aborted when it has already. */
  endOf(id: string): AbortSignal {
    if (this.#containers.find(id)?.phase !== "running") return AbortSignal.abort();
    const end = this.#ends.get(id) ?? new AbortController();
    this.#ends.set(id, end);
    return end.signal;
  }

  /** All containers that are remembered, the ended ones included. */
  containers(): readonly ContainerState[] {
    return this.#containers.all();
  }

  /** Containers whose logs are being written. */
  runningContainers(): readonly ContainerState[] {
    return this.#containers.running();
  }

  get sandbox(): Sandbox | undefined {
    return this.#ground.sandbox;
  }

  /** Compares what is with what should be, soon. */
  look(): void {
    if (this.#looks || this.#finalStatus || this.#isReleased || (this.#isGuess && !this.#deadline)) return;
    this.#looks = true;
    queueMicrotask(() => {
      this.#looks = false;
      if (!this.#finalStatus && !this.#isReleased) this.#step();
    });
  }

  #step(): void {
    this.#checkDeadline();
    // The record is on disk before anything of the pod is there: who comes after a crash must know what it is.
    if (this.status === undefined) this.#report(false);
    if (this.#deadline === undefined && !this.#ground.isReady()) {
      if (this.#isSpent()) this.#stopWithin(graceOf(this.#pod));
      else this.#ground.prepare();
    } else if (this.#deadline === undefined) this.#act();
    if (this.#deadline !== undefined) this.#endIfStopped();
    this.#report(false);
  }

  #act(): void {
    if (this.#restart.begin()) return;
    const actions = computePodActions(this.#view());
    if (actions.end) return this.#stopWithin(graceOf(this.#pod));
    for (const kill of actions.kill) this.#kills.kill(kill);
    this.#resizes.resize();
    this.#starts.start(actions.start);
  }

  /** From now on nothing starts; what runs is stopped within the grace. A shorter grace than before counts. */
  #stopWithin(graceSeconds: number): void {
    const nowMs = this.#parts.clock.now();
    if (this.#deadline) {
      this.#deadline.shorten(nowMs, graceSeconds);
      return;
    }
    this.#deadline = new StopDeadline(nowMs, graceSeconds);
    this.#starts.end("the pod is being stopped");
    this.#activeDeadline.clear();
    this.#holds.clear();
    this.#ground.stop();
    this.#probes.quieten();
    this.look();
  }

  /** While the pod ends: stops what runs, and closes the books when nothing does. */
  #endIfStopped(): void {
    const deadline = this.#deadline;
    if (this.#ending || !deadline) return;
    this.#ending = this.#tasks
      .runUntilEnded(async () => {
        await this.#ground.settled();
        await this.#drain(deadline);
        await this.#kills.stopAll(deadline);
      })
      .finally(() => (this.#ending = undefined));
    void this.#ending.then(() => this.#closeIfDone());
  }

  /** Requests that it has are answered before anybody tells it to end. */
  async #drain(deadline: StopDeadline): Promise<void> {
    const { drain } = this.#parts;
    if (drain === undefined || this.#containers.running().length === 0) return;
    // The object that the worker was given last may be older than the pod's address.
    const pod = this.status === undefined ? this.#pod : { ...this.#pod, status: this.status };
    await withinGrace(deadline, this.#parts, (signal) => drain.drain(pod, signal));
  }

  #closeIfDone(): void {
    if (this.#finalStatus) return;
    if (!this.#tasks.isIdle) return void this.#tasks.settled().then(() => this.look());
    if (this.#containers.running().length > 0) return this.look();
    this.#close();
  }

  /** The pod has ended: its last status is written down before its sandbox goes. */
  #close(): void {
    this.#report(true);
    this.#finalStatus = this.status;
    if (this.#finalStatus) this.#reporter.closeRecord();
    this.#reporter.wake();
    this.#probes.stop();
    this.#parts.objects.unregister(this.ref.uid);
    if (this.#removal || !this.#finalStatus) return;
    const record = { pod: this.#pod, status: this.#finalStatus };
    void this.#tasks.run(async () => {
      writePodRecord(this.#parts.folders, record);
      if (!this.#removal) await this.#ground.clear();
    });
  }

  async #remove(): Promise<void> {
    while (!this.#finalStatus) {
      this.look();
      await this.#reporter.nextChange();
    }
    await this.#tasks.settled();
    this.#parts.probeMetrics.forget(this.ref.uid);
    this.#parts.images.forget(this.#pod, allContainers(this.#pod));
    this.#holds.forget();
    await this.#ground.remove();
  }

  #report(isTerminal: boolean): void {
    this.#reporter.report(this.#view(), isTerminal);
  }

  #view(): PodView {
    const { imageIDs } = this.#parts;
    return {
      pod: this.#pod,
      sandbox: this.#ground.sandbox,
      podIPs: this.#ground.podIPs,
      latest: (name) => this.#containers.latest(name),
      previous: (name) => this.#containers.previous(name),
      probes: (id) => this.#probes.view(id, this.#kills.isStopping(id)),
      waiting: (name) => this.#holds.waiting(name),
      isStarting: (name) => this.#starts.isStarting(name),
      terminationMessage: (id) => this.#messages.get(id),
      imageID: (id) => {
        const image = this.#containers.find(id)?.spec.imageId ?? "";
        return imageIDs.get(image) ?? image;
      },
      before: (name) => findContainerStatus(this.#before, name),
      resources: (state, container) => this.#resizes.resources(state, container),
      isResizing: this.#resizes.isBusy,
      epochMs: this.#restart.epochMs,
      isEnding: this.#deadline !== undefined,
      verdict: this.#verdict,
    };
  }

  #stopContext(): StopContext {
    return { parts: this.#parts, pod: this.#pod, target: (...container) => this.#probes.target(...container) };
  }

  async #hearLastWords(state: ContainerState): Promise<void> {
    const file = terminationMessagePath(this.#parts.folders, this.ref.uid, state.name, state.attempt);
    this.#messages.set(state.id, await readTerminationMessage(findContainer(this.#pod, state.name), state, file));
  }

  #nextAttempt(name: string): number {
    const latest = this.#containers.latest(name);
    if (latest) return latest.attempt + 1;
    const before = findContainerStatus(this.#before, name);
    const known = before?.containerID ? before.restartCount + 1 : 0;
    // After a reboot the runtime has forgotten, and the API may not have been heard yet: the pod's own folder remembers.
    return this.#isAdopted ? Math.max(known, attemptsOnDisk(this.#parts.folders, this.ref.uid, name)) : known;
  }

  #checkDeadline(): void {
    if (this.#deadline || !this.#activeDeadline.isOver()) return;
    this.#verdict = deadlineVerdict;
    this.#parts.events.pod(this.#pod, "Normal", deadlineVerdict.reason, deadlineVerdict.message);
    this.#stopWithin(graceOf(this.#pod));
  }

  /** The sandbox is gone (a reboot) and nothing of the pod would be started again in a new one. */
  #isSpent(): boolean {
    const hasRun = this.#containers.all().length > 0;
    return hasRun && !restartsSomething(this.#pod, (name) => this.#containers.latest(name)?.exitCode);
  }

  #onObjects(): void {
    this.#holds.releaseConfig();
    this.#ground.renew();
    this.look();
  }
}

/** Containers that start first once the ground is there. */
function firstContainers(pod: Pod): readonly Container[] {
  const [init] = pod.spec?.initContainers ?? [];
  return init ? [init] : (pod.spec?.containers ?? []);
}

function graceOf(pod: Pod): number {
  return pod.metadata?.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 30;
}

function statusesOf(pod: Pod): readonly ContainerStatus[] {
  const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = pod.status ?? {};
  return [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses];
}

function observed(pod: Pod): Pick<PodStatus, "observedGeneration"> {
  const generation = pod.metadata?.generation;
  return generation === undefined ? {} : { observedGeneration: generation };
}

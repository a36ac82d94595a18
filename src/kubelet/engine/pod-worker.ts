/**
 * One pod on this node, from its creation to its removal. Everything that happens (a container ends, a probe decides, the spec changes, a wait is over) only says « look
 * again »; a look compares what is with what should be (pod-actions.ts) and sets the next steps going. Steps run beside each other and end with another look.
 */
import type { Container, ContainerStatus, Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import { formatDuration } from "#apimachinery/duration.ts";
import type { Timer } from "#component-base/clock.ts";
import type { ContainerState, Sandbox } from "#kubelet/container-runtime.ts";
import { containerFieldPath } from "#kubelet/events.ts";
import { findContainerStatus, formatPod, podKey, refOf, sameJson } from "#kubelet/pod-object.ts";
import { ContainerProbes } from "#kubelet/probes/container-probes.ts";
import type { ProbeTarget } from "#kubelet/probes/probe-target.ts";
import type { PodRef } from "#kubelet/provider.ts";
import { resizeMessage } from "#kubelet/resize-events.ts";
import { StartFailure, startContainer } from "./container-start.ts";
import { StopDeadline, graceFor, stopAll, stopContainer } from "./container-stop.ts";
import type { StopContext } from "./container-stop.ts";
import type { EngineParts } from "./engine-parts.ts";
import { execInContainer } from "./exec-in-container.ts";
import { runHook } from "./lifecycle-hooks.ts";
import type { Kill } from "./pod-actions.ts";
import { computePodActions } from "./pod-actions.ts";
import { PodContainers } from "./pod-containers.ts";
import { attemptsOnDisk, terminationMessagePath } from "./pod-folders.ts";
import { HeldContainers } from "./held-containers.ts";
import { PodGround } from "./pod-ground.ts";
import { writePodRecord } from "./pod-record.ts";
import { podStatus } from "./pod-status.ts";
import type { PodView, ProbeView } from "./pod-view.ts";
import { allContainers, findContainer } from "./pod-view.ts";
import { PodResizer } from "./pod-resize.ts";
import { couldRestartAll, restartsAll, restartsSomething } from "./restart-policy.ts";
import { readTerminationMessage } from "./termination-message.ts";

const deadlineVerdict = {
  reason: "DeadlineExceeded",
  message: "Pod was active on the node longer than the specified deadline",
};

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
  readonly #probes = new Map<string, ContainerProbes>();
  readonly #messages = new Map<string, string>();
  readonly #starting = new Set<string>();
  readonly #stopping = new Set<string>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #ends = new Map<string, PromiseWithResolvers<void>>();
  readonly #resizer: PodResizer;
  /** Ids of containers that a probe had killed. */
  readonly #killed = new Set<string>();
  /** Killed to be resized: they start again without a wait. */
  readonly #forgiven = new Set<string>();
  readonly #held: HeldContainers;
  readonly #ground: PodGround;
  #pod: Pod;
  #before: readonly ContainerStatus[];
  #starts = new AbortController();
  // Nothing is started any more, so looking again would find the same to do, for ever.
  #isReleased = false;
  #deadline: StopDeadline | undefined;
  #deadlineTimer: Timer | undefined;
  #verdict: { readonly reason: string; readonly message: string } | undefined;
  #finalStatus: PodStatus | undefined;
  #status: PodStatus | undefined;
  #removal: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #looks = false;
  #epochMs = 0;
  #anew = false;
  readonly #acceptedMs: number;
  readonly #isAdopted: boolean;
  #isGuess: boolean;

  constructor(parts: EngineParts, pod: Pod, adopted?: Adopted) {
    this.#parts = parts;
    this.#pod = pod;
    this.ref = refOf(pod);
    this.#before = statusesOf(pod);
    this.#acceptedMs = parts.clock.now();
    this.#resizer = new PodResizer(parts);
    this.#held = new HeldContainers(parts.clock, () => this.look());
    this.#ground = new PodGround(
      parts,
      () => this.#pod,
      () => this.look(),
      adopted?.sandbox,
    );
    this.#isAdopted = adopted !== undefined;
    this.#isGuess = adopted?.isGuess ?? false;
    this.#finalStatus = adopted?.finalStatus;
    for (const state of adopted?.containers ?? []) this.#containers.set(state);
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** The newest status; undefined before the first look. */
  get status(): PodStatus | undefined {
    return this.#status;
  }

  /** Begins, or goes on with what was adopted. */
  async start(): Promise<void> {
    if (this.#finalStatus) return this.#tell(this.#finalStatus);
    if (this.#isGuess) return;
    this.#parts.objects.register(this.#pod, () => this.#onObjects());
    if (this.#containers.all().length === 0) this.#parts.images.lookAhead(this.#pod, firstContainers(this.#pod));
    await Promise.all(
      this.#containers
        .all()
        .filter(hasEnded)
        .map((state) => this.#hearLastWords(state)),
    );
    for (const state of this.#containers.running()) this.#watch(state, findContainerStatus(this.#before, state.name));
    this.look();
  }

  /** The API's object changed. */
  update(pod: Pod): void {
    const isFirst = this.#before.length === 0;
    const before = this.#pod;
    this.#pod = pod;
    if (isFirst) this.#before = statusesOf(pod);
    if (this.#finalStatus) return this.#tell({ ...this.#finalStatus, ...observed(pod) });
    if (this.#isGuess) {
      this.#isGuess = false;
      void this.#run(() => this.start());
      return;
    }
    this.#parts.objects.register(pod, () => this.#onObjects());
    if (!sameJson(before, pod)) this.#writeRecord();
    this.#ground.renew();
    this.#held.release("config");
    this.look();
  }

  /** The runtime says that a container is another than it was. */
  onContainer(state: ContainerState): void {
    if (!this.#containers.set(state)) return;
    if (state.phase !== "exited") return this.look();
    this.#probes.get(state.id)?.stop();
    this.#probes.delete(state.id);
    this.#resizer.forget(state.id);
    this.#ends.get(state.id)?.resolve();
    this.#ends.delete(state.id);
    void this.#run(() => this.#hearLastWords(state));
  }

  /** Stops and removes everything within the grace. Resolves when gone. */
  delete(graceSeconds: number): Promise<void> {
    this.#stopWithin(graceSeconds);
    this.#removal ??= this.#remove();
    return this.#removal;
  }

  /** Leaves containers as they are and forgets the pod: the agent stops. */
  async release(): Promise<void> {
    this.#deadlineTimer?.clear();
    this.#held.clear();
    this.#ground.stop();
    for (const probes of this.#probes.values()) probes.stop();
    this.#isReleased = true;
    this.#starts.abort(new Error("the kubelet stops"));
    this.#parts.objects.unregister(this.ref.uid);
    await Promise.allSettled(this.#tasks);
  }

  /** The container of this name that is newest, or the one before it. */
  findContainer(name: string, previous: boolean): ContainerState | undefined {
    return previous ? this.#containers.previous(name) : this.#containers.latest(name);
  }

  findById(id: string): ContainerState | undefined {
    return this.#containers.find(id);
  }

  /** Resolves when this container has ended, at once when it has. */
  whenEnded(id: string): Promise<void> {
    if (this.#containers.find(id)?.phase !== "running") return Promise.resolve();
    const waiting = this.#ends.get(id) ?? Promise.withResolvers<void>();
    this.#ends.set(id, waiting);
    return waiting.promise;
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
    if (this.#status === undefined) this.#report(false);
    if (this.#deadline === undefined && !this.#ground.isReady()) {
      if (this.#isSpent()) this.#stopWithin(graceOf(this.#pod));
      else this.#ground.prepare();
    } else if (this.#deadline === undefined) this.#act();
    if (this.#deadline !== undefined) this.#endIfStopped();
    this.#report(false);
  }

  /** A container's end says that the whole pod is to begin anew: everything is stopped, and what was made until now does not count any more. */
  #beginAnew(): boolean {
    if (this.#anew) return true;
    const isCause = (state: ContainerState): boolean => {
      const container = findContainer(this.#pod, state.name);
      if (!container || state.phase !== "exited" || state.createdMs < this.#epochMs) return false;
      return restartsAll(container, state.exitCode ?? 137);
    };
    const latest = allContainers(this.#pod).flatMap(({ name }) => this.#containers.latest(name) ?? []);
    if (!latest.some(isCause)) return false;
    this.#anew = true;
    void this.#run(async () => {
      const running = this.#containers.running().flatMap((state) => {
        const container = findContainer(this.#pod, state.name);
        return container ? [{ state, container }] : [];
      });
      for (const { state } of running) this.#stopping.add(state.id);
      await stopAll(running, new StopDeadline(this.#parts.clock.now(), 0), this.#stopContext());
      if (this.#containers.running().length > 0) await this.#askRuntime();
      // Everything was made before now, even in this very millisecond.
      this.#epochMs = Math.max(...this.#containers.all().map((state) => state.createdMs)) + 1;
      for (const { name } of allContainers(this.#pod)) this.#forgiven.add(name);
    }).finally(() => (this.#anew = false));
    return true;
  }

  #act(): void {
    if (couldRestartAll(this.#pod) && this.#beginAnew()) return;
    const actions = computePodActions(this.#view());
    if (actions.end) return this.#stopWithin(graceOf(this.#pod));
    for (const kill of actions.kill) this.#kill(kill);
    this.#resize();
    let chain: Promise<void> = Promise.resolve();
    for (const container of actions.start) {
      if (this.#isOnHold(container)) continue;
      const turn = chain;
      const started = this.#start(container, turn);
      // As upstream, a container with a postStart hook is whole before the next one is begun.
      if (container.lifecycle?.postStart) chain = started;
    }
  }

  #start(container: Container, turn: Promise<void>): Promise<void> {
    this.#starting.add(container.name);
    return this.#run(async () => {
      await turn;
      try {
        this.#starts.signal.throwIfAborted();
        await this.#startOnce(container);
        this.#held.forget(container.name);
      } catch (error) {
        if (!this.#starts.signal.aborted) this.#onStartFailure(container, error);
      } finally {
        this.#starting.delete(container.name);
      }
    });
  }

  async #startOnce(container: Container): Promise<void> {
    const { name } = container;
    const state = await startContainer(container, {
      parts: this.#parts,
      pod: this.#pod,
      podIPs: this.#ground.podIPs,
      attempt: this.#nextAttempt(name),
      latest: (other) => this.#containers.latest(other),
      isHidden: (path) => this.#ground.isHidden(path),
      signal: this.#starts.signal,
    });
    this.onContainer(state);
    for (const old of this.#containers.prune()) void this.#run(() => this.#parts.runtime.removeContainer(old.id));
    // Without a hook not even a microtask lies between the start and its probes: one status says both, instead of Running first and Ready after it.
    if (container.lifecycle?.postStart) await this.#postStart(container, state);
    if (this.#containers.find(state.id)?.phase === "running") this.#watch(state, undefined);
    this.#starting.delete(name);
  }

  async #postStart(container: Container, state: ContainerState): Promise<void> {
    const handler = container.lifecycle?.postStart;
    if (!handler) return;
    const { clock, events, logger } = this.#parts;
    const subject = { pod: this.#pod, container, target: this.#target(state, container), clock, events };
    const failure = await runHook(handler, subject, this.#starts.signal);
    if (failure === undefined) return;
    logger.warn("PostStart hook failed", { pod: podKey(this.ref), container: container.name, failure });
    events.pod(
      this.#pod,
      "Warning",
      "FailedPostStartHook",
      "PostStartHook failed",
      containerFieldPath(this.#pod, container.name),
    );
    const deadline = new StopDeadline(clock.now(), graceFor(this.#pod, container, "other"));
    await stopContainer(state, container, { message: "FailedPostStartHook", deadline }, this.#stopContext());
    throw new StartFailure("PostStartHookError", failure, undefined);
  }

  #onStartFailure(container: Container, error: unknown): void {
    const failure =
      error instanceof StartFailure ? error : new StartFailure("CreateContainerError", String(error), 10_000);
    const waiting = { reason: failure.reason, message: failure.message };
    this.#held.hold(container.name, waiting, failure.retryMs);
  }

  /** Whether the container must wait before it is started again; says so once when the wait begins. */
  #isOnHold(container: Container): boolean {
    const { name } = container;
    if (this.#held.isHeld(name)) return true;
    const last = this.#containers.latest(name);
    if (last?.phase !== "exited") return false;
    const { crashBackoff, events } = this.#parts;
    const key = crashKey(this.ref, name, container.image ?? "");
    const endedMs = last.finishedMs ?? last.createdMs;
    if (this.#forgiven.delete(name) || this.#startsAfterKill(last, key)) return false;
    const waitMs = crashBackoff.remainingMs(key, endedMs);
    if (waitMs <= 0) {
      crashBackoff.next(key, endedMs);
      return false;
    }
    const pod = formatPod(this.ref);
    const took = formatDuration(crashBackoff.currentMs(key));
    const message = `back-off ${took} restarting failed container=${name} pod=${pod}`;
    this.#held.hold(name, { reason: "CrashLoopBackOff", message }, waitMs, "crash");
    const text = `Back-off restarting failed container ${name} in pod ${pod}`;
    events.pod(this.#pod, "Warning", "BackOff", text, containerFieldPath(this.#pod, name));
    return true;
  }

  /**
   * A container that a probe had killed starts again at once if its forerunner ended long enough ago: what counts is how often it fails, not how long its end took.
   * As upstream, where the kill and the new start are one step.
   */
  #startsAfterKill(last: ContainerState, key: string): boolean {
    if (!this.#killed.delete(last.id)) return false;
    const earlier = this.#containers.previous(last.name);
    if (!earlier) return true;
    const sinceMs = earlier.finishedMs ?? earlier.createdMs;
    if (this.#parts.crashBackoff.remainingMs(key, sinceMs) > 0) return false;
    this.#parts.crashBackoff.next(key, sinceMs);
    return true;
  }

  #resize(): void {
    const running = this.#containers.running().flatMap((state) => {
      const container = findContainer(this.#pod, state.name);
      return container && !this.#stopping.has(state.id) && !this.#starting.has(state.name)
        ? [{ state, container }]
        : [];
    });
    const resizes = this.#resizer.plan(this.#pod, running);
    for (const { state, container } of resizes.filter((it) => it.needsRestart)) {
      this.#forgiven.add(state.name);
      const message = `Container ${container.name} resize requires restart`;
      this.#kill({ id: state.id, container, message, reason: "other" });
    }
    const inPlace = resizes.filter((it) => !it.needsRestart);
    if (inPlace.length === 0) return;
    void this.#run(async () => {
      const { events } = this.#parts;
      try {
        await this.#resizer.apply(this.#pod, inPlace);
        events.pod(this.#pod, "Normal", "ResizeCompleted", resizeMessage(this.#pod, "completed"));
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        events.pod(this.#pod, "Warning", "ResizeError", resizeMessage(this.#pod, "error", why));
        throw error;
      }
    });
  }

  #kill({ id, container, message, reason }: Kill): void {
    const state = this.#containers.find(id);
    if (!state || this.#stopping.has(id)) return;
    this.#stopping.add(id);
    if (reason !== "other") this.#killed.add(id);
    void this.#run(async () => {
      const deadline = new StopDeadline(this.#parts.clock.now(), graceFor(this.#pod, container, reason));
      await stopContainer(state, container, { message, deadline }, this.#stopContext()).finally(() =>
        this.#stopping.delete(id),
      );
    });
  }

  /** From now on nothing starts; what runs is stopped within the grace. A shorter grace than before counts. */
  #stopWithin(graceSeconds: number): void {
    const nowMs = this.#parts.clock.now();
    if (this.#deadline) {
      this.#deadline.shorten(nowMs, graceSeconds);
      return;
    }
    this.#deadline = new StopDeadline(nowMs, graceSeconds);
    this.#starts.abort(new Error("the pod is being stopped"));
    this.#deadlineTimer?.clear();
    this.#held.clear();
    this.#ground.stop();
    for (const probes of this.#probes.values()) probes.quieten();
    this.look();
  }

  /** While the pod ends: stops what runs, and closes the books when nothing does. */
  #endIfStopped(): void {
    const deadline = this.#deadline;
    if (this.#ending || !deadline) return;
    this.#ending = this.#run(async () => {
      await this.#ground.settled();
      const running = this.#containers.running().flatMap((state) => {
        const container = findContainer(this.#pod, state.name) ?? { name: state.name };
        return [{ state, container }];
      });
      if (running.length > 0) await stopAll(running, deadline, this.#stopContext());
      if (this.#containers.running().length > 0) await this.#askRuntime();
    }).finally(() => (this.#ending = undefined));
    void this.#ending.then(() => this.#closeIfDone());
  }

  /** The word about an end may come after the stop has resolved; what the runtime does not know has ended all the same. */
  async #askRuntime(): Promise<void> {
    const states = await this.#parts.runtime.listContainers();
    const own = states.filter((state) => state.pod.uid === this.ref.uid);
    for (const state of own) this.onContainer(state);
    const ids = new Set(own.map((state) => state.id));
    this.#containers.markGone((state) => !ids.has(state.id), this.#parts.clock.now());
  }

  #closeIfDone(): void {
    if (this.#finalStatus) return;
    if (this.#tasks.size > 0) return void Promise.allSettled(this.#tasks).then(() => this.look());
    if (this.#containers.running().length > 0) return this.look();
    this.#close();
  }

  /** The pod has ended: its last status is written down before its sandbox goes. */
  #close(): void {
    this.#report(true);
    this.#finalStatus = this.#status;
    for (const wake of this.#onReport.splice(0)) wake();
    for (const probes of this.#probes.values()) probes.stop();
    this.#parts.objects.unregister(this.ref.uid);
    if (this.#removal || !this.#finalStatus) return;
    const record = { pod: this.#pod, status: this.#finalStatus };
    void this.#run(async () => {
      writePodRecord(this.#parts.folders, record);
      if (!this.#removal) await this.#ground.clear();
    });
  }

  async #remove(): Promise<void> {
    while (!this.#finalStatus) {
      this.look();
      await this.#nextChange();
    }
    await Promise.allSettled(this.#tasks);
    this.#parts.probeMetrics.forget(this.ref.uid);
    this.#parts.images.forget(this.#pod, allContainers(this.#pod));
    for (const { name, image = "" } of allContainers(this.#pod))
      this.#parts.crashBackoff.forget(crashKey(this.ref, name, image));
    await this.#ground.remove();
  }

  #nextChange(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onReport.push(resolve);
    return promise;
  }

  readonly #onReport: (() => void)[] = [];

  #report(isTerminal: boolean): void {
    const { node, runtimeName } = this.#parts;
    const status = podStatus(this.#view(), { runtimeName, hostIPs: node.hostIPs, isTerminal });
    if (this.#status && sameJson(this.#status, status)) return;
    this.#tell(status);
  }

  #writeRecord(): void {
    if (this.#removal || this.#finalStatus) return;
    const last = this.#status;
    try {
      writePodRecord(this.#parts.folders, { pod: this.#pod, ...(last === undefined ? {} : { last }) });
    } catch (error) {
      this.#parts.logger.warn("Could not write record of pod", { pod: podKey(this.ref), error });
    }
  }

  #tell(status: PodStatus): void {
    this.#status = status;
    this.#writeRecord();
    this.#parts.onStatus(this.ref, status);
    for (const wake of this.#onReport.splice(0)) wake();
  }

  #view(): PodView {
    const { imageIDs } = this.#parts;
    return {
      pod: this.#pod,
      sandbox: this.#ground.sandbox,
      podIPs: this.#ground.podIPs,
      latest: (name) => this.#containers.latest(name),
      previous: (name) => this.#containers.previous(name),
      probes: (id) => this.#probeView(id),
      waiting: (name) => this.#held.waiting(name),
      isStarting: (name) => this.#starting.has(name),
      terminationMessage: (id) => this.#messages.get(id),
      imageID: (id) => {
        const image = this.#containers.find(id)?.spec.imageId ?? "";
        return imageIDs.get(image) ?? image;
      },
      before: (name) => findContainerStatus(this.#before, name),
      resources: (state, container) => this.#resizer.resources(state, container),
      isResizing: this.#resizer.isBusy,
      epochMs: this.#epochMs,
      isEnding: this.#deadline !== undefined,
      verdict: this.#verdict,
    };
  }

  #probeView(id: string): ProbeView {
    const probes = this.#probes.get(id);
    if (!probes || this.#stopping.has(id)) {
      return { started: probes?.started, ready: probes?.ready ?? false, startupFailed: false, livenessFailed: false };
    }
    const { started, ready, startupFailed, livenessFailed } = probes;
    return { started, ready, startupFailed, livenessFailed };
  }

  #watch(state: ContainerState, before: ContainerStatus | undefined): void {
    const container = findContainer(this.#pod, state.name);
    if (!container || this.#probes.has(state.id)) return;
    const { clock, events, probeMetrics: metrics } = this.#parts;
    const known = before?.containerID?.endsWith(state.id)
      ? { started: before.started ?? false, ready: before.ready }
      : undefined;
    const probes = new ContainerProbes({
      pod: this.#pod,
      container,
      target: this.#target(state, container),
      startedMs: state.startedMs ?? state.createdMs,
      before: known,
      events,
      metrics,
      clock,
      onChange: () => this.look(),
    });
    this.#probes.set(state.id, probes);
    if (this.#deadline) probes.quieten();
    probes.start();
  }

  #target(state: ContainerState, container: Container): ProbeTarget {
    const { runtime, node } = this.#parts;
    return {
      container,
      podIP: () => (this.#pod.spec?.hostNetwork ? node.hostIPs[0] : this.#ground.podIPs[0]) ?? "127.0.0.1",
      exec: (command, timeoutMs, signal) => execInContainer(runtime, state.id, command, timeoutMs, signal),
    };
  }

  #stopContext(): StopContext {
    return { parts: this.#parts, pod: this.#pod, target: (state, container) => this.#target(state, container) };
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
    const seconds = this.#pod.spec?.activeDeadlineSeconds;
    if (seconds === undefined || this.#deadline) return;
    const startedMs = this.#pod.status?.startTime ? Date.parse(this.#pod.status.startTime) : this.#acceptedMs;
    const leftMs = startedMs + seconds * 1000 - this.#parts.clock.now();
    this.#deadlineTimer?.clear();
    if (leftMs > 0) {
      this.#deadlineTimer = this.#parts.clock.setTimer(leftMs, () => this.look());
      return;
    }
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
    this.#held.release("config");
    this.#ground.renew();
    this.look();
  }

  /** Runs a step; its failure is logged, and another look follows in any case. */
  #run(step: () => Promise<void>): Promise<void> {
    const task = step()
      .catch((error: unknown) => this.#parts.logger.error("Step of pod failed", { pod: podKey(this.ref), error }))
      .finally(() => {
        this.#tasks.delete(task);
        this.look();
      });
    this.#tasks.add(task);
    return task;
  }
}

/** Backoff of a container that crashes; another image is another chance. */
function crashKey(ref: PodRef, name: string, image: string): string {
  return `${ref.uid}_${name}_${image}`;
}

/** Containers that start first once the ground is there. */
function firstContainers(pod: Pod): readonly Container[] {
  const [init] = pod.spec?.initContainers ?? [];
  return init ? [init] : (pod.spec?.containers ?? []);
}

function hasEnded(state: ContainerState): boolean {
  return state.phase === "exited";
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

/**
 * Starting: the containers of one pod that are to run, side by side, except after one with a postStart hook, which must be whole first (upstream's order, on which
 * injected proxies rely).
 */
import type { Container } from "#api/generated/types/core-v1.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { containerFieldPath } from "#kubelet/events.ts";
import { podKey } from "#kubelet/pod-object.ts";
import { StartFailure, startContainer } from "./container-start.ts";
import { StopDeadline, graceFor, stopContainer } from "./container-stop.ts";
import type { StopContext } from "./container-stop.ts";
import { runHook } from "./lifecycle-hooks.ts";
import type { PodProbes } from "./pod-probes.ts";
import type { RestartHolds } from "./restart-holds.ts";
import type { WorkerCore } from "./worker-core.ts";

export type ContainerStartsOptions = {
  readonly core: WorkerCore;
  readonly holds: RestartHolds;
  readonly probes: PodProbes;
  readonly stopContext: () => StopContext;
  readonly nextAttempt: (name: string) => number;
  /** Whether the runtime has no use for what would be mounted there. */
  readonly isHidden: (containerPath: string) => boolean;
  /** A container was started. */
  readonly onContainer: (state: ContainerState) => void;
};

/** Starts containers until {@link ContainerStarts.end}. */
export class ContainerStarts {
  readonly #options: ContainerStartsOptions;
  readonly #starting = new Set<string>();
  readonly #abort = new AbortController();

  constructor(options: ContainerStartsOptions) {
    this.#options = options;
  }

  /** True while it is being started (image, creation, postStart hook). */
  isStarting(name: string): boolean {
    return this.#starting.has(name);
  }

  /** From now on nothing starts; what is under way is given up. */
  end(why: string): void {
    this.#abort.abort(new Error(why));
  }

  /** Starts those that need not wait. */
  start(containers: readonly Container[]): void {
    const { holds } = this.#options;
    let chain: Promise<void> = Promise.resolve();
    for (const container of containers) {
      if (holds.isOnHold(container)) continue;
      const turn = chain;
      const started = this.#start(container, turn);
      if (container.lifecycle?.postStart) chain = started;
    }
  }

  #start(container: Container, turn: Promise<void>): Promise<void> {
    const { core, holds } = this.#options;
    this.#starting.add(container.name);
    return core.run(async () => {
      await turn;
      try {
        this.#abort.signal.throwIfAborted();
        await this.#startOnce(container);
        holds.started(container.name);
      } catch (error) {
        if (!this.#abort.signal.aborted) this.#onFailure(container, error);
      } finally {
        this.#starting.delete(container.name);
      }
    });
  }

  #onFailure(container: Container, error: unknown): void {
    this.#options.holds.failed(container, error);
    if (error instanceof StartFailure && error.container) this.#take(error.container);
  }

  /** One more container, and so perhaps one too many. */
  #take(state: ContainerState): void {
    const { core, onContainer } = this.#options;
    onContainer(state);
    for (const old of core.containers.prune()) void core.run(() => core.parts.runtime.removeContainer(old.id));
  }

  async #startOnce(container: Container): Promise<void> {
    const { core, probes, nextAttempt, isHidden } = this.#options;
    const { parts, containers } = core;
    const state = await startContainer(container, {
      parts,
      pod: core.pod(),
      podIPs: core.podIPs(),
      attempt: nextAttempt(container.name),
      latest: (other) => containers.latest(other),
      isHidden,
      signal: this.#abort.signal,
    });
    this.#take(state);
    // Without a hook not even a microtask lies between the start and its probes: one status says both, instead of Running first and Ready after it.
    if (container.lifecycle?.postStart) await this.#postStart(container, state);
    if (containers.find(state.id)?.phase === "running") probes.watch(state, undefined);
    this.#starting.delete(container.name);
  }

  async #postStart(container: Container, state: ContainerState): Promise<void> {
    const handler = container.lifecycle?.postStart;
    if (!handler) return;
    const { core, probes, stopContext } = this.#options;
    const { clock, events, logger } = core.parts;
    const pod = core.pod();
    const subject = { pod, container, target: probes.target(state, container), clock, events };
    const failure = await runHook(handler, subject, this.#abort.signal);
    if (failure === undefined) return;
    logger.warn("PostStart hook failed", { pod: podKey(core.ref), container: container.name, failure });
    const fieldPath = containerFieldPath(pod, container.name);
    events.pod(pod, "Warning", "FailedPostStartHook", "PostStartHook failed", fieldPath);
    const deadline = new StopDeadline(clock.now(), graceFor(pod, container, "other"));
    await stopContainer(state, container, { message: "FailedPostStartHook", deadline }, stopContext());
    throw new StartFailure("PostStartHookError", failure, undefined);
  }
}

/**
 * The probes of all running containers of one pod.
 */
import type { Container, ContainerStatus } from "#api/generated/types/core-v1.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { ContainerProbes } from "#kubelet/probes/container-probes.ts";
import type { ProbeTarget } from "#kubelet/probes/probe-target.ts";
import { execInContainer } from "./exec-in-container.ts";
import type { ProbeView } from "./pod-view.ts";
import { findContainer } from "./pod-view.ts";
import type { WorkerCore } from "./worker-core.ts";

/** Begins and ends them with their containers. */
export class PodProbes {
  readonly #core: WorkerCore;
  readonly #probes = new Map<string, ContainerProbes>();
  #isQuiet = false;

  constructor(core: WorkerCore) {
    this.#core = core;
  }

  /** The container runs. `before` is what was said of it before the agent started. */
  watch(state: ContainerState, before: ContainerStatus | undefined): void {
    const { parts, pod, look } = this.#core;
    const container = findContainer(pod(), state.name);
    if (!container || this.#probes.has(state.id)) return;
    const { clock, events, probeMetrics: metrics } = parts;
    const known = before?.containerID?.endsWith(state.id)
      ? { started: before.started ?? false, ready: before.ready }
      : undefined;
    const probes = new ContainerProbes({
      pod: pod(),
      container,
      target: this.target(state, container),
      startedMs: state.startedMs ?? state.createdMs,
      before: known,
      events,
      metrics,
      clock,
      onChange: look,
    });
    this.#probes.set(state.id, probes);
    if (this.#isQuiet) probes.quieten();
    probes.start();
  }

  /** The container has ended. */
  forget(id: string): void {
    this.#probes.get(id)?.stop();
    this.#probes.delete(id);
  }

  /** The pod is being stopped: nothing is restarted any more. */
  quieten(): void {
    this.#isQuiet = true;
    for (const probes of this.#probes.values()) probes.quieten();
  }

  stop(): void {
    for (const probes of this.#probes.values()) probes.stop();
  }

  /** What they say; a container that is being stopped cannot fail any more. */
  view(id: string, isStopping: boolean): ProbeView {
    const probes = this.#probes.get(id);
    if (!probes || isStopping) {
      return { started: probes?.started, ready: probes?.ready ?? false, startupFailed: false, livenessFailed: false };
    }
    const { started, ready, startupFailed, livenessFailed } = probes;
    return { started, ready, startupFailed, livenessFailed };
  }

  /** How probes and hooks reach the container. */
  target(state: ContainerState, container: Container): ProbeTarget {
    const { parts, pod, podIPs } = this.#core;
    const { runtime, node } = parts;
    return {
      container,
      podIP: () => (pod().spec?.hostNetwork ? node.hostIPs[0] : podIPs()[0]) ?? "127.0.0.1",
      exec: (command, timeoutMs, signal) => execInContainer(runtime, state.id, command, timeoutMs, signal),
    };
  }
}

/**
 * The probes of one running container: startup first, then readiness and liveness side by side. Thresholds as pkg/kubelet/prober/worker.go; probe-schedule.ts says when each
 * looks.
 */
import type { Container, Pod, Probe } from "#api/generated/types/core-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import { containerFieldPath } from "#kubelet/events.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import { refOf } from "#kubelet/pod-object.ts";
import type { ProbeOutcome, ProbeTarget } from "./probe-target.ts";
import type { ProbeMetrics, ProbeResult } from "./probe-metrics.ts";
import { scheduleOf } from "./probe-schedule.ts";
import { ProbeWatch } from "./probe-watch.ts";
import type { ProbeKind } from "./probe-watch.ts";
import { runProbe } from "./run-probe.ts";

export type ContainerProbesOptions = {
  readonly pod: Pod;
  readonly container: Container;
  readonly target: ProbeTarget;
  /** When the container's process was started, in ms since 1970. */
  readonly startedMs: number;
  /** What was known before the agent started; a container that was ready stays so until a probe says otherwise. */
  readonly before: { readonly started: boolean; readonly ready: boolean } | undefined;
  readonly events: KubeletEvents;
  readonly metrics: ProbeMetrics;
  readonly clock: Clock;
  /** A result changed. */
  readonly onChange: () => void;
};

/** Runs the probes of one container from {@link ContainerProbes.start} to {@link ContainerProbes.stop}. */
export class ContainerProbes {
  readonly #options: ContainerProbesOptions;
  readonly #abort = new AbortController();
  #started: boolean | undefined;
  #ready: boolean;
  #startupFailed = false;
  #livenessFailed = false;
  #startupStop: AbortController | undefined;
  #livenessStop: AbortController | undefined;
  #isQuiet = false;

  constructor(options: ContainerProbesOptions) {
    this.#options = options;
    const { container, before } = options;
    this.#started = container.startupProbe === undefined || before?.started === true ? true : undefined;
    this.#ready = container.readinessProbe === undefined || before?.ready === true;
  }

  /** undefined until the startup probe has decided. */
  get started(): boolean | undefined {
    return this.#started;
  }

  get ready(): boolean {
    return this.#started === true && this.#ready;
  }

  get startupFailed(): boolean {
    return this.#startupFailed;
  }

  get livenessFailed(): boolean {
    return this.#livenessFailed;
  }

  start(): void {
    const { startupProbe } = this.#options.container;
    if (this.#started === true || startupProbe === undefined) return this.#startOthers();
    this.#startupStop = this.#watch("Startup", startupProbe, true, (isGood) => {
      this.#startupStop?.abort();
      this.#started = isGood ? true : undefined;
      this.#startupFailed = !isGood && !this.#isQuiet;
      if (isGood) this.#startOthers();
    });
  }

  /** The pod is being deleted: the container may fail its startup and liveness in peace. Readiness goes on. */
  quieten(): void {
    this.#livenessFailed = false;
    this.#startupFailed = false;
    this.#isQuiet = true;
    this.#startupStop?.abort();
    this.#livenessStop?.abort();
  }

  stop(): void {
    this.#abort.abort(new Error("the container ended"));
  }

  #startOthers(): void {
    const { readinessProbe, livenessProbe } = this.#options.container;
    if (readinessProbe) this.#watch("Readiness", readinessProbe, !this.#ready, (isGood) => (this.#ready = isGood));
    if (!livenessProbe || this.#isQuiet) return;
    this.#livenessStop = this.#watch("Liveness", livenessProbe, false, (isGood) => {
      this.#livenessFailed = !isGood;
      if (!isGood) this.#livenessStop?.abort();
    });
  }

  /** Gives what ends this probe alone. */
  #watch(kind: ProbeKind, probe: Probe, isEager: boolean, onResult: (isGood: boolean) => void): AbortController {
    const { clock, startedMs, before, onChange } = this.#options;
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#abort.signal, stop.signal]);
    const nowMs = clock.now();
    const schedule = scheduleOf(probe, {
      nowMs,
      startedMs,
      originMs: before ? startedMs : Math.max(startedMs, nowMs),
    });
    const look = (isLoud: boolean) => this.#look(kind, probe, isLoud, signal);
    const tell = (isGood: boolean): void => {
      onResult(isGood);
      onChange();
    };
    new ProbeWatch({ probe, schedule, isEager, clock, signal, look, onResult: tell }).start();
    return stop;
  }

  /** undefined: the probe could not be carried out, which says nothing about the container. */
  async #look(kind: ProbeKind, probe: Probe, isLoud: boolean, signal: AbortSignal): Promise<boolean | undefined> {
    const startedMs = this.#options.clock.now();
    try {
      const outcome = await runProbe(probe, this.#options.target, signal);
      const isGood = outcome.result !== "failure";
      if (signal.aborted) return undefined;
      if (isLoud || isGood) this.#count(kind, isGood ? "successful" : "failed", startedMs);
      if (isLoud) this.#tell(kind, outcome);
      return isGood;
    } catch (error) {
      if (isLoud && !signal.aborted) this.#count(kind, "unknown", startedMs);
      const why = error instanceof Error ? error.message : String(error);
      if (isLoud && !signal.aborted)
        this.#say("Unhealthy", `${kind} probe errored and resulted in unknown state: ${why}`);
      return undefined;
    }
  }

  #count(kind: ProbeKind, result: ProbeResult, startedMs: number): void {
    const { pod, container, metrics, clock } = this.#options;
    const { namespace, name, uid } = refOf(pod);
    const tookMs = clock.now() - startedMs;
    metrics.count({ namespace, pod: name, uid, container: container.name, kind, result, tookMs });
  }

  #tell(kind: ProbeKind, { result, output }: ProbeOutcome): void {
    if (result === "failure") this.#say("Unhealthy", `${kind} probe failed: ${output}`);
    if (result === "warning") this.#say("ProbeWarning", `${kind} probe warning: ${output}`);
  }

  #say(reason: string, message: string): void {
    const { pod, container, events } = this.#options;
    events.pod(pod, "Warning", reason, message, containerFieldPath(pod, container.name));
  }
}

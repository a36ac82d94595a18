/**
 * The probes of one running container: startup first, then readiness and liveness side by side. The first look comes as soon as the initial delay allows. Thresholds as
 * pkg/kubelet/prober/worker.go.
 *
 * Beyond upstream: while a container is not ready yet, readiness and startup are also looked at in quick succession after its start (50 ms, 100 ms, … until the first
 * period is over). Such a look counts only when it succeeds, so a server that listens after 80 ms is Ready after 100 ms and not after ten seconds.
 */
import type { Container, Pod, Probe } from "#api/generated/types/core-v1.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import { containerFieldPath } from "#kubelet/events.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import type { ProbeOutcome, ProbeTarget } from "./probe-target.ts";
import { runProbe } from "./run-probe.ts";

const firstExtraMs = 50;
/** Commands cost a process each: fewer of them. */
const firstExtraExecMs = 200;

export type ContainerProbesOptions = {
  readonly pod: Pod;
  readonly container: Container;
  readonly target: ProbeTarget;
  /** When the container's process was started, in ms since 1970. */
  readonly startedMs: number;
  /** What was known before the agent started; a container that was ready stays so until a probe says otherwise. */
  readonly before: { readonly started: boolean; readonly ready: boolean } | undefined;
  readonly events: KubeletEvents;
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
    this.#watch("Startup", startupProbe, startupProbe, (isGood) => {
      this.#started = isGood ? true : undefined;
      this.#startupFailed = !isGood;
      if (isGood) this.#startOthers();
      return "stop";
    });
  }

  /** The pod is being deleted: the container may fail its liveness in peace. Readiness goes on. */
  quieten(): void {
    this.#livenessFailed = false;
    this.#startupFailed = false;
    this.#isQuiet = true;
  }

  stop(): void {
    this.#abort.abort(new Error("the container ended"));
  }

  #isQuiet = false;

  #startOthers(): void {
    const { readinessProbe, livenessProbe } = this.#options.container;
    if (readinessProbe) {
      this.#watch("Readiness", readinessProbe, this.#ready ? undefined : readinessProbe, (isGood) => {
        this.#ready = isGood;
        return "goOn";
      });
    }
    if (livenessProbe) {
      this.#watch("Liveness", livenessProbe, undefined, (isGood) => {
        this.#livenessFailed = !isGood && !this.#isQuiet;
        return isGood ? "goOn" : "stop";
      });
    }
  }

  /** Looks again and again; tells `onResult` when a threshold is reached. */
  #watch(kind: string, probe: Probe, eager: Probe | undefined, onResult: (isGood: boolean) => "goOn" | "stop"): void {
    const { clock, startedMs, onChange } = this.#options;
    const periodMs = Math.max(1, probe.periodSeconds ?? 10) * 1000;
    const dueMs = Math.max(0, startedMs + (probe.initialDelaySeconds ?? 0) * 1000 - clock.now());
    let last: boolean | undefined;
    let run = 0;
    let told: boolean | undefined;
    let isOver = false;
    let extra: Timer | undefined;

    const judge = (isGood: boolean): void => {
      run = last === isGood ? run + 1 : 1;
      last = isGood;
      const threshold = isGood ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3);
      if (run < threshold || isOver) return;
      const isNews = told !== isGood;
      told = isGood;
      isOver = onResult(isGood) === "stop";
      if (isNews || isOver) onChange();
    };
    const look = async (): Promise<void> => {
      const outcome = await this.#look(kind, probe, true);
      if (outcome && !this.#abort.signal.aborted) judge(outcome.result !== "failure");
    };
    const repeat = (): void => {
      if (isOver || this.#abort.signal.aborted || (this.#isQuiet && kind !== "Readiness")) return extra?.clear();
      this.#later(periodMs, repeat);
      void look(); // never rejects
    };
    const hurry = (delayMs: number, spentMs: number): void => {
      if (spentMs + delayMs >= periodMs || isOver || last === true) return;
      extra = this.#later(delayMs, () => {
        void this.#look(kind, probe, false).then((outcome) => {
          if (isOver || last === true || this.#abort.signal.aborted) return;
          if (outcome?.result === "success") judge(true);
          else hurry(delayMs * 2, spentMs + delayMs);
        });
      });
    };
    const begin = (): void => {
      repeat();
      if (eager && (probe.successThreshold ?? 1) === 1) hurry(probe.exec ? firstExtraExecMs : firstExtraMs, 0);
    };
    if (dueMs === 0) begin();
    else this.#later(dueMs, begin);
  }

  #later(delayMs: number, callback: () => void): Timer {
    const timer = this.#options.clock.setTimer(delayMs, () => {
      this.#abort.signal.removeEventListener("abort", timer.clear);
      if (!this.#abort.signal.aborted) callback();
    });
    this.#abort.signal.addEventListener("abort", timer.clear, { once: true });
    return timer;
  }

  /** undefined: the probe could not be carried out, which says nothing about the container. */
  async #look(kind: string, probe: Probe, isLoud: boolean): Promise<ProbeOutcome | undefined> {
    const signal = this.#abort.signal;
    try {
      const outcome = await runProbe(probe, this.#options.target, signal);
      if (isLoud && !signal.aborted) this.#tell(kind, outcome);
      return outcome;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (isLoud && !signal.aborted)
        this.#say("Unhealthy", `${kind} probe errored and resulted in unknown state: ${why}`);
      return undefined;
    }
  }

  #tell(kind: string, { result, output }: ProbeOutcome): void {
    if (result === "failure") this.#say("Unhealthy", `${kind} probe failed: ${output}`);
    if (result === "warning") this.#say("ProbeWarning", `${kind} probe warning: ${output}`);
  }

  #say(reason: string, message: string): void {
    const { pod, container, events } = this.#options;
    events.pod(pod, "Warning", reason, message, containerFieldPath(pod, container.name));
  }
}

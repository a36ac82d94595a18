/**
 * A provider that runs pods in memory: they start after a delay (default at once) and end when a test says so. For tests of everything above the provider, and for
 * clusters of thousands of pretended pods (benchmarks, scheduling trials).
 */
import type { Container, ContainerState, ContainerStatus, Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import type { PodProvider, PodRef, ProviderPod } from "#kubelet/provider.ts";

export type FakeProviderOptions = {
  readonly clock: Clock;
  /** How long a pod takes until it runs. Default 0: in the same turn. */
  readonly startDelayMs?: number;
  /** How long a pod takes to stop; never longer than its grace. Default 0. */
  readonly stopDelayMs?: number;
  /** Gives each pod its address. Default 10.0.0.1, 10.0.0.2, … */
  readonly nextIP?: () => string;
};

type FakePod = { ref: PodRef; pod: Pod; status: PodStatus; stop: ((grace: number) => void) | undefined };

/** Pods in memory. {@link FakeProvider.exit} ends containers by hand. */
export class FakeProvider implements PodProvider {
  readonly #options: FakeProviderOptions;
  readonly #pods = new Map<string, FakePod>();
  #listener: (ref: PodRef, status: PodStatus) => void = () => {};
  #addresses = 0;

  constructor(options: FakeProviderOptions) {
    this.#options = options;
  }

  onStatus(listener: (ref: PodRef, status: PodStatus) => void): void {
    this.#listener = listener;
  }

  async createPod(pod: Pod, _signal: AbortSignal): Promise<void> {
    const ref = refOf(pod);
    if (this.#pods.has(ref.uid)) return;
    const entry: FakePod = { ref, pod, status: waitingStatus(pod), stop: undefined };
    this.#pods.set(ref.uid, entry);
    const delayMs = this.#options.startDelayMs ?? 0;
    if (delayMs === 0) return this.#run(entry);
    this.#tell(entry);
    this.#options.clock.setTimer(delayMs, () => this.#run(entry));
  }

  async updatePod(pod: Pod, signal: AbortSignal): Promise<void> {
    const entry = this.#pods.get(pod.metadata?.uid ?? "");
    if (!entry) return this.createPod(pod, signal);
    entry.pod = pod;
    entry.status = { ...entry.status, ...generationOf(pod) };
    this.#tell(entry);
  }

  async deletePod(ref: PodRef, gracePeriodSeconds: number, signal: AbortSignal): Promise<void> {
    const entry = this.#pods.get(ref.uid);
    if (!entry) return;
    const delayMs = Math.min(this.#options.stopDelayMs ?? 0, gracePeriodSeconds * 1000);
    if (delayMs > 0) await this.#options.clock.sleep(delayMs, signal);
    if (!this.#pods.delete(ref.uid)) return;
    entry.status = endedStatus(entry, 0, this.#options.clock.now());
    this.#tell(entry);
  }

  async listPods(): Promise<readonly ProviderPod[]> {
    return [...this.#pods.values()].map(({ ref, pod, status }) => ({ ref, pod, status }));
  }

  /** Ends all containers of a pod with this exit code; the pod becomes Succeeded or Failed unless its restart policy is Always. */
  exit(uid: string, exitCode: number): void {
    const entry = this.#pods.get(uid);
    if (!entry) throw new Error(`no pod with uid ${uid} runs here`);
    if ((entry.pod.spec?.restartPolicy ?? "Always") === "Always") return this.#run(entry, exitCode);
    entry.status = endedStatus(entry, exitCode, this.#options.clock.now());
    this.#tell(entry);
  }

  #run(entry: FakePod, lastExitCode?: number): void {
    if (!this.#pods.has(entry.ref.uid)) return;
    const podIP = entry.status.podIP ?? this.#options.nextIP?.() ?? this.#nextAddress();
    entry.status = runningStatus(entry, podIP, this.#options.clock.now(), lastExitCode);
    this.#tell(entry);
  }

  #nextAddress(): string {
    this.#addresses += 1;
    return `10.0.${this.#addresses >> 8}.${this.#addresses & 255}`;
  }

  #tell(entry: FakePod): void {
    this.#listener(entry.ref, entry.status);
  }
}

function refOf(pod: Pod): PodRef {
  const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
  return { namespace, name, uid };
}

function generationOf(pod: Pod): { readonly observedGeneration?: number } {
  const generation = pod.metadata?.generation;
  return generation === undefined ? {} : { observedGeneration: generation };
}

function conditions(isReady: boolean): PodStatus["conditions"] {
  const status = isReady ? "True" : "False";
  return [
    { type: "PodReadyToStartContainers", status: "True" },
    { type: "Initialized", status: "True" },
    { type: "Ready", status },
    { type: "ContainersReady", status },
    { type: "PodScheduled", status: "True" },
  ];
}

function statusOf(container: Container, state: ContainerState, restartCount: number, uid: string): ContainerStatus {
  const isRunning = state.running !== undefined;
  return {
    name: container.name,
    image: container.image ?? "",
    imageID: isRunning ? `fake:${container.image ?? ""}` : "",
    ...(state.waiting === undefined ? { containerID: `fake://${uid}-${container.name}-${restartCount}` } : {}),
    ready: isRunning,
    started: isRunning,
    restartCount,
    state,
  };
}

function waitingStatus(pod: Pod): PodStatus {
  const waiting = { reason: "ContainerCreating" };
  return {
    phase: "Pending",
    ...generationOf(pod),
    conditions: conditions(false) ?? [],
    containerStatuses: (pod.spec?.containers ?? []).map((it) => statusOf(it, { waiting }, 0, pod.metadata?.uid ?? "")),
  };
}

function runningStatus({ pod, ref, status }: FakePod, podIP: string, nowMs: number, lastExitCode?: number): PodStatus {
  const startedAt = new Date(nowMs).toISOString().replace(/\.\d+Z/, "Z");
  const containerStatuses = (pod.spec?.containers ?? []).map((container) => {
    const before = status.containerStatuses?.find((it) => it.name === container.name);
    const hasRun = before?.state?.running !== undefined && lastExitCode !== undefined;
    const restartCount = (before?.restartCount ?? 0) + (hasRun ? 1 : 0);
    const made = statusOf(container, { running: { startedAt } }, restartCount, ref.uid);
    if (!hasRun) return made;
    return { ...made, lastState: { terminated: ended(before.state, lastExitCode, startedAt) } };
  });
  return {
    phase: "Running",
    ...generationOf(pod),
    conditions: conditions(true) ?? [],
    podIP,
    podIPs: [{ ip: podIP }],
    containerStatuses,
  };
}

function endedStatus({ pod, status }: FakePod, exitCode: number, nowMs: number): PodStatus {
  const finishedAt = new Date(nowMs).toISOString().replace(/\.\d+Z/, "Z");
  return {
    ...status,
    phase: exitCode === 0 ? "Succeeded" : "Failed",
    ...generationOf(pod),
    conditions: conditions(false) ?? [],
    containerStatuses: (status.containerStatuses ?? []).map((it) => ({
      ...it,
      ready: false,
      started: false,
      state: it.state?.terminated ? it.state : { terminated: ended(it.state, exitCode, finishedAt) },
    })),
  };
}

function ended(
  state: ContainerState | undefined,
  exitCode: number,
  finishedAt: string,
): NonNullable<ContainerState["terminated"]> {
  const startedAt = state?.running?.startedAt;
  return {
    exitCode,
    reason: exitCode === 0 ? "Completed" : "Error",
    finishedAt,
    ...(startedAt === undefined ? {} : { startedAt }),
  };
}

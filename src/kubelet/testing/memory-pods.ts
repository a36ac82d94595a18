/**
 * A provider of pretended pods for the kubelet's own tests (providers/fake, which users can choose, lies above this room and cannot be imported from it).
 */
import type { Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import { refOf } from "#kubelet/pod-object.ts";
import type { PodProvider, PodRef, ProviderPod } from "#kubelet/provider.ts";

/** Pods that run at once and end by {@link MemoryPods.end}. */
export class MemoryPods implements PodProvider {
  /** How many pods were started. */
  starts = 0;
  readonly #pods = new Map<string, ProviderPod>();
  #listener: (ref: PodRef, status: PodStatus) => void = () => {};

  onStatus(listener: (ref: PodRef, status: PodStatus) => void): void {
    this.#listener = listener;
  }

  async createPod(pod: Pod): Promise<void> {
    const ref = refOf(pod);
    if (this.#pods.has(ref.uid)) return;
    this.starts += 1;
    this.#set(ref, pod, {
      phase: "Running",
      podIP: "10.42.0.7",
      podIPs: [{ ip: "10.42.0.7" }],
      conditions: ["Initialized", "Ready", "ContainersReady"].map((type) => ({ type, status: "True" })),
      containerStatuses: [
        { name: "main", image: "app", imageID: "", ready: true, restartCount: 0, state: { running: {} } },
      ],
    });
  }

  async updatePod(pod: Pod): Promise<void> {
    await this.createPod(pod);
  }

  async deletePod(ref: PodRef): Promise<void> {
    if (!this.#pods.has(ref.uid)) return;
    this.end(ref.uid, 0);
    this.#pods.delete(ref.uid);
  }

  async listPods(): Promise<readonly ProviderPod[]> {
    return [...this.#pods.values()];
  }

  /** The pod's container ends with this exit code. */
  end(uid: string, exitCode: number): void {
    const known = this.#pods.get(uid);
    if (!known) throw new Error(`no pod ${uid}`);
    const state = { terminated: { exitCode, reason: exitCode === 0 ? "Completed" : "Error" } };
    this.#set(known.ref, known.pod, {
      ...known.status,
      phase: exitCode === 0 ? "Succeeded" : "Failed",
      containerStatuses: (known.status.containerStatuses ?? []).map((it) => ({ ...it, ready: false, state })),
    });
  }

  #set(ref: PodRef, pod: Pod, status: PodStatus): void {
    this.#pods.set(ref.uid, { ref, pod, status });
    this.#listener(ref, status);
  }
}

/**
 * What must be there before any container of a pod can start: its sandbox with an address, its volumes, its /etc files. Made side by side, tried again until it stands.
 */
import { rm } from "node:fs/promises";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { Timer } from "#component-base/clock.ts";
import type { Sandbox } from "#kubelet/container-runtime.ts";
import { podKey, refOf } from "#kubelet/pod-object.ts";
import { VolumeError } from "#kubelet/volumes/pod-volumes.ts";
import type { EngineParts } from "./engine-parts.ts";
import { writeEtcFiles } from "./etc-files.ts";
import { withoutHiddenVolumes } from "./hidden-mounts.ts";
import { podFolder, podLogFolder } from "./pod-folders.ts";
import { sandboxSpec } from "./sandbox-spec.ts";

const firstRetryMs = 500;
const longestSandboxRetryMs = 10_000;
const longestVolumeRetryMs = 120_000;

/** The ground of one pod. */
export class PodGround {
  readonly #parts: EngineParts;
  readonly #pod: () => Pod;
  readonly #onChange: () => void;
  readonly #abort = new AbortController();
  #sandbox: Sandbox | undefined;
  #podIPs: readonly string[];
  #isMounted: boolean;
  #hasEtcFiles: boolean;
  #mustRenew = false;
  /** A sandbox is there whose namespaces are gone, as after a reboot or `nodeless down`: it is removed before a new one is made. */
  #isStale: boolean;
  #work: Promise<void> | undefined;
  #retry: Timer | undefined;
  #retryMs = firstRetryMs;
  #lastError = "";
  /** "" is the default. */
  #runtimeHandler = "";

  /** `adopted` was there before the agent was; all of the ground stood, it is sure, if a container was made on it. */
  constructor(
    parts: EngineParts,
    pod: () => Pod,
    onChange: () => void,
    adopted: { readonly sandbox: Sandbox | undefined; readonly isInUse: boolean },
  ) {
    this.#parts = parts;
    this.#pod = pod;
    this.#onChange = onChange;
    const { sandbox, isInUse } = adopted;
    this.#sandbox = sandbox?.ready ? sandbox : undefined;
    this.#isStale = sandbox?.ready === false;
    this.#podIPs = sandbox?.ips ?? pod().status?.podIPs?.map((it) => it.ip) ?? [];
    this.#isMounted = this.#sandbox !== undefined && isInUse;
    this.#hasEtcFiles = this.#isMounted;
    this.#mustRenew = this.#isMounted;
  }

  get sandbox(): Sandbox | undefined {
    return this.#sandbox;
  }

  /** The sandbox's addresses, or the last ones that the pod had. */
  get podIPs(): readonly string[] {
    return this.#podIPs;
  }

  isReady(): boolean {
    if (this.#mustRenew) this.prepare();
    return this.#sandbox !== undefined && this.#isMounted;
  }

  /** Makes what is missing, unless that is under way or waits for its next try. */
  prepare(): void {
    if (this.#work || this.#retry || this.#abort.signal.aborted) return;
    this.#mustRenew = false;
    this.#work = this.#make()
      .then(
        () => {
          this.#retryMs = firstRetryMs;
          this.#lastError = "";
        },
        (error: unknown) => this.#onFailure(error),
      )
      .finally(() => {
        this.#work = undefined;
        this.#onChange();
      });
  }

  /** Contents of volumes may have changed: looks at them again, at once even if a failure waits. */
  renew(): void {
    if (this.#abort.signal.aborted) return;
    this.#mustRenew = true;
    this.#retry?.clear();
    this.#retry = undefined;
    if (this.#isMounted) this.prepare();
  }

  /** Makes nothing more. */
  stop(): void {
    this.#abort.abort(new Error("the pod is being stopped"));
    this.#retry?.clear();
  }

  /** Resolves when nothing is being made. */
  async settled(): Promise<void> {
    await this.#work;
  }

  /** Takes sandbox and volumes away; logs and the pod's record stay. */
  async clear(): Promise<void> {
    const ref = refOf(this.#pod());
    await this.settled();
    await this.#parts.runtime.removeSandbox(ref);
    this.#sandbox = undefined;
    await this.#parts.volumes.unmount(ref);
  }

  /** Takes everything of the pod away. */
  async remove(): Promise<void> {
    const { folders } = this.#parts;
    const ref = refOf(this.#pod());
    await this.clear();
    await this.#keepLogs(podLogFolder(folders, ref));
    await Promise.all([
      rm(podFolder(folders, ref.uid), { recursive: true, force: true }),
      rm(podLogFolder(folders, ref), { recursive: true, force: true }),
    ]);
  }

  async #keepLogs(podLogs: string): Promise<void> {
    try {
      await this.#parts.endedLogs?.keep(this.#pod(), podLogs);
    } catch (error) {
      this.#parts.logger.debug("Last lines of a pod could not be kept", { error });
    }
  }

  /** Whether the pod's containers cannot see what is mounted at a path. Known once the ground is being made. */
  isHidden(containerPath: string): boolean {
    return this.#parts.runtime.hidesMount?.(this.#runtimeHandler, containerPath) ?? false;
  }

  async #make(): Promise<void> {
    const pod = this.#pod();
    await this.#findHandler(pod.spec?.runtimeClassName);
    const results = await Promise.allSettled([this.#makeSandbox(pod), this.#mount(pod)]);
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }

  /** A class that is gone matters only to a sandbox that has to be made. */
  async #findHandler(className: string | undefined): Promise<void> {
    if (!className || this.#runtimeHandler !== "") return;
    try {
      this.#runtimeHandler = await this.#parts.objects.runtimeHandler(className);
    } catch (error) {
      if (!this.#sandbox) throw error;
    }
  }

  async #makeSandbox(pod: Pod): Promise<void> {
    const { runtime, node, folders } = this.#parts;
    if (this.#sandbox) {
      // Of a crash between the two.
      if (!this.#hasEtcFiles) writeEtcFiles(folders, pod, this.#sandbox.ips, node);
      this.#hasEtcFiles = true;
      return;
    }
    if (this.#isStale) await runtime.removeSandbox(refOf(pod));
    this.#isStale = false;
    const spec = sandboxSpec(pod, { ...node, runtimeHandler: this.#runtimeHandler });
    const sandbox = await runtime.ensureSandbox(spec, this.#abort.signal);
    this.#podIPs = sandbox.ips;
    writeEtcFiles(folders, pod, sandbox.ips, node);
    this.#hasEtcFiles = true;
    this.#sandbox = sandbox;
    this.#onChange();
  }

  async #mount(pod: Pod): Promise<void> {
    const visible = withoutHiddenVolumes(pod, (path) => this.isHidden(path));
    await this.#parts.volumes.mount(visible, this.#abort.signal);
    this.#isMounted = true;
  }

  #onFailure(error: unknown): void {
    if (this.#abort.signal.aborted) return;
    const { events, clock, logger } = this.#parts;
    const pod = this.#pod();
    const message = error instanceof Error ? error.message : String(error);
    const isVolume = error instanceof VolumeError;
    logger.warn("Could not prepare pod", { pod: podKey(refOf(pod)), error });
    const text = isVolume ? message : `Failed to create pod sandbox: ${message}`;
    if (text !== this.#lastError) events.pod(pod, "Warning", isVolume ? error.reason : "FailedCreatePodSandBox", text);
    this.#lastError = text;
    this.#retry = clock.setTimer(this.#retryMs, () => {
      this.#retry = undefined;
      this.#mustRenew = true;
      this.#onChange();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, isVolume ? longestVolumeRetryMs : longestSandboxRetryMs);
  }
}

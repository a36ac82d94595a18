/**
 * Logs and processes of the engine's pods: finds the container, then hands over to the log reader or the runtime. As {@link PodStreams} promises.
 */
import type { Duplex } from "node:stream";
import { badRequest, notFound } from "#apimachinery/status-error.ts";
import type { ContainerRuntime, ContainerState } from "#kubelet/container-runtime.ts";
import { openLog } from "#kubelet/logs/open-log.ts";
import type { LogOptions, PodRef, PodStreams, ProcessStreams } from "#kubelet/provider.ts";
import type { KubeletFolders } from "./pod-folders.ts";
import { containerLogPath } from "./pod-folders.ts";
import { containerForLogs } from "./pod-log-source.ts";
import type { PodWorker } from "./pod-worker.ts";

export type EngineStreamsOptions = {
  readonly runtime: ContainerRuntime;
  readonly folders: KubeletFolders;
  readonly findWorker: (uid: string) => PodWorker | undefined;
};

/** The engine's streams. */
export class EngineStreams implements PodStreams {
  readonly #options: EngineStreamsOptions;

  constructor(options: EngineStreamsOptions) {
    this.#options = options;
  }

  async logs(
    ref: PodRef,
    container: string,
    options: LogOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    const worker = this.#worker(ref);
    const status = worker.status ?? worker.pod.status ?? {};
    const find = (previous: boolean) => worker.findContainer(container, previous);
    const { attempt, state } = containerForLogs(ref.name, container, options.previous, status, find);
    const path = containerLogPath(this.#options.folders, ref, container, attempt);
    const isRunning = () => state !== undefined && worker.findById(state.id)?.phase === "running";
    const ended = state === undefined ? AbortSignal.abort() : worker.endOf(state.id);
    return openLog({ path, isRunning, ended }, options, signal);
  }

  async exec(
    ref: PodRef,
    container: string,
    command: readonly string[],
    streams: ProcessStreams,
    signal: AbortSignal,
  ): Promise<number> {
    return this.#options.runtime.exec(this.#running(ref, container).id, command, streams, signal);
  }

  async attach(ref: PodRef, container: string, streams: ProcessStreams, signal: AbortSignal): Promise<void> {
    await this.#options.runtime.attach(this.#running(ref, container).id, streams, signal);
  }

  async portForward(ref: PodRef, port: number, signal: AbortSignal): Promise<Duplex> {
    if (!this.#worker(ref).sandbox) throw badRequest(`pod ${JSON.stringify(ref.name)} has no sandbox`);
    return this.#options.runtime.portForward(ref, port, signal);
  }

  #worker(ref: PodRef): PodWorker {
    const worker = this.#options.findWorker(ref.uid);
    if (!worker) throw notFound({ group: "", resource: "pods", name: ref.name });
    return worker;
  }

  #running(ref: PodRef, container: string): ContainerState {
    const state = this.#worker(ref).findContainer(container, false);
    if (state?.phase === "running") return state;
    throw badRequest(`container not found (${JSON.stringify(container)})`);
  }
}

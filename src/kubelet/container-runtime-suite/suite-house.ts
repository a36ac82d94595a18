/**
 * What the tests of the container runtime contract have in common: the implementation under test, and short ways to make pods, run scripts and read what they said.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type {
  ContainerRuntime,
  ContainerSpec,
  ContainerState,
  ImageInfo,
  ImageService,
  SandboxSpec,
} from "#kubelet/container-runtime.ts";
import type { PodRef, ProcessStreams } from "#kubelet/provider.ts";

/** An implementation, ready for a few dozen containers. */
export type RuntimeUnderTest = {
  runtime: ContainerRuntime;
  readonly images: ImageService;
  /** An image that is here, with a shell and the usual commands; its user is root, /etc/passwd knows "nobody" as 65534. */
  readonly imageReference: string;
  /** Exists; log files of containers go here. */
  readonly logFolder: string;
  /** Stops the agent and starts another one on the same folders, as after a crash. */
  restart(): Promise<ContainerRuntime>;
  /** Stops it and checks that nothing is left on the machine. */
  close(): Promise<void>;
};

/** Longest that anything here may take, in milliseconds. */
export const patienceMs = 20_000;

/** A signal that never aborts. */
export const never: AbortSignal = new AbortController().signal;

/** The implementation and helpers that know it; open before the first test, closed after the last. */
export class SuiteHouse {
  readonly changes: ContainerState[] = [];
  readonly #make: () => Promise<RuntimeUnderTest>;
  #given: RuntimeUnderTest | undefined;
  #image: ImageInfo | undefined;
  #count = 0;

  constructor(make: () => Promise<RuntimeUnderTest>) {
    this.#make = make;
  }

  async open(): Promise<void> {
    this.#given = await this.#make();
    this.given.runtime.onChange((state) => this.changes.push(state));
    this.#image = await this.given.images.findImage(this.given.imageReference);
    assert.ok(this.#image, "the image is here");
  }

  async close(): Promise<void> {
    await this.#given?.close();
  }

  get given(): RuntimeUnderTest {
    assert.ok(this.#given);
    return this.#given;
  }

  get image(): ImageInfo {
    assert.ok(this.#image);
    return this.#image;
  }

  readonly newPod = (): PodRef => {
    this.#count++;
    return { namespace: "suite", name: `pod-${this.#count}`, uid: `0000-suite-${this.#count}-${process.pid}` };
  };

  readonly sandbox = async (changed: Partial<SandboxSpec> = {}): Promise<PodRef> => {
    const pod = this.newPod();
    await this.given.runtime.ensureSandbox({ ...sandboxSpec(pod), ...changed }, never);
    return pod;
  };

  readonly run = async (pod: PodRef, script: string, changed: Partial<ContainerSpec> = {}): Promise<ContainerState> => {
    return this.given.runtime.startContainer(this.containerSpec(pod, script, changed), never);
  };

  readonly containerSpec = (pod: PodRef, script: string, changed: Partial<ContainerSpec> = {}): ContainerSpec => {
    const name = changed.name ?? "main";
    const attempt = changed.attempt ?? 0;
    return {
      pod,
      name,
      attempt,
      imageId: this.image.id,
      command: ["sh", "-c", script],
      args: [],
      env: [],
      mounts: [],
      devices: [],
      security: plainSecurity,
      resources: {},
      oomScoreAdj: 1000,
      tty: false,
      stdin: false,
      stdinOnce: false,
      logPath: join(this.given.logFolder, `${pod.name}-${name}-${attempt}.log`),
      ...changed,
    };
  };

  readonly ended = async (id: string): Promise<ContainerState> => {
    return eventually("the container ends", async () => {
      const state = (await this.given.runtime.listContainers()).find((candidate) => candidate.id === id);
      return state?.phase === "exited" ? state : undefined;
    });
  };

  readonly output = async (
    script: string,
    changed: Partial<ContainerSpec> = {},
    inSandbox: Partial<SandboxSpec> = {},
  ): Promise<string> => {
    const pod = await this.sandbox(inSandbox);
    const { id } = await this.run(pod, script, changed);
    await this.ended(id);
    const text = plainLog(join(this.given.logFolder, `${pod.name}-main-0.log`));
    await this.given.runtime.removeSandbox(pod);
    return text;
  };

  readonly exec = async (
    id: string,
    script: string,
    streams: Partial<ProcessStreams> = {},
  ): Promise<{ code: number; out: string; err: string }> => {
    let out = "";
    let err = "";
    const sinks = {
      stdout: (chunk: Uint8Array) => void (out += Buffer.from(chunk).toString()),
      stderr: (chunk: Uint8Array) => void (err += Buffer.from(chunk).toString()),
    };
    const code = await this.given.runtime.exec(id, ["sh", "-c", script], { tty: false, ...sinks, ...streams }, never);
    return { code, out, err };
  };
}

/** Nothing special: root, default capabilities, default filter. */
export const plainSecurity: ContainerSpec["security"] = {
  privileged: false,
  runAsNonRoot: false,
  supplementalGroups: [],
  supplementalGroupsPolicy: "Merge",
  readOnlyRootFilesystem: false,
  allowPrivilegeEscalation: true,
  addCapabilities: [],
  dropCapabilities: [],
  seccomp: { type: "RuntimeDefault" },
  procMount: "Default",
};

/** A sandbox of a pod with its own network and nothing special. */
export function sandboxSpec(pod: PodRef): SandboxSpec {
  return {
    pod,
    hostname: pod.name,
    hostNetwork: false,
    hostPID: false,
    hostIPC: false,
    shareProcessNamespace: false,
    sysctls: {},
    portMappings: [],
    resources: {},
    qosClass: "BestEffort",
    serviceAccountName: "default",
    runtimeClass: "",
  };
}

/** The text of a CRI log without times and tags. */
export function plainLog(path: string): string {
  if (!existsSync(path)) return "";
  const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => line.split(" ").slice(3).join(" ") + (line.split(" ")[2] === "F" ? "\n" : "")).join("");
}

/** Looks until there is something. Throws when that takes too long. */
export async function eventually<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const untilMs = Date.now() + patienceMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > untilMs) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** These values, one after another. */
export async function* chunks<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

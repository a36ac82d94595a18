/**
 * The default runtime of a node that runs isolates only: refuses each pod that does not ask for one, and says why. The scheduler keeps such pods away by the node's taint; here come those that
 * tolerate everything.
 */
import type { Duplex } from "node:stream";
import type { Service } from "#component-base/life-cycle.ts";
import {
  ContainerError,
  type ContainerRuntime,
  type ContainerState,
  type Sandbox,
} from "#kubelet/container-runtime.ts";
import { findWorkerd } from "./workerd-program.ts";

/** Why containers do not run, and what to do. */
export const isolatesOnlyMessage =
  "this node runs isolates only, because nodeless runs without root: set runtimeClassName: isolate, or start nodeless with sudo to run containers";

/** Has no pods. */
export class NoContainers implements ContainerRuntime, Service {
  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  version(): Promise<{ readonly name: string; readonly version: string }> {
    return Promise.resolve({ name: "workerd", version: findWorkerd().compatibilityDate });
  }

  ensureSandbox(): Promise<Sandbox> {
    return Promise.reject(new ContainerError("CreatePodSandboxError", isolatesOnlyMessage));
  }

  removeSandbox(): Promise<void> {
    return Promise.resolve();
  }

  listSandboxes(): Promise<readonly Sandbox[]> {
    return Promise.resolve([]);
  }

  startContainer(): Promise<ContainerState> {
    return Promise.reject(new ContainerError("CreateContainerError", isolatesOnlyMessage));
  }

  stopContainer(): Promise<void> {
    return Promise.resolve();
  }

  removeContainer(): Promise<void> {
    return Promise.resolve();
  }

  listContainers(): Promise<readonly ContainerState[]> {
    return Promise.resolve([]);
  }

  onChange(): void {
    // Nothing ever changes.
  }

  updateSandboxResources(): Promise<void> {
    return Promise.resolve();
  }

  updateResources(): Promise<void> {
    return Promise.resolve();
  }

  exec(): Promise<number> {
    return Promise.reject(new Error(isolatesOnlyMessage));
  }

  attach(): Promise<void> {
    return Promise.reject(new Error(isolatesOnlyMessage));
  }

  portForward(): Promise<Duplex> {
    return Promise.reject(new Error(isolatesOnlyMessage));
  }

  usage(): ReturnType<ContainerRuntime["usage"]> {
    return Promise.resolve([]);
  }

  reopenLog(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * What `runtime/` says, in the words of the container runtime contract: records as states, failures as errors with the kubelet's reasons. For all providers that stand on it.
 */
import {
  ContainerError,
  type ContainerSpec,
  type ContainerState,
  type Sandbox,
  type SandboxSpec,
} from "#kubelet/container-runtime.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import { NotStarted } from "#runtime/containers.ts";
import type { SandboxRecord } from "#runtime/sandboxes.ts";
import { RuntimeFailure } from "#runtime/settings.ts";

/** A sandbox as the contract has it. Its attachment is the SandboxSpec that it was made from. */
export function sandboxOf(record: SandboxRecord): Sandbox {
  const { pod } = record.settings.attachment as SandboxSpec;
  const ips = record.namespaces.address === undefined ? [] : [record.namespaces.address];
  return { pod, ready: record.isReady, ips, createdMs: record.createdMs };
}

/** A container as the contract has it. Its attachment is the ContainerSpec that it was made from. */
export function stateOf(record: ContainerRecord): ContainerState {
  const spec = record.settings.attachment as ContainerSpec;
  const { id, createdMs, startedMs, finishedMs, exitCode, oomKilled, reason, message } = record;
  return {
    id,
    pod: spec.pod,
    name: spec.name,
    attempt: spec.attempt,
    spec,
    createdMs,
    phase: record.phase === "making" ? "created" : record.phase,
    ...(startedMs !== undefined && { startedMs }),
    ...(finishedMs !== undefined && { finishedMs }),
    ...(exitCode !== undefined && { exitCode }),
    ...(oomKilled !== undefined && { oomKilled }),
    ...(reason !== undefined && { reason }),
    ...(message !== undefined && { message }),
  };
}

const reasons = {
  sandbox: "CreatePodSandboxError",
  configuration: "CreateContainerConfigError",
  create: "CreateContainerError",
  start: "RunContainerError",
} as const;

/** The failure as the contract has it; what is no failure of the runtime stays as it is. */
export function asContainerError(error: unknown): unknown {
  if (error instanceof NotStarted)
    return new ContainerError(reasons.start, error.message, { cause: error, container: stateOf(error.record) });
  if (!(error instanceof RuntimeFailure)) return error;
  return new ContainerError(reasons[error.step], error.message, { cause: error });
}

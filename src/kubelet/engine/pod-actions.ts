/**
 * What is to be done next with a pod: which containers start, which stop. A pure function of what is, so that a restarted agent, a lost event or a failed step all lead
 * to the same next step. Init containers run one after another, sidecars among them stay; then the main containers together. As kuberuntime's computePodActions, v1.36.
 */
import type { Container } from "#api/generated/types/core-v1.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { isRestartableInit } from "#kubelet/pod-object.ts";
import type { PodView } from "./pod-view.ts";
import { isCurrent } from "./pod-view.ts";
import { restartsAfterKill, shouldRestart } from "./restart-policy.ts";

/** Why a container is stopped; probes may have a grace of their own. */
export type KillReason = "startupProbe" | "livenessProbe" | "other";

/** One container to be stopped. */
export type Kill = {
  readonly id: string;
  readonly container: Container;
  readonly message: string;
  readonly reason: KillReason;
};

/** The next steps; they do not depend on each other. */
export type PodActions = {
  readonly start: readonly Container[];
  readonly kill: readonly Kill[];
  /** Nothing runs any more or ever will: stop what is left (sidecars), the pod has ended. */
  readonly end: boolean;
};

const nothing: PodActions = { start: [], kill: [], end: false };

/** Decides. Containers that are being started are left alone. */
export function computePodActions(view: PodView): PodActions {
  const { pod } = view;
  if (view.isEnding) return { ...nothing, end: true };
  const ephemeral = (pod.spec?.ephemeralContainers ?? []) as readonly Container[];
  const debug = ephemeral.filter((it) => view.latest(it.name) === undefined && !view.isStarting(it.name));
  const init = initActions(view);
  if (init.end) return { ...init, kill: [] };
  if (!init.initialized) return { start: [...debug, ...init.start], kill: init.kill, end: false };
  const main = mainActions(view);
  if (main.end) return main;
  return { start: [...debug, ...init.start, ...main.start], kill: [...init.kill, ...main.kill], end: false };
}

/** True once any main container was made in this sandbox: from then on only sidecars count among the init containers. */
export function hasInitialized(view: PodView): boolean {
  return (view.pod.spec?.containers ?? []).some((container) => ofSandbox(view, container) !== undefined);
}

type InitActions = PodActions & { readonly initialized: boolean };

function initActions(view: PodView): InitActions {
  const containers = view.pod.spec?.initContainers ?? [];
  const start: Container[] = [];
  const kill: Kill[] = [];
  const isInitialized = hasInitialized(view);
  const last = isInitialized ? containers.length : lastBegun(view, containers);
  for (const container of containers.slice(0, Math.max(0, last)).filter(isRestartableInit))
    keepSidecar(view, container, start, kill);
  if (isInitialized || containers.length === 0) return { start, kill, end: false, initialized: true };
  const next = advance(view, containers, last, start, kill);
  return { start, kill, end: next === "failed", initialized: next === "done" };
}

/** Looks at the init container that was begun last, and starts it again or the one after it. */
function advance(
  view: PodView,
  containers: readonly Container[],
  last: number,
  start: Container[],
  kill: Kill[],
): "waiting" | "done" | "failed" {
  const current = containers[last];
  if (current === undefined) return startOrWait(view, containers[0] as Container, start);
  const state = ofSandbox(view, current);
  if (view.isStarting(current.name)) return "waiting";
  if (state === undefined) return startOrWait(view, current, start);
  if (isRestartableInit(current)) {
    keepSidecar(view, current, start, kill);
    if (state.phase !== "running" || view.probes(state.id).started !== true) return "waiting";
  } else {
    if (state.phase !== "exited") return "waiting";
    if (state.exitCode !== 0) {
      if (!shouldRestart(view.pod, current, state.exitCode ?? 137)) return "failed";
      return startOrWait(view, current, start);
    }
  }
  const next = containers[last + 1];
  return next === undefined ? "done" : startOrWait(view, next, start);
}

function startOrWait(view: PodView, container: Container, start: Container[]): "waiting" {
  if (!view.isStarting(container.name)) start.push(container);
  return "waiting";
}

/** Index of the init container that was begun last in this sandbox; -1 when none was. */
function lastBegun(view: PodView, containers: readonly Container[]): number {
  return containers.findLastIndex(
    (container) => ofSandbox(view, container) !== undefined || view.isStarting(container.name),
  );
}

function keepSidecar(view: PodView, container: Container, start: Container[], kill: Kill[]): void {
  if (view.isStarting(container.name)) return;
  const state = ofSandbox(view, container);
  if (state === undefined || state.phase !== "running") {
    if (!start.includes(container)) start.push(container);
    return;
  }
  const doom = probeDoom(view, state, container, "Init container");
  if (doom) kill.push(doom);
}

function mainActions(view: PodView): PodActions {
  const start: Container[] = [];
  const kill: Kill[] = [];
  let kept = 0;
  for (const container of view.pod.spec?.containers ?? []) {
    const latest = view.latest(container.name);
    const state = latest && latest.createdMs >= view.epochMs ? latest : undefined;
    if (view.isStarting(container.name)) kept += 1;
    else if (state?.phase === "running") {
      const doom = mainDoom(view, state, container);
      if (doom) kill.push(doom);
      kept += 1;
    } else if (state === undefined || state.phase === "created") start.push(container);
    else if (shouldRestart(view.pod, container, state.exitCode ?? 137)) start.push(container);
  }
  return kept === 0 && start.length === 0 ? { start, kill, end: true } : { start, kill, end: false };
}

function mainDoom(view: PodView, state: ContainerState, container: Container): Kill | undefined {
  const doom = probeDoom(view, state, container, "Container");
  if (!doom || !restartsAfterKill(view.pod, container)) return doom;
  return { ...doom, message: `${doom.message}, will be restarted` };
}

function probeDoom(view: PodView, state: ContainerState, container: Container, what: string): Kill | undefined {
  const probes = view.probes(state.id);
  const { id } = state;
  if (probes.livenessFailed) {
    return { id, container, reason: "livenessProbe", message: `${what} ${container.name} failed liveness probe` };
  }
  if (probes.startupFailed) {
    return { id, container, reason: "startupProbe", message: `${what} ${container.name} failed startup probe` };
  }
  return undefined;
}

function ofSandbox(view: PodView, container: Container): ContainerState | undefined {
  const state = view.latest(container.name);
  return state !== undefined && isCurrent(state, view) ? state : undefined;
}

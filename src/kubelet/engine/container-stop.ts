/**
 * Stops containers: the preStop hook, then the signal, all within the grace period; sidecars last, in reverse order of their start. As kuberuntime's killContainer and
 * termination ordering, v1.36.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { containerFieldPath } from "#kubelet/events.ts";
import { isRestartableInit } from "#kubelet/pod-object.ts";
import type { ProbeTarget } from "#kubelet/probes/probe-target.ts";
import type { EngineParts } from "./engine-parts.ts";
import { runHook } from "./lifecycle-hooks.ts";
import type { KillReason } from "./pod-actions.ts";

/** No container gets less, so that it can end by itself. */
const minimumGraceSeconds = 2;

/** One stop of a whole pod, whose grace may be shortened while it is under way. */
export class StopDeadline {
  readonly #startedMs: number;
  #graceSeconds: number;
  #hurry = new AbortController();

  constructor(nowMs: number, graceSeconds: number) {
    this.#startedMs = nowMs;
    this.#graceSeconds = graceSeconds;
  }

  /** Seconds that are left. */
  remaining(nowMs: number): number {
    return this.#graceSeconds - Math.floor((nowMs - this.#startedMs) / 1000);
  }

  /** Aborts when a shorter grace was given: whoever waits looks at {@link remaining} again. */
  get signal(): AbortSignal {
    return this.#hurry.signal;
  }

  /** A shorter grace counts, a longer one does not. True when it was shorter. */
  shorten(nowMs: number, graceSeconds: number): boolean {
    const end = Math.floor((nowMs - this.#startedMs) / 1000) + graceSeconds;
    if (end >= this.#graceSeconds) return false;
    this.#graceSeconds = end;
    const before = this.#hurry;
    this.#hurry = new AbortController();
    before.abort(new Error("a shorter grace period was given"));
    return true;
  }
}

export type StopContext = {
  readonly parts: EngineParts;
  readonly pod: Pod;
  readonly target: (state: ContainerState, container: Container) => ProbeTarget;
};

/** How long the container may take, by what kills it. */
export function graceFor(pod: Pod, container: Container, reason: KillReason): number {
  const ofDeletion = pod.metadata?.deletionGracePeriodSeconds;
  if (ofDeletion !== undefined) return ofDeletion;
  const probe = { startupProbe: container.startupProbe, livenessProbe: container.livenessProbe, other: undefined }[
    reason
  ];
  return probe?.terminationGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? minimumGraceSeconds;
}

/** Stops one container. Resolves when it ended. `turn` is waited for before the signal, as long as there is grace. */
export async function stopContainer(
  state: ContainerState,
  container: Container,
  options: { readonly message: string; readonly deadline: StopDeadline; readonly turn?: Promise<unknown> },
  context: StopContext,
): Promise<void> {
  const { parts, pod } = context;
  const { deadline } = options;
  const message = options.message || `Stopping container ${container.name}`;
  parts.events.pod(pod, "Normal", "Killing", message, containerFieldPath(pod, container.name));
  if (container.lifecycle?.preStop)
    await withinGrace(deadline, parts, (signal) => preStop(state, container, context, signal));
  if (options.turn) await withinGrace(deadline, parts, () => options.turn as Promise<unknown>);
  for (;;) {
    const hurried = deadline.signal;
    const grace = Math.max(deadline.remaining(parts.clock.now()), minimumGraceSeconds);
    const shortened = new Promise<"shortened">((resolve) =>
      hurried.addEventListener("abort", () => resolve("shortened"), { once: true }),
    );
    const stopped = parts.runtime.stopContainer(state.id, grace);
    if ((await Promise.race([stopped, shortened])) !== "shortened") return;
    stopped.catch(() => undefined); // the next round asks again
  }
}

/** Stops all of these; sidecars wait until the containers that they serve have ended. */
export async function stopAll(
  running: readonly { readonly state: ContainerState; readonly container: Container }[],
  deadline: StopDeadline,
  context: StopContext,
): Promise<void> {
  const ended = new Map<string, PromiseWithResolvers<void>>(
    running.map(({ container }) => [container.name, Promise.withResolvers<void>()]),
  );
  const stops = running.map(async ({ state, container }) => {
    const before = prerequisites(context.pod, container).flatMap((name) => ended.get(name)?.promise ?? []);
    try {
      const turn = before.length === 0 ? {} : { turn: Promise.all(before) };
      await stopContainer(state, container, { message: "", deadline, ...turn }, context);
    } finally {
      ended.get(container.name)?.resolve();
    }
  });
  const results = await Promise.allSettled(stops);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

/** Names of containers that must have ended before this one is told to. */
function prerequisites(pod: Pod, container: Container): readonly string[] {
  const inits = pod.spec?.initContainers ?? [];
  const index = inits.findIndex((it) => it.name === container.name);
  if (index < 0 || !isRestartableInit(container)) return [];
  const later = inits.slice(index + 1).find(isRestartableInit);
  const mains = (pod.spec?.containers ?? []).map((it) => it.name);
  return later === undefined ? mains : [...mains, later.name];
}

async function preStop(
  state: ContainerState,
  container: Container,
  { parts, pod, target }: StopContext,
  signal: AbortSignal,
): Promise<void> {
  const handler = container.lifecycle?.preStop;
  if (!handler) return;
  const { clock, events, logger } = parts;
  const failure = await runHook(handler, { pod, container, target: target(state, container), clock, events }, signal);
  if (failure === undefined) return;
  logger.warn("PreStop hook failed", { container: container.name, failure });
  // Without the message: it may hold secrets of the server that was asked.
  events.pod(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", containerFieldPath(pod, container.name));
}

/** Waits for the work, but no longer than the grace lasts; never rejects. */
export async function withinGrace(
  deadline: StopDeadline,
  { clock }: EngineParts,
  work: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const over = new AbortController();
  const done = work(over.signal).then(
    () => "done" as const,
    () => "done" as const,
  );
  for (;;) {
    const leftMs = deadline.remaining(clock.now()) * 1000;
    if (leftMs <= 0) break;
    const { promise, resolve } = Promise.withResolvers<"waited">();
    const timer = clock.setTimer(leftMs, () => resolve("waited"));
    const hurried = deadline.signal;
    const onHurry = () => resolve("waited");
    hurried.addEventListener("abort", onHurry, { once: true });
    const first = await Promise.race([done, promise]);
    timer.clear();
    hurried.removeEventListener("abort", onHurry);
    if (first === "done") return;
  }
  over.abort(new Error("the grace period is over"));
}

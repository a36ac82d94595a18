/**
 * postStart and preStop: a command inside, an HTTP request, or a pause. As pkg/kubelet/lifecycle/handlers.go, v1.36.
 */
import type { Container, LifecycleHandler, Pod } from "#api/generated/types/core-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import { formatPod, refOf } from "#kubelet/pod-object.ts";
import { describe, httpGet } from "#kubelet/probes/http-get.ts";
import type { ProbeTarget } from "#kubelet/probes/probe-target.ts";

/** Longest that an HTTP hook may take. */
const httpTimeoutMs = 30_000;
/** A command has as long as the hook's caller gives it. */
const noTimeoutMs = 2 ** 31 - 1;

/** What a hook works on. */
export type HookSubject = {
  readonly pod: Pod;
  readonly container: Container;
  readonly target: ProbeTarget;
  readonly clock: Clock;
  readonly events: KubeletEvents;
};

/** Runs the hook; gives what went wrong in upstream's words, or undefined. Rejects only with the signal's reason. */
export async function runHook(
  handler: LifecycleHandler,
  subject: HookSubject,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { pod, container } = subject;
  const where = `for Container ${JSON.stringify(container.name)} in Pod ${JSON.stringify(formatPod(refOf(pod)))}`;
  try {
    if (handler.exec) return await runExec(handler.exec.command ?? [], subject, where, signal);
    if (handler.httpGet) {
      await runHttp(handler.httpGet, subject, signal);
      return undefined;
    }
    if (handler.sleep) {
      await subject.clock.sleep(handler.sleep.seconds * 1000, signal);
      return undefined;
    }
    return `Cannot run handler: invalid handler: ${JSON.stringify(handler)}`;
  } catch (error) {
    signal.throwIfAborted();
    if (handler.httpGet)
      return `HTTP lifecycle hook (${handler.httpGet.path ?? ""}) ${where} failed - error: ${describe(error)}`;
    return `Exec lifecycle hook (${show(handler.exec?.command)}) ${where} failed - error: ${describe(error)}, message: ""`;
  }
}

async function runExec(
  command: readonly string[],
  { target }: HookSubject,
  where: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { exitCode, output } = await target.exec(command, noTimeoutMs, signal);
  if (exitCode === 0) return undefined;
  const error = `command '${command.join(" ")}' exited with ${exitCode}: ${output}`;
  return `Exec lifecycle hook (${show(command)}) ${where} failed - error: ${error}, message: ${JSON.stringify(output)}`;
}

// Some servers speak HTTP where HTTPS was said: upstream then tries HTTP, and says so.
async function runHttp(
  action: NonNullable<LifecycleHandler["httpGet"]>,
  { pod, container, target, events }: HookSubject,
  signal: AbortSignal,
): Promise<void> {
  const options = { purpose: "lifecycle" as const, timeoutMs: httpTimeoutMs, signal };
  try {
    await httpGet(action, container, target.podIP(), options);
  } catch (error) {
    if (action.scheme !== "HTTPS" || !isHttpAnswer(error)) throw error;
    const httpHeaders = (action.httpHeaders ?? []).filter((it) => it.name.toLowerCase() !== "authorization");
    await httpGet({ ...action, scheme: "HTTP", httpHeaders }, container, target.podIP(), options);
    const host = `${action.host || target.podIP()}:${action.port}`;
    const message = `request to HTTPS lifecycle hook ${host} got HTTP response, retry with HTTP succeeded`;
    events.pod(pod, "Warning", "LifecycleHTTPFallback", message);
  }
}

function isHttpAnswer(error: unknown): boolean {
  const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code ?? "";
  return code === "EPROTO" || code.startsWith("ERR_SSL");
}

function show(command: readonly string[] | undefined): string {
  return `[${(command ?? []).join(" ")}]`;
}

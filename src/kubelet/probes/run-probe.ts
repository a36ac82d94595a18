/**
 * One look at a container, of whatever kind its probe is.
 */
import type { Probe } from "#api/generated/types/core-v1.ts";
import { expand } from "#kubelet/env/expansion.ts";
import { checkGrpc } from "./grpc-check.ts";
import { describe, httpGet, outcomeOf } from "./http-get.ts";
import { resolvePort } from "./probe-target.ts";
import type { ProbeOutcome, ProbeTarget } from "./probe-target.ts";
import { checkTcp } from "./tcp-check.ts";

/** Runs the probe once. Rejects only when it could not be carried out at all; such a look does not count. */
export async function runProbe(probe: Probe, target: ProbeTarget, signal: AbortSignal): Promise<ProbeOutcome> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  const { container } = target;
  if (probe.exec) return runExec(probe.exec.command ?? [], target, timeoutMs, signal);
  if (probe.httpGet) {
    // A named port that nobody has is no failure of the container's.
    resolvePort(probe.httpGet.port, container);
    try {
      return outcomeOf(
        await httpGet(probe.httpGet, container, target.podIP(), { purpose: "probe", timeoutMs, signal }),
      );
    } catch (error) {
      return { result: "failure", output: describe(error) };
    }
  }
  if (probe.tcpSocket) {
    const port = resolvePort(probe.tcpSocket.port, container);
    return checkTcp(probe.tcpSocket.host || target.podIP(), port, timeoutMs, signal);
  }
  if (probe.grpc) return checkGrpc(target.podIP(), probe.grpc.port, probe.grpc.service ?? "", timeoutMs, signal);
  throw new Error("missing probe handler");
}

async function runExec(
  command: readonly string[],
  target: ProbeTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  // Only variables with a plain value are known here, as upstream.
  const known = new Map(
    (target.container.env ?? []).map((it) => [it.name, it.valueFrom ? undefined : (it.value ?? "")]),
  );
  const expanded = command.map((word) => expand(word, (name) => known.get(name)));
  const { exitCode, output } = await target.exec(expanded, timeoutMs, signal);
  return { result: exitCode === 0 ? "success" : "failure", output };
}

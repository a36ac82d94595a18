/**
 * Finds out that a pod's port takes connections, as soon as it does: the kubelet's word takes up to a second, and somebody waits.
 */
import { connect } from "node:net";
import type { Clock } from "#component-base/clock.ts";

const firstWaitMs = 2;
const mostWaitMs = 50;
const connectTimeoutMs = 1000;

/** Resolves once a connection came about; rejects when the signal aborts. */
export async function probeUntilOpen(
  target: { readonly address: string; readonly port: number },
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const { clock, signal } = options;
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, mostWaitMs)) {
    signal.throwIfAborted();
    if (await isOpen(target)) return;
    await clock.sleep(waitMs, signal);
  }
}

function isOpen({ address, port }: { readonly address: string; readonly port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const end = (isGood: boolean) => {
      socket.destroy();
      resolve(isGood);
    };
    socket.setTimeout(connectTimeoutMs, () => end(false));
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}

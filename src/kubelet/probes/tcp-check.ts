/**
 * Whether something listens on a TCP port: the connection is closed as soon as it stands. As pkg/probe/tcp.
 */
import { connect } from "node:net";
import { describe } from "./http-get.ts";
import type { ProbeOutcome } from "./probe-target.ts";

/** Tries to connect. Never rejects. */
export function checkTcp(host: string, port: number, timeoutMs: number, signal: AbortSignal): Promise<ProbeOutcome> {
  const { promise, resolve } = Promise.withResolvers<ProbeOutcome>();
  const socket = connect({ host, port, signal });
  const timer = setTimeout(
    () => finish({ result: "failure", output: `dial tcp ${host}:${port}: i/o timeout` }),
    timeoutMs,
  );
  const finish = (outcome: ProbeOutcome): void => {
    clearTimeout(timer);
    socket.destroy();
    resolve(outcome);
  };
  socket.once("connect", () => finish({ result: "success", output: "" }));
  socket.once("error", (error) => finish({ result: "failure", output: describe(error) }));
  return promise;
}

/**
 * The program of one of the engine's threads: an engine that does what the main thread says.
 */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "#component-base/clock.ts";
import { ProxyEngine } from "#proxy/engine.ts";
import { JsonAccessLog } from "#proxy/observe/access-log.ts";
import type { FromThread, ThreadAnswer, ThreadData, ToThread } from "./messages.ts";
import { RemoteHolds } from "./remote-holds.ts";

const { holds, holdLimits, accessLogFileDescriptor, drainMs } = workerData as ThreadData;
const say = (message: FromThread): void => parentPort?.postMessage(message);
const remoteHolds = new RemoteHolds(say);
const accessLog =
  accessLogFileDescriptor === undefined ? undefined : new JsonAccessLog(accessLogFileDescriptor, systemClock);
const engine = new ProxyEngine({
  clock: systemClock,
  holds: remoteHolds.all(holds),
  holdLimits,
  drainMs,
  isShared: true,
  ...(accessLog === undefined ? {} : { accessLog }),
});

async function answerTo(message: Exclude<ToThread, { kind: "verdict" }>): Promise<ThreadAnswer> {
  switch (message.kind) {
    case "apply": {
      const problems = await engine.apply(message.changes);
      const ports = message.changes.flatMap((change) =>
        "set" in change && change.set.kind === "listener"
          ? [[change.set.config.name, engine.portOf(change.set.config.name)] as const]
          : [],
      );
      return { problems, ports: Object.fromEntries(ports) };
    }
    case "metrics":
      return { metrics: engine.metrics() };
    case "loads":
      return { loads: engine.takeLoads() };
    default:
      await engine.stop(message.graceMs);
      accessLog?.flush();
      return {};
  }
}

parentPort?.on("message", (message: ToThread) => {
  if (message.kind === "verdict") return remoteHolds.onVerdict(message.id, message.verdict);
  // An engine that cannot answer is broken: the thread ends, and the main thread starts another one.
  void answerTo(message).then((answer) => say({ kind: "answer", id: message.id, answer }));
});

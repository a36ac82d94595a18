/**
 * Profiles a process phase by phase when its parent asks: `{ profile: "start" }`, `{ profile: FILE }` stops and writes.
 */
import { writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";

/** Listens to the parent. */
export function answerProfiler(): void {
  const session = new Session();
  const handle = async (profile: string): Promise<void> => {
    if (profile === "start") {
      session.connect();
      await session.post("Profiler.enable");
      await session.post("Profiler.setSamplingInterval", { interval: 500 });
      await session.post("Profiler.start");
    } else if (profile === "gc") {
      const { setFlagsFromString } = await import("node:v8");
      setFlagsFromString("--expose-gc");
      const { runInNewContext } = await import("node:vm");
      const t = performance.now();
      (runInNewContext("gc") as (o?: object) => void)(
        process.env["LAST"] ? { type: "major", execution: "sync", flavor: "last-resort" } : undefined,
      );
      console.log("gc ms", (performance.now() - t).toFixed(0));
    } else if (profile === "memory") {
      process.send?.({ memory: process.memoryUsage() });
      return;
    } else if (profile.endsWith(".heapsnapshot")) {
      const { writeHeapSnapshot } = await import("node:v8");
      writeHeapSnapshot(profile);
    } else {
      const { profile: found } = await session.post("Profiler.stop");
      writeFileSync(profile, JSON.stringify(found));
      session.disconnect();
    }
    process.send?.({ profiled: profile });
  };
  process.on("message", (message: { readonly profile?: string }) => {
    if (message.profile !== undefined) void handle(message.profile);
  });
}

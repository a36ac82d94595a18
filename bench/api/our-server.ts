/**
 * Our API server alone, on the durable store, in a process of its own; bench/api.ts bundles it as the product is bundled. Sends where it listens, ends with its parent.
 */
import { systemClock as clock } from "#component-base/clock.ts";
import { IdleMemory } from "#component-base/idle-memory.ts";
import { startApiServer } from "../support/api-server.ts";
import { answerProfiler } from "./profiler.ts";

const access = await startApiServer(process.argv[2] ?? "");
process.send?.(access);
answerProfiler();
await new IdleMemory(clock).start(new AbortController().signal);
process.on("disconnect", () => process.exit(0));

/**
 * The program that builds one function: `node function-build.ts`, with the job as JSON on standard input. It tells lines and the outcome on standard output, and ends. A process of its own, because
 * sources come from strangers: it has bounds on time, memory and output (functions/build/build-process.ts), and what reads a source has no rights on this machine.
 */
import { writeSync } from "node:fs";
import { text } from "node:stream/consumers";
import { systemClock } from "#component-base/clock.ts";
import { buildFunction } from "#functions/build/build-function.ts";
import type { BuildJob, BuildMessage } from "#functions/build/job.ts";
import { loadLibc } from "#linux/libc.ts";

// A lock that another build has is waited for by the clock, whose timers keep no process alive.
setInterval(() => {}, 60_000);
const job = JSON.parse(await text(process.stdin)) as BuildJob;
// Written at once: the process may be killed at any time.
const tell = (message: BuildMessage) => void writeSync(1, `${JSON.stringify(message)}\n`);
tell(await buildFunction(job, { clock: systemClock, specialFiles: await loadLibc(), tell }));
process.exit(0);

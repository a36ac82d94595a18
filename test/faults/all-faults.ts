/**
 * Every fault there is, in the order in which they run.
 */
import type { Fault } from "./fault.ts";
import { phaseDeaths } from "./phases.ts";
import { bothDeaths, controlPlaneDeath, nodeDeath } from "./process-deaths.ts";

export const allFaults: readonly Fault[] = [controlPlaneDeath, nodeDeath, bothDeaths, phaseDeaths];

/**
 * Every fault there is, in the order in which they run.
 */
import type { Fault } from "./fault.ts";
import { durability } from "./durability.ts";
import { eventDeaths } from "./events.ts";
import { absentSubscriber } from "./events-away.ts";
import { eventsOnFullDisk } from "./events-full-disk.ts";
import { fullDisk } from "./full-disk.ts";
import { hangs } from "./hangs.ts";
import { lastKnownNames } from "./last-known-names.ts";
import { monitorDeaths, runtimeDeaths } from "./monitor-deaths.ts";
import { helperDeaths } from "./helper-deaths.ts";
import { phaseDeaths } from "./phases.ts";
import { bothDeaths, controlPlaneDeath, nodeDeath } from "./process-deaths.ts";
import { powerCuts } from "./power-cuts.ts";
import { rollingKills } from "./rolling.ts";
import { storeDamage } from "./store-damage.ts";

export const allFaults: readonly Fault[] = [
  controlPlaneDeath,
  nodeDeath,
  bothDeaths,
  lastKnownNames,
  hangs,
  phaseDeaths,
  helperDeaths,
  monitorDeaths,
  runtimeDeaths,
  rollingKills,
  durability,
  eventDeaths,
  absentSubscriber,
  eventsOnFullDisk,
  fullDisk,
  storeDamage,
  powerCuts,
];

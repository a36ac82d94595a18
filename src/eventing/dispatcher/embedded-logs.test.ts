import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { openEmbeddedLogs } from "./embedded-logs.ts";
import { eventLogSuite } from "./event-log-suite.ts";
import { newFolder } from "./testing/house.ts";

eventLogSuite("embedded logs", async (t) => {
  const folder = newFolder(t);
  return { open: () => openEmbeddedLogs({ folder, clock: systemClock, logger: silentLogger }) };
});

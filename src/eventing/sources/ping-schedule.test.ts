import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePingSchedule, ScheduleError } from "./ping-schedule.ts";

const start = Date.UTC(2026, 0, 1, 10, 0, 30);

function next(schedule: string, timezone?: string): string {
  const { nextMs } = parsePingSchedule(schedule, timezone);
  return new Date(nextMs(start) ?? Number.NaN).toISOString();
}

describe("a PingSource's schedule", () => {
  it("has five fields, or six with seconds first, or a name", () => {
    assert.equal(next("*/5 * * * *", "UTC"), "2026-01-01T10:05:00.000Z");
    assert.equal(next("*/20 * * * * *", "UTC"), "2026-01-01T10:00:40.000Z");
    assert.equal(next("@daily", "UTC"), "2026-01-02T00:00:00.000Z");
  });

  it("may name its time zone in front", () => {
    assert.equal(next("CRON_TZ=Europe/Berlin 0 12 * * *"), "2026-01-01T11:00:00.000Z");
    assert.equal(next("TZ=Europe/Berlin 0 12 * * *"), "2026-01-01T11:00:00.000Z");
  });

  it("says which field is wrong", () => {
    const wrong = (schedule: string, timezone: string | undefined, field: string) =>
      assert.throws(
        () => parsePingSchedule(schedule, timezone),
        (error) => error instanceof ScheduleError && error.field === field,
      );
    wrong("* * *", undefined, "schedule");
    wrong("61 * * * *", undefined, "schedule");
    wrong("@every 1s", undefined, "schedule");
    wrong("", undefined, "schedule");
    wrong("* * * * *", "Mars/Olympus", "timezone");
  });

  it("tells the last time that came", () => {
    const { lastMs } = parsePingSchedule("* * * * *", "UTC");

    assert.equal(lastMs(start, start + 200_000), Date.UTC(2026, 0, 1, 10, 3));
    assert.equal(lastMs(start, start + 29_000), undefined);
    assert.equal(lastMs(start, start + 30_000), Date.UTC(2026, 0, 1, 10, 1));
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatMicroTime, parseMicroTime, parseTime } from "./protobuf-scalars.ts";

test("times of all years are read as the platform reads them", () => {
  const range = { min: new Date("0001-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true };
  const check = fc.property(fc.date(range), (date) => {
    const text = `${date.toISOString().slice(0, 19)}Z`;
    assert.deepEqual(parseTime(text), { seconds: Date.parse(text) / 1000, nanos: 0 });
  });

  fc.assert(check, { seed: 1 });
  assert.equal(parseTime("2000-02-29T00:00:00Z").seconds, Date.parse("2000-02-29T00:00:00Z") / 1000);
});

test("fractions and zones count", () => {
  assert.deepEqual(parseTime("2024-01-02T03:04:05.5+02:00"), {
    seconds: Date.parse("2024-01-02T01:04:05Z") / 1000,
    nanos: 500_000_000,
  });
  assert.equal(parseTime("2024-01-01T00:30:00-00:30").seconds, Date.parse("2024-01-01T01:00:00Z") / 1000);
});

test("days that no calendar has are refused with Go's words", () => {
  const cases: [string, string][] = [
    ["2023-02-29T00:00:00Z", 'parsing time "2023-02-29T00:00:00Z": day out of range'],
    ["2024-13-01T00:00:00Z", 'parsing time "2024-13-01T00:00:00Z": month out of range'],
    ["2024-01-01T24:00:00Z", 'parsing time "2024-01-01T24:00:00Z": hour out of range'],
    ["x", 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'],
  ];

  for (const [text, message] of cases) assert.throws(() => parseTime(text), { message, code: 400 });
});

test("MicroTime wants six digits and writes six", () => {
  const { seconds, nanos } = parseMicroTime("2024-01-02T03:04:05.000123Z");

  assert.equal(formatMicroTime(seconds, nanos), "2024-01-02T03:04:05.000123Z");
  assert.throws(() => parseMicroTime("2024-01-02T03:04:05.1Z"), /cannot parse ".1Z" as ".000000"/);
});

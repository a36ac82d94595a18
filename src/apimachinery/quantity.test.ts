import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  milliValue,
  parseQuantity,
  quantityOf,
  quantityValue,
  subtractQuantities,
} from "./quantity.ts";

const canonical: readonly (readonly [string, string])[] = [
  ["0", "0"],
  ["0Ki", "0"],
  ["0.0", "0"],
  ["100m", "100m"],
  ["1000m", "1"],
  ["0.5", "500m"],
  ["1.5", "1500m"],
  ["1.500", "1.500"],
  ["-1.5", "-1500m"],
  ["1024", "1024"],
  ["1024Ki", "1Mi"],
  ["1025Ki", "1025Ki"],
  ["0.5Mi", "512Ki"],
  ["1.5Gi", "1536Mi"],
  ["1Gi", "1Gi"],
  ["1000Mi", "1000Mi"],
  ["1000k", "1M"],
  ["1e3", "1e3"],
  ["1000e3", "1e6"],
  ["12E", "12E"],
  ["0.1Ki", "102400m"],
  ["0.0000000001", "1n"],
  ["1Ei", "1Ei"],
  ["10Ei", "9223372036854775807"],
  ["64", "64"],
  ["1e-3", "1e-3"],
  ["000500m", "000500m"],
];

test("quantities print in upstream's canonical form", () => {
  for (const [given, expected] of canonical) assert.equal(canonicalQuantity(given), expected, given);
});

test("what is no quantity is refused in upstream's words", () => {
  assert.throws(() => parseQuantity(""), /quantities must match the regular expression/);
  assert.throws(() => parseQuantity("1 Gi"), /quantities must match/);
  assert.throws(() => parseQuantity("1.2.3"), /quantities must match/);
  assert.throws(() => parseQuantity("1ki"), /unable to parse quantity's suffix/);
  assert.throws(() => parseQuantity("1GiB"), /quantities must match/);
  assert.throws(() => parseQuantity("1e99999999"), /unable to parse/);
});

test("values and thousandths round away from zero", () => {
  assert.equal(quantityValue("1500m"), 2);
  assert.equal(quantityValue("-1500m"), -2);
  assert.equal(quantityValue("128Mi"), 134217728);
  assert.equal(quantityValue("1G"), 1e9);
  assert.equal(milliValue("0.5"), 500);
  assert.equal(milliValue("1"), 1000);
  assert.equal(milliValue("100u"), 1);
  assert.equal(milliValue("250m"), 250);
  assert.equal(milliValue("2Ki"), 2048000);
});

test("sums and differences keep the first one's format", () => {
  const sum = addQuantities(parseQuantity("1Gi"), parseQuantity("512Mi"));
  assert.equal(formatQuantity(sum), "1536Mi");
  assert.equal(formatQuantity(addQuantities(quantityOf(0), parseQuantity("1Gi"))), "1Gi");
  assert.equal(formatQuantity(subtractQuantities(parseQuantity("1"), parseQuantity("100m"))), "900m");
  assert.equal(compareQuantities(parseQuantity("1"), parseQuantity("1000m")), 0);
  assert.equal(compareQuantities(parseQuantity("1Gi"), parseQuantity("1G")), 1);
});

test("printing and parsing again loses nothing, and quick values equal exact ones", () => {
  const suffix = fc.constantFrom("", "m", "k", "M", "G", "Ki", "Mi", "Gi", "u", "n", "e3");
  fc.assert(
    fc.property(fc.nat(), suffix, (number, unit) => {
      const parsed = parseQuantity(`${number}${unit}`);
      assert.equal(parseQuantity(formatQuantity(parsed)).nanos, parsed.nanos);
      assert.equal(quantityValue(`${number}${unit}`), quantityValue(parsed));
      assert.equal(milliValue(`${number}${unit}`), milliValue(parsed));
    }),
  );
});

test("plain quantities, which are parsed in a quicker way, are what they are with a zero in front", () => {
  for (const suffix of ["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]) {
    for (const digits of [
      "1",
      "7",
      "8",
      "10",
      "64",
      "100",
      "128",
      "500",
      "999",
      "1000",
      "1024",
      "12000",
      "123456",
      "999999",
    ]) {
      const quick = parseQuantity(digits + suffix);
      const slow = parseQuantity(`0${digits}${suffix}`);

      assert.deepEqual([quick.nanos, quick.format], [slow.nanos, slow.format]);
      assert.equal(quick.text, slow.text === undefined ? undefined : digits + suffix);
    }
  }
});

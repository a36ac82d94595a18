import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findIsoDurationMs } from "./iso-duration.ts";

describe("ISO 8601 durations", () => {
  it("are read to the millisecond", () => {
    assert.equal(findIsoDurationMs("PT0.2S"), 200);
    assert.equal(findIsoDurationMs("PT0,5S"), 500);
    assert.equal(findIsoDurationMs("PT1H2M3S"), 3_723_000);
    assert.equal(findIsoDurationMs("P1DT1S"), 86_401_000);
    assert.equal(findIsoDurationMs("P1W"), 604_800_000);
    assert.equal(findIsoDurationMs("-PT1S"), -1000);
    assert.equal(findIsoDurationMs("PT0S"), 0);
  });

  it("are told from other texts", () => {
    for (const text of ["", "P", "PT", "1s", "PT1", "P1S", "PT1S2M", "PTxS", "garbage"])
      assert.equal(findIsoDurationMs(text), undefined, text);
  });
});

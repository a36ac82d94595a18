import assert from "node:assert/strict";
import { test } from "node:test";
import { findField } from "#proxy/message/fields.ts";
import { beginTrace, readTrace, withTrace } from "./trace-context.ts";

const traceId = "80f198ee56343ba864fe8b2a57d3eff7";
const spanId = "e457b5a2e4d86bd1";

test("W3C's field is read, and what is malformed is not", () => {
  const read = (value: string) => readTrace(["traceparent", value]);

  assert.equal(read(`00-${traceId}-${spanId}-01`)?.isSampled, true);
  assert.equal(read(`01-${traceId}-${spanId}-00-more`)?.isSampled, false);
  for (const bad of [
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    "nonsense",
  ])
    assert.equal(read(bad), undefined, bad);
});

test("B3 is answered in the form in which it came", () => {
  const single = readTrace(["b3", `${traceId}-${spanId}-1`]);
  assert.ok(single !== undefined);
  assert.equal(findField(withTrace([], single), "b3"), `${traceId}-${single.spanId}-1-${spanId}`);

  const several = readTrace(["x-b3-traceid", spanId, "x-b3-spanid", spanId, "x-b3-sampled", "1"]);
  assert.ok(several !== undefined);
  const fields = withTrace(["x-b3-spanid", spanId, "a", "b"], several);
  assert.equal(findField(fields, "x-b3-traceid"), `${"0".repeat(16)}${spanId}`);
  assert.equal(findField(fields, "x-b3-parentspanid"), spanId);
  assert.equal(findField(fields, "x-b3-spanid"), several.spanId);
});

test("a trace that begins here has no parent", () => {
  const trace = beginTrace(true);

  assert.match(findField(withTrace([], trace), "traceparent") ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  assert.equal(trace.parentId, undefined);
});

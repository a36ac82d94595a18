import assert from "node:assert/strict";
import { test } from "node:test";
import { compileFilter, type FilterRule } from "./seccomp-filter.ts";

const x64 = 0xc000003e;
const read = 0;
const socket = 41;
const clone = 56;
const clone3 = 435;
const mount = 165;

const rules: readonly FilterRule[] = [
  { names: ["read", "no_such_call"], action: "SCMP_ACT_ALLOW" },
  { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 40, op: "SCMP_CMP_NE" }] },
  { names: ["personality"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 0, op: "SCMP_CMP_EQ" }] },
  { names: ["personality"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 8, op: "SCMP_CMP_EQ" }] },
  {
    names: ["clone"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value: 0x7e020000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
  },
  { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
];

test("what a rule allows is allowed, all else is refused", () => {
  assert.equal(verdict(read), "allowed");
  assert.equal(verdict(mount), "errno 1");
  assert.equal(verdict(clone3), "errno 38");
});

test("arguments decide where a rule looks at them", () => {
  assert.deepEqual([verdict(socket, 2), verdict(socket, 40)], ["allowed", "errno 1"]);
  assert.deepEqual([verdict(135, 0), verdict(135, 8), verdict(135, 4)], ["allowed", "allowed", "errno 1"]);
  assert.deepEqual([verdict(clone, 0x11), verdict(clone, 0x10000011)], ["allowed", "errno 1"]);
});

test("calls of other architectures, and of x32, are refused", () => {
  assert.equal(verdict(read, 0, 0x40000003), "errno 1");
  assert.equal(verdict(0x40000000 + read), "errno 1");
});

test("a comparison that is not known is an error, not a hole", () => {
  const args = [{ index: 0, value: 1, op: "SCMP_CMP_GT" }];

  assert.throws(() => compileFilter([{ names: ["read"], action: "SCMP_ACT_ALLOW", args }], "x64"), /not known/);
});

/** Runs the program as the kernel would. */
function verdict(call: number, argument = 0, architecture = x64): string {
  const program = compileFilter(rules, "x64");
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call, 0);
  data.writeUInt32LE(architecture, 4);
  data.writeUInt32LE(argument, 16);
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const code = program.readUInt16LE(at * 8);
    const operand = program.readUInt32LE(at * 8 + 4);
    if (code === 0x06)
      return operand === 0x7fff0000
        ? "allowed"
        : `errno ${(operand & 0xffff0000) === 0x00050000 ? operand & 0xffff : "?"}`;
    if (code === 0x20) accumulator = data.readUInt32LE(operand);
    else {
      const holds =
        code === 0x15
          ? accumulator === operand
          : code === 0x35
            ? accumulator >= operand
            : (accumulator & operand) !== 0;
      at += program.readUInt8(at * 8 + (holds ? 2 : 3));
    }
  }
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtobufWriter } from "./protobuf-writer.ts";

test("values of every kind may be larger than what room was left", () => {
  const large = Buffer.alloc(10_000, 7);
  const writes: readonly ((writer: ProtobufWriter) => void)[] = [
    (writer) => writer.bytes(large),
    (writer) => writer.raw(large),
    (writer) => writer.string(large.toString("latin1")),
    (writer) => writer.double(0.5),
    (writer) => writer.int(-1),
    (writer) => writer.byte(1),
  ];

  for (const write of writes) {
    const small = new ProtobufWriter(1);
    const roomy = new ProtobufWriter(1 << 16);
    write(small);
    write(roomy);
    assert.deepEqual(small.take(), roomy.take());
  }
});

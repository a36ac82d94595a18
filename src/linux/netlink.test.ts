import assert from "node:assert/strict";
import { test } from "node:test";
import { addAddress, addRoute, addVeth, ipv4Bytes } from "./ip.ts";
import type { Libc } from "./libc.ts";
import { attribute, exchange, findAttribute } from "./netlink.ts";

/** Answers each message with this error code (0: acknowledged), all in one packet. */
function kernel(codes: readonly number[]): { readonly libc: Libc; readonly sent: Buffer[] } {
  const sent: Buffer[] = [];
  const answers = codes.map((code, index) => {
    const bytes = Buffer.alloc(36);
    bytes.writeUInt32LE(36, 0);
    bytes.writeUInt16LE(2, 4);
    bytes.writeUInt32LE(index + 1, 8);
    bytes.writeInt32LE(code, 16);
    return bytes;
  });
  const libc = {
    send: (_: number, data: Uint8Array) => void sent.push(Buffer.from(data)),
    receive: (_: number, into: Uint8Array) => Buffer.concat(answers).copy(into),
  } as unknown as Libc;
  return { libc, sent };
}

test("attributes are padded to four bytes and found again", () => {
  const payload = Buffer.concat([Buffer.alloc(16), attribute(3, "eth0"), attribute(4, 1400)]);

  assert.equal(payload.length, 16 + 12 + 8);
  assert.equal(findAttribute(payload, 16, 3)?.toString(), "eth0\0");
  assert.equal(findAttribute(payload, 16, 4)?.readUInt32LE(0), 1400);
  assert.equal(findAttribute(payload, 16, 9), undefined);
});

test("messages travel together and every one is acknowledged", () => {
  const { libc, sent } = kernel([0, 0]);

  exchange(libc, 3, [
    addAddress(5, "10.0.0.1"),
    addRoute({ destination: "default", device: 5, gateway: "169.254.1.1" }),
  ]);

  assert.equal(sent.length, 1);
});

test("the first failure is thrown with what was being done, and what may fail does not count", () => {
  assert.throws(
    () => exchange(kernel([-19]).libc, 3, [addVeth({ name: "v", peerName: "p", peerNamespace: 7, mtu: 1500 })]),
    {
      code: "ENODEV",
      message: "netlink add veth v: ENODEV",
    },
  );
  exchange(kernel([-17]).libc, 3, [addAddress(5, "10.0.0.1")]);
});

test("what is no IPv4 address is refused", () => {
  assert.deepEqual([...ipv4Bytes("10.0.255.1")], [10, 0, 255, 1]);
  for (const text of ["", "1.2.3", "1.2.3.256", "a.b.c.d", "1.2.3.4.5"])
    assert.throws(() => ipv4Bytes(text), /not an IPv4 address/);
});

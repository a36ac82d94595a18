import assert from "node:assert/strict";
import { test } from "node:test";
import { missingTools } from "./doctor.ts";

const without = (...absent: string[]) =>
  missingTools((command) => (absent.includes(command) ? undefined : `/usr/bin/${command}`));

test("what is missing and how to get it is one sentence", () => {
  assert.equal(without(), undefined);
  assert.equal(without("crun", "socat", "catatonit", "conntrack"), undefined);
  assert.equal(without("conmon"), "conmon is missing on this machine: install with 'apt-get install -y conmon'");
  assert.equal(
    without("nft", "nsenter", "unshare"),
    "nft, nsenter, unshare are missing on this machine: install with 'apt-get install -y nftables util-linux'",
  );
  assert.equal(
    without("crun", "runc"),
    "crun or runc is missing on this machine: install with 'apt-get install -y crun'",
  );
});

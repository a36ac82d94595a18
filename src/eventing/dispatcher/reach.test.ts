import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { forbidsOwnMachine, type Lookup } from "./reach.ts";
import { Sender } from "./sender.ts";
import { openSubscriber } from "./testing/house.ts";

const event: CloudEvent = {
  attributes: new Map([
    ["specversion", "1.0"],
    ["type", "t"],
    ["source", "/s"],
    ["id", "1"],
  ]),
  data: Buffer.from("x"),
} as CloudEvent;

describe("a sender that must leave the machine itself alone", () => {
  it("refuses loopback and link-local addresses in whatever notation, and no others", () => {
    for (const own of ["127.0.0.1", "127.0.3.1", "0.0.0.0", "169.254.169.254", "::1", "::", "fe80::1"])
      assert.equal(forbidsOwnMachine(own), true, own);
    assert.equal(forbidsOwnMachine("::ffff:127.0.0.1"), true);
    for (const other of ["10.43.0.7", "192.168.1.4", "1.1.1.1", "2606:4700::1111"])
      assert.equal(forbidsOwnMachine(other), false, other);
  });

  it("gives up at once, and says which address it was, by number or by name", async (t) => {
    const subscriber = await openSubscriber(t);
    const { port } = new URL(subscriber.url);
    const lookup: Lookup = (_, { all }, callback) =>
      all ? callback(null, [{ address: "127.0.0.1", family: 4 }]) : callback(null, "127.0.0.1", 4);
    const sender = new Sender({ clock: systemClock, maxReplyBytes: 100, lookup, forbids: forbidsOwnMachine });
    t.after(() => sender.close());
    const hosts = ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:7f00:1]", "innocent.example"];
    for (const host of hosts) {
      const url = `http://${host}:${port}/site.git/git-receive-pack`;

      const outcome = await sender.send(event, { url }, { timeoutMs: 1000, signal: new AbortController().signal });

      assert.equal(outcome.kind, "refused", host);
      if (outcome.kind !== "refused") return;
      assert.equal(outcome.isRetryable, false, host);
      assert.match(outcome.why, /an address of the machine itself, where no subscriber may be/, host);
    }
    assert.equal(subscriber.got.length, 0);
  });

  it("sends over HTTP only, and says so at once", async (t) => {
    const sender = new Sender({ clock: systemClock, maxReplyBytes: 100 });
    t.after(() => sender.close());
    const signal = new AbortController().signal;

    const outcome = await sender.send(event, { url: "ftp://files.example/x" }, { timeoutMs: 1000, signal });

    assert.equal(outcome.kind === "refused" && outcome.isRetryable, false);
    assert.equal(
      outcome.kind === "refused" && outcome.why,
      "dispatch error: events are sent over HTTP, not to ftp://files.example/x",
    );
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { ExternalNames, isElsewhere } from "./external-names.ts";

const { signal } = new AbortController();

test("names are asked again when their answer is out of date, and what was known stays when nobody answers", async () => {
  const clock = new FakeClock();
  const answers: (string | Error)[] = ["10.0.0.1", new Error("SERVFAIL"), "10.0.0.2"];
  const asked: string[] = [];
  const names = new ExternalNames({
    async resolve(name) {
      asked.push(name);
      const answer = answers.shift() ?? "10.0.0.9";
      if (answer instanceof Error) throw answer;
      return { addresses: [answer], ttlSeconds: 30 };
    },
    clock,
  });
  const told: string[] = [];
  names.onChange((name) => told.push(name));
  names.want(new Set(["a.example"]));
  assert.equal(names.find("a.example"), undefined);
  await names.settled(signal);
  assert.deepEqual(names.find("a.example"), ["10.0.0.1"]);
  await clock.advance(30_000);
  assert.deepEqual([names.find("a.example"), told.length], [["10.0.0.1"], 1]);
  await clock.advance(5000);

  assert.deepEqual([names.find("a.example"), told], [["10.0.0.2"], ["a.example", "a.example"]]);
  names.want(new Set());
  await clock.advance(300_000);
  assert.deepEqual([names.find("a.example"), asked.length], [undefined, 3]);
});

test("an address needs no resolver, and nobody is led to the machine itself", async () => {
  const resolve = () => Promise.resolve({ addresses: ["127.0.0.1", "169.254.169.254", "10.1.1.1"], ttlSeconds: 60 });
  const names = new ExternalNames({ resolve, clock: new FakeClock() });
  names.want(new Set(["192.0.2.7", "127.0.0.1", "rebind.example"]));
  await names.settled(signal);

  assert.deepEqual(
    ["192.0.2.7", "127.0.0.1", "rebind.example"].map((name) => names.find(name)),
    [["192.0.2.7"], [], ["10.1.1.1"]],
  );
  assert.deepEqual(["0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "8.8.8.8"].map(isElsewhere), [
    false,
    false,
    false,
    false,
    true,
  ]);
});

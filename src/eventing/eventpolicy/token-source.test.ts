import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "#client/client.ts";
import { FakeClock, systemClock } from "#component-base/clock.ts";
import { Sender } from "#eventing/dispatcher/sender.ts";
import { openSubscriber } from "#eventing/dispatcher/testing/house.ts";
import { createTokenSource } from "./token-source.ts";

const identity = { namespace: "shop", name: "orders-oidc" };

/** Gives tokens that are numbered, for an hour. */
function issuer(clock: FakeClock) {
  const asked: unknown[] = [];
  const create = async (ref: unknown, { spec }: { readonly spec: unknown }) => {
    asked.push([ref, spec]);
    const expirationTimestamp = new Date(clock.now() + 3_600_000).toISOString();
    return { status: { token: `token-${asked.length}`, expirationTimestamp } };
  };
  return { asked, client: { create } as unknown as Client };
}

test("a token is asked for once, for its audience, and anew before its time is over", async () => {
  const clock = new FakeClock();
  const { asked, client } = issuer(clock);
  const tokens = createTokenSource(client, clock);

  const all = await Promise.all([tokens.get(identity, "a"), tokens.get(identity, "a"), tokens.get(identity, "b")]);
  assert.deepEqual(all, ["token-1", "token-1", "token-2"]);
  assert.deepEqual(asked[0], [
    { resource: { group: "", version: "v1", resource: "serviceaccounts" }, ...identity, subresource: "token" },
    { audiences: ["a"], expirationSeconds: 3600 },
  ]);
  await clock.advance(54 * 60_000);
  assert.equal(await tokens.get(identity, "a"), "token-1");
  await clock.advance(2 * 60_000);
  assert.equal(await tokens.get(identity, "a"), "token-3");
});

test("a token that was refused is replaced, unless it is as good as new", async () => {
  const clock = new FakeClock();
  const tokens = createTokenSource(issuer(clock).client, clock);
  await tokens.get(identity, "a");

  assert.equal(tokens.forget(identity, "a"), false);
  await clock.advance(10_000);
  assert.equal(tokens.forget(identity, "a"), true);
  assert.equal(await tokens.get(identity, "a"), "token-2");
});

test("tokens go to those who ask for them; a refusal of an old one is tried again, and nothing is sent without one", async (t) => {
  const clock = new FakeClock();
  const tokens = createTokenSource(issuer(clock).client, clock);
  const subscriber = await openSubscriber(t, ({ headers }) =>
    headers.authorization === "Bearer token-1" || headers.authorization === undefined ? 401 : 202,
  );
  const sender = new Sender({ clock: systemClock, maxReplyBytes: 1000, tokens });
  t.after(() => sender.close());
  const event = {
    attributes: new Map([
      ["specversion", "1.0"],
      ["id", "1"],
      ["source", "/s"],
      ["type", "t"],
    ]),
  };
  const options = { timeoutMs: 5000, signal: new AbortController().signal };
  const asked = { url: subscriber.url, audience: "a", identity };

  const fresh = await sender.send(event, asked, options);
  assert.deepEqual([fresh.kind, fresh.kind === "refused" && fresh.isRetryable], ["refused", false]);
  await clock.advance(60_000);
  const old = await sender.send(event, asked, options);
  assert.deepEqual([old.kind, old.kind === "refused" && old.isRetryable], ["refused", true]);
  assert.equal((await sender.send(event, asked, options)).kind, "taken");
  await sender.send(event, { url: subscriber.url, identity }, options);
  assert.equal(subscriber.got.at(-1)?.headers.authorization, undefined);

  const noTokens = { get: async () => await Promise.reject(new Error("not found")), forget: () => false };
  const mute = new Sender({ clock: systemClock, maxReplyBytes: 1000, tokens: noTokens });
  t.after(() => mute.close());
  const outcome = await mute.send(event, asked, options);
  assert(outcome.kind === "refused" && outcome.isRetryable && !outcome.isReached, JSON.stringify(outcome));
  assert.match(outcome.why, /no token of service account shop\/orders-oidc: not found/);
  assert.equal(subscriber.got.length, 4);
});

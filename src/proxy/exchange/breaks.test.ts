import assert from "node:assert/strict";
import { test } from "node:test";
import { type Breakable, Breaks } from "./breaks.ts";
import type { UpstreamFailure } from "./streams.ts";

const failure = (kind: UpstreamFailure["kind"], wasReused = false): UpstreamFailure => ({
  kind,
  message: "",
  wasReused,
});
const instance = (name: string, isAlone = true): Breakable => ({ name, breaksAlone: () => isAlone });

test("a request that was alone at two instances that broke is not sent again", () => {
  const breaks = new Breaks();
  breaks.onFailure(failure("reset"), instance("a"), 0);
  assert.equal(breaks.areEnough, false);
  breaks.onFailure(failure("reset"), instance("b", false), 0);
  breaks.onFailure(failure("connect"), instance("b"), 0);
  assert.equal(breaks.areEnough, false);
  breaks.onFailure(failure("reset"), instance("c"), 0);
  assert.equal(breaks.areEnough, true);
});

test("a used connection that breaks counts once nobody listens there any more", () => {
  const breaks = new Breaks();
  breaks.onFailure(failure("reset", true), instance("a"), 0);
  breaks.onFailure(failure("connect"), instance("b"), 0);
  breaks.onFailure(failure("connect"), instance("a"), 0);
  breaks.onFailure(failure("reset"), instance("c"), 0);
  assert.equal(breaks.areEnough, false);

  breaks.onFailure(failure("reset", true), instance("d"), 0);
  assert.equal(breaks.areEnough, false);
  breaks.onFailure(failure("connect"), instance("d"), 0);
  assert.equal(breaks.areEnough, true);
});

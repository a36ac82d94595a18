/**
 * What every store promises, as tests. An implementation's own test is a call of this with a factory.
 */
import { describe } from "node:test";
import { historyTests } from "#store/suite/history-tests.ts";
import { immediateTests } from "#store/suite/immediate-tests.ts";
import type { StoreFactory } from "#store/suite/support.ts";
import { readTests } from "#store/suite/read-tests.ts";
import { watchTests } from "#store/suite/watch-tests.ts";
import { writeTests } from "#store/suite/write-tests.ts";

/** Declares all tests of the contract in store.ts for the store that `factory` makes. */
export function storeSuite(name: string, factory: StoreFactory): void {
  describe(`${name} keeps the store's contract`, () => {
    writeTests(factory);
    readTests(factory);
    historyTests(factory);
    watchTests(factory);
  });
}

/** Declares the tests of what an `ImmediateStore` promises beyond it. */
export function immediateStoreSuite(name: string, factory: StoreFactory): void {
  describe(`${name} can be read without waiting`, () => immediateTests(factory));
}

/**
 * The promises of the container runtime contract, as tests that every implementation runs. What the containers do is said in shell; an implementation without a shell
 * brings programs of its own that do the same. The tests stand by subject in container-runtime-suite/.
 */
import { after, before, describe } from "node:test";
import { containerTests } from "./container-runtime-suite/containers.ts";
import { processTests } from "./container-runtime-suite/given-to-processes.ts";
import { otherProcessTests } from "./container-runtime-suite/other-processes.ts";
import { restartTests } from "./container-runtime-suite/restart.ts";
import { sandboxTests } from "./container-runtime-suite/sandboxes.ts";
import { type RuntimeUnderTest, SuiteHouse } from "./container-runtime-suite/suite-house.ts";

/** Defines the tests. */
export function containerRuntimeSuite(name: string, make: () => Promise<RuntimeUnderTest>): void {
  describe(name, () => {
    const house = new SuiteHouse(make);
    before(() => house.open());
    after(() => house.close());

    sandboxTests(house);
    containerTests(house);
    processTests(house);
    otherProcessTests(house);
    restartTests(house);
  });
}

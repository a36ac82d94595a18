/**
 * After a restart of the agent: containers run on, and are known.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { never, sandboxSpec, type SuiteHouse } from "./suite-house.ts";

export function restartTests(house: SuiteHouse): void {
  const { sandbox, run, ended, exec } = house;

  describe("after a restart of the agent", () => {
    it("what runs runs on and is known, what ended meanwhile is told", async () => {
      const pod = await sandbox();
      const { ips } = await house.given.runtime.ensureSandbox(sandboxSpec(pod), never);
      const staying = await run(pod, "sleep 1000", { name: "staying" });
      const leaving = await run(pod, "sleep 1; exit 8", { name: "leaving" });

      house.given.runtime = await house.given.restart();
      house.given.runtime.onChange((state) => house.changes.push(state));

      assert.deepEqual((await house.given.runtime.ensureSandbox(sandboxSpec(pod), never)).ips, ips);
      const known = (await house.given.runtime.listContainers()).find((state) => state.id === staying.id);
      assert.equal(known?.phase, "running");
      assert.deepEqual(known?.spec, staying.spec);
      assert.equal((await ended(leaving.id)).exitCode, 8);
      assert.equal((await exec(staying.id, "echo yes")).out, "yes\n");
      await house.given.runtime.stopContainer(staying.id, 0);
      assert.equal((await ended(staying.id)).exitCode, 137);
      await house.given.runtime.removeSandbox(pod);
    });
  });
}

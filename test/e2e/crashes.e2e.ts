/**
 * The short form of every fault of test/faults, on one cluster: processes are killed, and nothing is lost, doubled or left behind. `npm run faults` has the long form.
 */
import { after, before, describe, test } from "node:test";
import { allFaults } from "../faults/all-faults.ts";
import { reasonToSkip } from "../faults/fault.ts";
import { type FaultCluster, startFaultCluster } from "../faults/fault-cluster.ts";
import { seeded } from "../faults/random.ts";
import { canRunContainers } from "../support/cluster.ts";

const seed = Math.floor(Math.random() * 2 ** 31);

describe("crashes", { skip: canRunContainers() ? false : "needs root, conmon and crun or runc" }, () => {
  let shared: FaultCluster;
  before(async () => {
    shared = await startFaultCluster("crashes");
  });
  after(async () => await shared.remove());

  async function startAnew(): Promise<void> {
    await shared.remove();
    shared = await startFaultCluster("crashes");
  }

  for (const fault of allFaults) {
    test(fault.claim, { skip: reasonToSkip(fault) ?? false }, async (t) => {
      t.diagnostic(`seed ${seed}`);
      try {
        await fault.run({ ...shared, random: seeded(seed), size: "short", log: (line) => t.diagnostic(line) });
      } catch (error) {
        // The next one would fail for what this one has left behind.
        await startAnew().catch((failure: unknown) => t.diagnostic(`no other cluster: ${String(failure)}`));
        throw error;
      }
    });
  }
});

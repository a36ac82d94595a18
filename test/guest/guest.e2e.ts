/**
 * What only another machine shows: control groups v2, systemd and a reboot, in a Debian guest under QEMU. Minutes long, as the guest's processor is emulated; every
 * wait below is for a condition.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ensureBaseDisk } from "./base-disk.ts";
import { GuestMachine, hasQemu } from "./machine.ts";
import { makeNodelessDisk } from "./nodeless-disk.ts";
import { eventually, repository, run } from "../support/cluster.ts";

const skip = hasQemu()
  ? false
  : "needs root, qemu-system-x86_64, debootstrap and mkfs.ext4: npm run guest installs them";
const waitMs = 600_000;

const limited = `
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: eat, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "sleep 1; tail /dev/zero"], resources: {limits: {memory: 32Mi}}}
  - {name: spin, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "while :; do :; done"], resources: {limits: {cpu: 100m, memory: 16Mi}}}
`;

describe("a machine with control groups v2 and systemd", { skip }, () => {
  let guest: GuestMachine;
  const folder = mkdtempSync(join(tmpdir(), "nodeless-guest-"));
  const output = async (script: string) => (await guest.run(script)).stdout.trim();
  const page = (path: string, method = "GET") =>
    output(
      `node -e 'fetch("http://127.0.0.1:30080${path}",{method:"${method}"}).then((a)=>a.text()).then(console.log)'`,
    );
  const shopIsReady = () =>
    eventually(
      "all pods of the shop Ready",
      async () => {
        const states = await output(
          `kubectl -n shop get pods -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}'`,
        );
        return states.split(" ").length === 6 && !states.includes("False");
      },
      waitMs,
    );

  before(async () => {
    const environment = {
      ...process.env,
      NODELESS_DATA_ROOT: join(folder, "data"),
      NODELESS_RUN_ROOT: join(folder, "run"),
    };
    mkdirSync(join(folder, "data"));
    await run(join(repository, "examples/images/build"), [], { environment, timeoutMs: 600_000 });
    guest = await GuestMachine.boot(ensureBaseDisk(), makeNodelessDisk(folder), join(folder, "console.log"));
    await guest.run("ln -s /opt/nodeless/node /usr/local/bin/node");
  });

  after(async () => {
    await guest?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("nodeless comes up with its unit, on crun and control groups v2", async () => {
    assert.match(await output("nodeless up --boot"), /nodeless-default\.service/);
    assert.equal(await output("stat -f -c %T /sys/fs/cgroup"), "cgroup2fs");
    assert.match(await output("kubectl get nodes -o wide"), /nodeless\s+Ready\s.*crun:\/\//);
  });

  test("the shop comes up and answers", async () => {
    for (const image of ["busybox", "shop-api-1", "shop-postgres-15", "shop-redis-7", "shop-web-1"])
      await guest.run(`nodeless image load /opt/nodeless/images/${image}*`);
    await guest.run("kubectl apply -f /opt/nodeless/examples/shop");
    await shopIsReady();

    assert.match(await page("/"), /<title>Shop<\/title>/);
    await page("/api/orders?product=1", "POST");
  });

  test("containers and what watches them live in groups of the cluster, not of the session that started it", async () => {
    const groups = await output(
      "cat /proc/$(pgrep -o conmon)/cgroup; cat /proc/$(pgrep -o -f '^nodeless node')/cgroup",
    );

    assert.match(groups, /^0::\/nodeless_1\/_processes\n0::\/nodeless_1\/_processes$/);
  });

  test("a container is held to its CPU limit, and killed when it takes more memory than its own", async () => {
    await guest.run(`kubectl apply -f - <<'Y'\n${limited}\nY`);
    const reason = "{.status.containerStatuses[?(@.name=='eat')].lastState.terminated.reason}";
    await eventually(
      "OOMKilled",
      async () => (await output(`kubectl get pod limited -o jsonpath="${reason}"`)) === "OOMKilled",
      waitMs,
    );
    const id = await output(
      `kubectl get pod limited -o jsonpath="{.status.containerStatuses[?(@.name=='spin')].containerID}" | cut -d/ -f3`,
    );
    const group = await output(`find /sys/fs/cgroup/nodeless_1 -type d -name '*${id}*'`);
    const usage = `grep usage_usec ${group}/cpu.stat | cut -d' ' -f2`;
    const spent = await output(
      `a=$(${usage}); s=$(date +%s%N); sleep 5; b=$(${usage}); e=$(date +%s%N); echo $(( (b-a)*100000 / ((e-s)/1000) ))`,
    );
    const memoryMax = await output(`cat ${group}/memory.max`);
    await guest.run("kubectl delete pod limited --wait=false");

    assert.equal(memoryMax, String(16 << 20));
    assert.ok(
      Number(spent) > 2_000 && Number(spent) < 15_000,
      `${spent} of 100000 of a processor, where 10000 are allowed`,
    );
  });

  for (const [how, hard] of [
    ["a reboot", false],
    ["the reset button", true],
  ] as const) {
    test(`after ${how} everything is back, with the data of its database`, async () => {
      await guest.run("sync");
      await guest.reboot({ hard });
      await eventually(
        "the unit to have brought the cluster up",
        async () => (await guest.run("nodeless status", { mayFail: true })).stdout.includes("is ready"),
        waitMs,
      );
      await shopIsReady();

      const { products } = JSON.parse(await page("/api/products")) as {
        readonly products: readonly { readonly sold: number }[];
      };
      assert.equal(products[0]?.sold, 1);
    });
  }
});

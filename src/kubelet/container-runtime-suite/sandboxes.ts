/**
 * Sandboxes: addresses, namespaces, what containers of a pod share.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually, sandboxSpec, never, type SuiteHouse } from "./suite-house.ts";

export function sandboxTests(house: SuiteHouse): void {
  const { newPod, sandbox, run, ended, output, exec } = house;

  describe("sandboxes", () => {
    it("a sandbox has an address, and asking for it again gives the same one", async () => {
      const pod = newPod();
      const first = await house.given.runtime.ensureSandbox(sandboxSpec(pod), never);
      const second = await house.given.runtime.ensureSandbox(sandboxSpec(pod), never);

      assert.equal(first.ready, true);
      assert.equal(first.ips.length, 1);
      assert.deepEqual(second, first);
      await house.given.runtime.removeSandbox(pod);
    });

    it("two calls at once make one sandbox", async () => {
      const pod = newPod();
      const [first, second] = await Promise.all(
        [1, 2].map(() => house.given.runtime.ensureSandbox(sandboxSpec(pod), never)),
      );

      assert.deepEqual(first?.ips, second?.ips);
      await house.given.runtime.removeSandbox(pod);
    });

    it("removing a sandbox kills its containers, and removing it again is success", async () => {
      const pod = await sandbox();
      await run(pod, "sleep 1000");

      await house.given.runtime.removeSandbox(pod);
      await house.given.runtime.removeSandbox(pod);

      assert.ok(!(await house.given.runtime.listSandboxes()).some((other) => other.pod.uid === pod.uid));
      assert.ok(!(await house.given.runtime.listContainers()).some((other) => other.pod.uid === pod.uid));
    });

    it("two sandboxes reach each other by their addresses", async () => {
      const server = await sandbox();
      const { ips } = await house.given.runtime.ensureSandbox(sandboxSpec(server), never);
      const { id } = await run(server, "while true; do echo answer | nc -l -p 8080; done");
      await eventually("the server listens", async () =>
        (await exec(id, "netstat -ltn")).out.includes(":8080") ? true : undefined,
      );

      assert.match(await output(`nc ${ips[0]} 8080 </dev/null`), /answer/);
      await house.given.runtime.removeSandbox(server);
    });

    it("containers of a sandbox share network, host name and shared memory, but not processes", async () => {
      const pod = await sandbox({ hostname: "together" });
      await run(pod, "echo mine >/dev/shm/note; hostname >/dev/shm/name; sleep 1000 & echo $! >/dev/shm/pid; wait", {
        name: "one",
      });
      const { id } = await run(pod, "sleep 1000", { name: "two" });
      await eventually("the note is there", async () =>
        (await exec(id, "cat /dev/shm/pid")).code === 0 ? true : undefined,
      );

      assert.equal((await exec(id, "cat /dev/shm/note /dev/shm/name; hostname")).out, "mine\ntogether\ntogether\n");
      assert.doesNotMatch((await exec(id, "ps")).out, /note/);
      await house.given.runtime.removeSandbox(pod);
    });

    it("with a shared process namespace containers see each other, and none of them is process 1", async () => {
      const pod = await sandbox({ shareProcessNamespace: true });
      await run(pod, "sleep 4711", { name: "one" });
      const { id } = await run(pod, "sleep 1000", { name: "two" });

      const { out } = await exec(id, "ps");

      assert.match(out, /sleep 4711/);
      assert.doesNotMatch(out, /^\s*1 .*sleep/m);
      await house.given.runtime.removeSandbox(pod);
    });

    it("a container of a shared process namespace ends with all it started", async () => {
      const pod = await sandbox({ shareProcessNamespace: true });
      const first = await run(pod, "sleep 4712 & sleep 0.2", { name: "one" });
      const { id } = await run(pod, "sleep 1000", { name: "two" });

      await ended(first.id);

      await eventually("its child is gone", async () =>
        (await exec(id, "ps")).out.includes("sleep 4712") ? undefined : true,
      );
      await house.given.runtime.removeSandbox(pod);
    });

    it("kernel settings of a sandbox are set in it", async () => {
      const sysctls = { "net.ipv4.ip_unprivileged_port_start": "7", "kernel.shm_rmid_forced": "1" };

      const text = await output(
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced",
        {},
        { sysctls },
      );

      assert.equal(text, "7\n1\n");
    });

    it("an unknown runtime class is refused", async () => {
      const spec = { ...sandboxSpec(newPod()), runtimeClass: "no-such-thing" };

      await assert.rejects(house.given.runtime.ensureSandbox(spec, never), { reason: "CreatePodSandboxError" });
    });

    it("removing a sandbox while its container is being started leaves nothing", async () => {
      const pod = await sandbox();
      const starting = run(pod, "sleep 1000");

      await Promise.allSettled([house.given.runtime.removeSandbox(pod), starting]);
      await house.given.runtime.removeSandbox(pod);

      assert.ok(!(await house.given.runtime.listContainers()).some((state) => state.pod.uid === pod.uid));
    });

    it("with the host's network it has the host's addresses and no one of its own", async () => {
      const pod = newPod();
      const made = await house.given.runtime.ensureSandbox({ ...sandboxSpec(pod), hostNetwork: true }, never);
      const { id } = await run(pod, "readlink /proc/self/ns/net; sleep 1000");

      assert.deepEqual(made.ips, []);
      assert.match((await exec(id, "ls /proc/sys/net/ipv4")).out, /ip_forward/);
      await house.given.runtime.removeSandbox(pod);
    });
  });
}

/**
 * What a process is given: user, rights, mounts, environment, devices.
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { plainSecurity, type SuiteHouse } from "./suite-house.ts";

export function processTests(house: SuiteHouse): void {
  const { sandbox, run, output, exec } = house;

  describe("what a process is given", () => {
    it("runs as the image's user with the usual capabilities and a seccomp filter", async () => {
      const text = await output("id -u; grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status");

      assert.match(text, /^0$/m);
      assert.match(text, /CapEff:\s+00000000a80425fb/);
      assert.match(text, /Seccomp:\s+2/);
      assert.match(text, /NoNewPrivs:\s+0/);
    });

    it("runs as another user with groups, without privileges to gain", async () => {
      const security = {
        ...plainSecurity,
        runAsUser: 1234,
        runAsGroup: 2345,
        supplementalGroups: [3456],
        allowPrivilegeEscalation: false,
      };

      const text = await output("id -u; id -g; id -G; grep -E 'CapEff|NoNewPrivs' /proc/self/status", { security });

      assert.match(text, /^1234\n2345\n2345 3456\n/);
      assert.match(text, /CapEff:\s+0000000000000000/);
      assert.match(text, /NoNewPrivs:\s+1/);
    });

    it("a user without privileges finds its way through the root, and files get the usual modes", async () => {
      const security = { ...plainSecurity, runAsUser: 1234 };

      const text = await output("ls -d /bin/sh; umask; touch /tmp/x && stat -c %a /tmp/x", { security });

      assert.equal(text, "/bin/sh\n0022\n644\n");
    });

    it("capabilities are added and dropped", async () => {
      const added = { ...plainSecurity, addCapabilities: ["NET_ADMIN"], dropCapabilities: ["ALL"] };

      assert.match(await output("grep CapEff /proc/self/status", { security: added }), /0000000000001000/);
    });

    it("refuses root where the pod says so, in the kubelet's words", async () => {
      const pod = await sandbox();
      const security = { ...plainSecurity, runAsNonRoot: true };

      await assert.rejects(run(pod, "true", { security }), {
        reason: "CreateContainerConfigError",
        message:
          /^container has runAsNonRoot and image will run as root \(pod: "pod-\d+_suite\(.*\)", container: main\)$/,
      });
      await house.given.runtime.removeSandbox(pod);
    });

    it("a read-only root cannot be written", async () => {
      const security = { ...plainSecurity, readOnlyRootFilesystem: true };

      assert.match(await output("touch /x 2>&1 || echo refused", { security }), /refused/);
    });

    it("a privileged container has all capabilities, the machine's devices and no filter", async () => {
      const security = { ...plainSecurity, privileged: true };

      const text = await output(
        "grep -E 'CapEff|Seccomp:' /proc/self/status; ls /dev | wc -l; touch /proc/sys/net/ipv4/ip_forward && echo writable",
        { security },
      );

      assert.match(text, /Seccomp:\s+0/);
      assert.doesNotMatch(text, /CapEff:\s+00000000a80425fb/);
      assert.match(text, /writable/);
    });

    it("sensitive parts of /proc and /sys are hidden or read-only", async () => {
      const text = await output(
        "(head -c1 /proc/kcore | wc -c; ls /sys/firmware | wc -l; echo x >/proc/sys/kernel/domainname || echo read-only) 2>/dev/null",
      );

      assert.equal(text, "0\n0\nread-only\n");
    });

    it("cannot make namespaces or mounts", async () => {
      const text = await output(
        "unshare -n true 2>&1 || echo no namespace; mount -t tmpfs x /tmp 2>&1 || echo no mount",
      );

      assert.match(text, /no namespace/);
      assert.match(text, /no mount/);
    });

    it("starts in the folder asked for, which is made if it is missing", async () => {
      assert.equal(await output("pwd", { workingDir: "/deep/inside" }), "/deep/inside\n");
    });

    it("files and folders of the machine appear where they are mounted", async () => {
      const hostPath = join(house.given.logFolder, "..");
      const mounts = [
        { hostPath, containerPath: "/data/here", readOnly: true, propagation: "None" as const },
        { hostPath: "/etc/hostname", containerPath: "/etc/hostname", readOnly: false, propagation: "None" as const },
      ];

      const text = await output(
        "ls -d /data/here/*; touch /data/here/x 2>/dev/null || echo read-only; wc -l </etc/hostname",
        { mounts },
      );

      assert.match(text, /\/data\/here\//);
      assert.match(text, /read-only/);
    });

    it("a mount made in a container is seen by another where both ask for it", async () => {
      const hostPath = join(house.given.logFolder, "..", "travelling");
      mkdirSync(hostPath, { recursive: true });
      const pod = await sandbox();
      const mount = { hostPath, containerPath: "/shared", readOnly: false };
      const seeing = await run(pod, "sleep 1000", {
        name: "seeing",
        mounts: [{ ...mount, propagation: "HostToContainer" }],
      });
      const blind = await run(pod, "sleep 1000", { name: "blind", mounts: [{ ...mount, propagation: "None" }] });
      const maker = await run(pod, "sleep 1000", {
        name: "maker",
        mounts: [{ ...mount, propagation: "Bidirectional" }],
        security: { ...plainSecurity, privileged: true },
      });

      const made = await exec(maker.id, "mkdir /shared/x && mount -t tmpfs x /shared/x && touch /shared/x/file");

      assert.equal(made.code, 0, made.err);
      assert.equal((await exec(seeing.id, "ls /shared/x")).out, "file\n");
      assert.equal((await exec(blind.id, "ls /shared/x")).out, "");
      await exec(maker.id, "umount /shared/x");
      await house.given.runtime.removeSandbox(pod);
    });

    it("a device asked for is there and can be used", async () => {
      const devices = [{ hostPath: "/dev/zero", containerPath: "/dev/nothing", permissions: "rwm" }];

      assert.equal(await output("head -c 3 /dev/nothing | wc -c", { devices }), "3\n");
    });

    it("the image's files are not changed by what a container writes", async () => {
      await output("echo changed >/etc/passwd; rm /bin/ls");

      assert.match(await output("grep root /etc/passwd; ls /bin/ls"), /root:x:0:0/);
    });

    it("has a terminal where one is asked for", async () => {
      assert.match(await output("tty; echo $TERM", { tty: true }), /\/dev\/(pts\/0|console)\r?\nxterm/);
    });
  });
}

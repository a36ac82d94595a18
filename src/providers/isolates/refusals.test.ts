import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ContainerMount, ContainerSpec } from "#kubelet/container-runtime.ts";
import { plainSecurity, sandboxSpec } from "#kubelet/container-runtime-suite/suite-house.ts";
import { checkContainer, checkSandbox, terminationFile } from "./refusals.ts";

const pod = { namespace: "default", name: "web", uid: "u" };

describe("what an isolate is refused", () => {
  it("takes what every pod has: files below /etc, last words, the token of its account, code at /bundle", () => {
    const mounts = [
      mount("/x/etc-hosts", "/etc/hosts"),
      mount("/x/containers/main/0.termination", "/my/last/words"),
      mount("/x/token", "/var/run/secrets/kubernetes.io/serviceaccount"),
      mount("/x/code", "/bundle/lib"),
    ];

    checkContainer(specWith({ mounts }));

    assert.equal(terminationFile(mounts), "/x/containers/main/0.termination");
  });

  it("names what it cannot have", () => {
    const refused = (changed: Partial<ContainerSpec>, message: RegExp) =>
      assert.throws(() => checkContainer(specWith(changed)), { reason: "CreateContainerConfigError", message });

    refused({ command: ["sh"] }, /^isolate "main": command has no meaning/);
    refused({ args: ["-x"] }, /args have no meaning/);
    refused(
      { execs: ["livenessProbe"] },
      /livenessProbe cannot run a command: .* use httpGet, tcpSocket or grpc there$/,
    );
    refused({ execs: ["lifecycle.preStop"] }, /lifecycle.preStop cannot run a command: .* use httpGet or sleep there$/);
    refused({ mounts: [mount("/x", "/data")] }, /a volume at \/data would not be visible/);
    refused({ mounts: [mount("/x", "/bundled")] }, /\/bundled/);
    refused({ devices: [{ hostPath: "/dev/x", containerPath: "/dev/x", permissions: "r" }] }, /devices/);
    refused({ security: { ...plainSecurity, privileged: true } }, /privileged/);
    refused({ security: { ...plainSecurity, addCapabilities: ["SYS_ADMIN"] } }, /capabilities/);
  });

  it("shares nothing of the node", () => {
    checkSandbox(sandboxSpec(pod));
    for (const name of ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] as const)
      assert.throws(() => checkSandbox({ ...sandboxSpec(pod), [name]: true }), {
        reason: "CreatePodSandboxError",
        message: `${name} is not possible with runtimeClassName isolate`,
      });
  });
});

function mount(hostPath: string, containerPath: string): ContainerMount {
  return { hostPath, containerPath, readOnly: true, propagation: "None" };
}

function specWith(changed: Partial<ContainerSpec>): ContainerSpec {
  return {
    pod,
    name: "main",
    attempt: 0,
    imageId: "",
    command: [],
    args: [],
    env: [],
    mounts: [],
    devices: [],
    security: plainSecurity,
    resources: {},
    oomScoreAdj: 0,
    tty: false,
    stdin: false,
    stdinOnce: false,
    logPath: "/x/0.log",
    ...changed,
  };
}

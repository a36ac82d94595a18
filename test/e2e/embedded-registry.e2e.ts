/**
 * The registry that a cluster brings along: images are pushed to it over HTTP, and pods run them. With skopeo, where it is there, for what other people's tools expect.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { systemClock } from "#component-base/clock.ts";
import { digestOf } from "#images/blobs.ts";
import { buildImage } from "#images/build/build-image.ts";
import { ImageStore } from "#images/image-store.ts";
import { loadImages } from "#images/load.ts";
import type { ImageManifest } from "#images/oci.ts";
import { pushImage } from "#images/push.ts";
import { loadLibc } from "#linux/libc.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { canRunContainers, eventually, startCluster, type TestCluster } from "../support/cluster.ts";

const hasBuildah = spawnSync("buildah", ["--version"]).status === 0;
const hasSkopeo = spawnSync("skopeo", ["--version"]).status === 0;

describe("the embedded registry", { skip: !canRunContainers() && "needs root, conmon and crun or runc" }, () => {
  const never = new AbortController().signal;
  let cluster: TestCluster;
  let folder: string;
  /** Somebody's own store, elsewhere: nothing of it is on the cluster's machine before it is pushed. */
  let store: ImageStore;
  let registry: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "nodeless-pushing-"));
    store = new ImageStore({ folder: join(folder, "store"), clock: systemClock, specialFiles: await loadLibc() });
    await store.open();
    await loadImages(store, await ensureLayout("busybox"), { name: "busybox" });
    cluster = await startCluster("pushing", { dataRoot: join(folder, "data"), runRoot: "/run/nodeless-pushing" });
    registry = await eventually("the registry is announced", async () => {
      const { stdout } = await cluster.nodeless(["status", "--name", "pushing", "-o", "json"]);
      return (JSON.parse(stdout) as { registry?: string }).registry;
    });
  });
  after(async () => {
    await cluster?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** An image of busybox that prints the text, pushed under the name; gives its name by digest. */
  async function push(text: string, name: string): Promise<string> {
    const [base = ""] = (await store.list())[0]?.tags ?? [];
    const built = await buildImage(
      { store },
      { base, layers: [{ files: [{ path: "etc/said", content: text }] }], config: { cmd: ["cat", "/etc/said"] } },
    );
    const pushed = await pushImage({ blobs: store.blobs, digest: built.digest, name: `${registry}/${name}` }, never);
    return pushed.pinned;
  }

  async function bytesAt(path: string): Promise<Buffer> {
    const answer = await fetch(`http://${registry}${path}`);
    assert.equal(answer.status, 200, path);
    return Buffer.from(await answer.arrayBuffer());
  }

  async function run(name: string, image: string, imagePullPolicy: string): Promise<void> {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name },
      spec: { restartPolicy: "Never", containers: [{ name: "main", image, imagePullPolicy }] },
    };
    await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(pod) });
  }

  async function said(name: string): Promise<string> {
    await cluster.kubectl(["wait", "--for=jsonpath={.status.phase}=Succeeded", `pod/${name}`, "--timeout=30s"]);
    return (await cluster.kubectl(["logs", name])).stdout;
  }

  test("a pod runs an image that was pushed over HTTP, by its tag and by its digest", async () => {
    const pinned = await push("one", "team/app:v1");

    await run("tagged", `${registry}/team/app:v1`, "IfNotPresent");
    await run("pinned", pinned, "IfNotPresent");

    assert.deepEqual(await Promise.all([said("tagged"), said("pinned")]), ["one", "one"]);
  });

  test("a tag that moved means the new image to a pod that says Always, and to no other", async () => {
    await push("old", "team/moved:latest");
    await run("before", `${registry}/team/moved`, "Always");
    assert.equal(await said("before"), "old");

    await push("new", "team/moved:latest");
    await run("kept", `${registry}/team/moved`, "IfNotPresent");
    assert.equal(await said("kept"), "old");
    await run("after", `${registry}/team/moved`, "Always");

    assert.equal(await said("after"), "new");
  });

  test("an image that is not there is said to be so, and comes when it is pushed", async () => {
    await run("late", `${registry}/team/late:v1`, "IfNotPresent");
    const message = await eventually("the pull fails", async () => {
      const { stdout } = await cluster.kubectl(["get", "pod", "late", "-o", "json"]);
      const waiting = (JSON.parse(stdout) as Pod).status?.containerStatuses?.[0]?.state?.waiting;
      return waiting?.reason === "ErrImagePull" && waiting.message;
    });

    await push("at last", "team/late:v1");

    assert.match(message, /team\/late:v1: not found/);
    assert.equal(await said("late"), "at last");
  });

  test("an image that was removed from the machine comes back out of the registry", async () => {
    await push("stays", "team/removed:v1");
    await run("first", `${registry}/team/removed:v1`, "IfNotPresent");
    await said("first");
    await cluster.kubectl(["delete", "pod", "first", "--now"]);
    await eventually("the image is gone", async () => {
      await cluster.nodeless(["image", "rm", `${registry}/team/removed:v1`], { mayFail: true });
      return !(await cluster.nodeless(["image", "ls"])).stdout.includes("team/removed");
    });

    await run("second", `${registry}/team/removed:v1`, "IfNotPresent");

    assert.equal(await said("second"), "stays");
  });

  test("skopeo pushes, lists, reads and deletes", { skip: !hasSkopeo && "skopeo is not there" }, async () => {
    const layout = await ensureLayout("busybox");
    const skopeo = (...args: readonly string[]): string => {
      const { status, stdout, stderr } = spawnSync("skopeo", args, { encoding: "utf8" });
      assert.equal(status, 0, stderr);
      return stdout;
    };
    const name = `docker://${registry}/tools/busybox`;

    skopeo("copy", "--dest-tls-verify=false", `oci:${layout}`, `${name}:v1`);
    skopeo(
      "copy",
      "--src-tls-verify=false",
      "--dest-tls-verify=false",
      "--format",
      "v2s2",
      `${name}:v1`,
      `${name}:docker`,
    );
    const { Tags } = JSON.parse(skopeo("list-tags", "--tls-verify=false", name)) as { Tags: string[] };
    skopeo("copy", "--src-tls-verify=false", `${name}:docker`, `oci:${join(folder, "copy")}:v1`);
    skopeo("delete", "--tls-verify=false", `${name}:v1`);

    assert.deepEqual(Tags, ["docker", "v1"]);
    assert.equal(spawnSync("skopeo", ["inspect", "--tls-verify=false", `${name}:v1`]).status, 1);
  });

  test("another user of the machine can read, and not push", async () => {
    const asNobody = (method: string, path: string) => {
      const request = `${method} /v2/team/app/${path} HTTP/1.0\\r\\nHost: ${registry}\\r\\nContent-Length: 0\\r\\n\\r\\n`;
      const script = `exec 3<>/dev/tcp/${registry.replace(":", "/")}; printf '${request}' >&3; head -1 <&3`;
      return spawnSync("bash", ["-c", script], { uid: 65534, gid: 65534, cwd: "/", encoding: "utf8" }).stdout.split(
        " ",
      )[1];
    };

    assert.deepEqual([asNobody("GET", "tags/list"), asNobody("POST", "blobs/uploads/")], ["200", "403"]);
  });

  test("pods push and pull at the cluster's own address with a token, as far as RBAC lets them", async () => {
    const { stdout: info } = await cluster.nodeless(["status", "--name", "pushing", "-o", "json"]);
    const { addresses } = JSON.parse(info) as { addresses: { controlPlane: string } };
    const host = `${addresses.controlPlane}:5000`;
    const rbac = { apiVersion: "rbac.authorization.k8s.io/v1", metadata: { name: "push-app" } };
    const rules = [
      { apiGroups: ["nodeless.dev"], resources: ["images"], resourceNames: ["ci/app"], verbs: ["get", "create"] },
    ];
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "push-app" };
    const subjects = [{ kind: "ServiceAccount", name: "builder", namespace: "default" }];
    const items = [
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "builder" } },
      { ...rbac, kind: "ClusterRole", rules },
      { ...rbac, kind: "ClusterRoleBinding", roleRef, subjects },
    ];
    await cluster.kubectl(["apply", "-f", "-"], {
      input: JSON.stringify({ apiVersion: "v1", kind: "List", items }),
    });
    const password = (await cluster.kubectl(["create", "token", "builder"])).stdout.trim();
    const settings = { plainHttp: [host] };
    const built = await buildImage({ store }, { base: "busybox", layers: [], config: { cmd: ["echo", "from a pod"] } });
    const pushAs = (name: string, ...passwords: readonly string[]) => {
      const credentials = passwords.map((one) => ({ registry: host, username: "any", password: one }));
      return pushImage(
        { blobs: store.blobs, digest: built.digest, name: `${host}/${name}`, credentials, settings },
        never,
      );
    };
    const status = async (headers: Record<string, string>) =>
      (await fetch(`http://${host}/v2/ci/app/tags/list`, { headers })).status;

    await pushAs("ci/app:v1", password);

    await assert.rejects(pushAs("ci/other:v1", password), {
      reason: "unauthorized",
      message: /403 Forbidden/,
    });
    const refusal = await fetch(`http://${host}/v2/ci/other/blobs/uploads/`, {
      method: "POST",
      headers: { authorization: `Bearer ${password}` },
    });
    assert.match(
      await refusal.text(),
      /system:serviceaccount:default:builder.* may not create images.nodeless.dev .*ci\/other/,
    );
    await assert.rejects(pushAs("ci/app:v1"), { reason: "unauthorized" });
    await assert.rejects(pushAs("ci/app:v1", "guess"), { reason: "unauthorized" });
    assert.deepEqual([await status({}), await status({ authorization: `Bearer ${password}` })], [401, 200]);
    await run("by-pod", `${host}/ci/app:v1`, "Always");
    assert.equal(await said("by-pod"), "from a pod\n");
  });

  test("'nodeless image build' makes an image of modules, in the registry at once", async () => {
    const bundle = join(folder, "bundle");
    mkdirSync(bundle);
    writeFileSync(join(bundle, "index.js"), "export default {}");

    const { stdout } = await cluster.nodeless(["image", "build", bundle, "--tag", `${registry}/team/bundle:v1`]);

    assert.match(stdout, /^Built 127[\d.:]+\/team\/bundle:v1 \(sha256:[0-9a-f]{64}\), in the registry$/m);
    assert.equal((await fetch(`http://${registry}/v2/team/bundle/manifests/v1`)).status, 200);
    const refused = await cluster.nodeless(["image", "build", folder, "--tag", "x"], { mayFail: true });
    assert.match(refused.stderr, /has neither a Dockerfile nor modules for an isolate/);
  });

  test("'nodeless image build' makes an image of a Dockerfile, which a pod runs", {
    skip: !hasBuildah && "buildah is not there (apt-get install buildah)",
  }, async () => {
    await push("base", "team/base:v1");
    const context = join(folder, "context");
    mkdirSync(context);
    writeFileSync(
      join(context, "Dockerfile"),
      `FROM ${registry}/team/base:v1\nARG TEXT\nRUN echo "$TEXT" > /etc/said\n`,
    );
    const flags = ["--tag", `${registry}/team/built:v1`, "--build-arg", "TEXT=built here"];

    const { stdout } = await cluster.nodeless(["image", "build", context, ...flags]);
    await run("built", `${registry}/team/built:v1`, "Always");

    assert.match(stdout, /STEP 3\/3: RUN echo "\$TEXT"/);
    assert.equal(await said("built"), "built here\n");
  });

  test("what was acknowledged is there whole after the control plane was killed in the middle of pushes", async () => {
    const { stdout } = await cluster.nodeless(["status", "--name", "pushing", "-o", "json"]);
    const { processes } = JSON.parse(stdout) as { processes: { role: string; pid: number }[] };
    const { pid } = processes.find(({ role }) => role === "control-plane") ?? { pid: 0 };
    const acknowledged: string[] = [];
    const pushing = Array.from({ length: 3 }, async (_, worker) => {
      for (let turn = 0; ; turn++)
        acknowledged.push(await push(`${worker} ${turn}`, `crash/app${worker}:t${turn % 2}`));
    });
    const broken = Promise.allSettled(pushing);
    await eventually("some are pushed", async () => acknowledged.length >= 20);

    process.kill(pid, "SIGKILL");
    await broken;
    await eventually("the registry is back", async () => (await fetch(`http://${registry}/v2/`)).ok);

    for (const pinned of acknowledged) {
      const [name = "", digest = ""] = pinned.slice(registry.length).split("@");
      const manifest = await bytesAt(`/v2${name}/manifests/${digest}`);
      assert.equal(digestOf(manifest), digest);
      const { config, layers } = JSON.parse(manifest.toString()) as ImageManifest;
      for (const part of [config, ...layers])
        assert.equal(digestOf(await bytesAt(`/v2${name}/blobs/${part.digest}`)), part.digest);
    }
  });

  test("a cluster that was down has its registry at the same port, with what was in it", async () => {
    const pinned = await push("kept", "team/kept:v1");
    await cluster.nodeless(["down", "--name", "pushing"]);
    await cluster.nodeless(["up", "--name", "pushing"]);
    const answer = await eventually("the registry answers", async () => {
      const path = pinned.replace(registry, "").replace("@", "/manifests/");
      return fetch(`http://${registry}/v2${path}`).catch(() => undefined);
    });

    assert.equal(answer.status, 200);
  });
});
